"""CRC-32 (of Ethernet, zip and PNG), a bit per cycle: few LUTs, and faster than bytes come over a serial line."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from board.gateware.uart import BYTE_BITS

CRC_BITS = 32
CRC_BYTES = CRC_BITS // BYTE_BITS
#: x^32 + x^26 + ... + 1, the highest power in the lowest bit.
POLYNOMIAL = 0xEDB88320
#: The register after any bytes followed by their own CRC, little-endian.
RESIDUE = 0xDEBB20E3


class Crc32(wiring.Component):
    """The CRC of bytes, the complement of ``register``.

    ``clear``: begin anew. ``update``: take ``byte``, while not ``busy``; it is for eight cycles then. ``drop``, with
    ``update``: instead shift the lowest byte of the register out, so that the CRC can be taken byte by byte.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "register": Out(CRC_BITS),
                "clear": In(1),
                "update": In(1),
                "drop": In(1),
                "byte": In(BYTE_BITS),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        register = Signal(CRC_BITS, init=(1 << CRC_BITS) - 1)
        left, dropping = Signal(range(BYTE_BITS + 1)), Signal()
        m.d.comb += [self.register.eq(register), self.busy.eq(left != 0)]
        with m.If(self.busy):
            m.d.sync += [
                left.eq(left - 1),
                register.eq((register >> 1) ^ Mux(register[0] & ~dropping, POLYNOMIAL, 0)),
            ]
        with m.If(self.update):
            m.d.sync += [left.eq(BYTE_BITS), dropping.eq(self.drop)]
            with m.If(~self.drop):
                m.d.sync += register[:BYTE_BITS].eq(register[:BYTE_BITS] ^ self.byte)
        with m.If(self.clear):
            m.d.sync += [register.eq(register.init), left.eq(0)]
        return m
