"""Frames out of bytes: COBS is undone and the CRC is checked.

    frame = COBS(content || CRC32(content), little-endian) || 0x00

In COBS a code n says that n - 1 bytes that are not 0 follow, and then, unless n = 255 or the frame ends, a 0.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from board.gateware.crc import RESIDUE, Crc32
from board.gateware.uart import BYTE_BITS, BYTES
from hdl.shapes import record, stream_of

#: Bytes of a block, and of its code, at most: then no 0 follows.
WHOLE_BLOCK = 255
DELIMITER = 0


class FrameReceiver(wiring.Component):
    """``i``: bytes. ``o``: the bytes of content and CRC as they come, then a word with ``end``, which says whether all of the
    frame was ``good``. A byte of a frame takes nine cycles."""

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(BYTES),
                "o": Out(stream_of(record(value=BYTE_BITS, end=1, good=1))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = Crc32()
        byte, given = self.i.payload.value, self.o.payload
        # Bytes up to the next code.
        distance = Signal(BYTE_BITS, init=1)
        zero_due = Signal()
        at_code, ends, emits, taken = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            at_code.eq(distance == 1),
            ends.eq(byte == DELIMITER),
            emits.eq(ends | ~at_code | zero_due),
            self.o.valid.eq(self.i.valid & ~crc.busy & emits),
            self.i.ready.eq(~crc.busy & (self.o.ready | ~emits)),
            taken.eq(self.i.valid & self.i.ready),
            given.value.eq(Mux(at_code, 0, byte)),
            given.end.eq(ends),
            given.good.eq(at_code & (crc.register == RESIDUE)),
            crc.byte.eq(given.value),
            crc.update.eq(taken & emits & ~ends),
            crc.clear.eq(taken & ends),
        ]
        with m.If(taken):
            m.d.sync += distance.eq(distance - 1)
            with m.If(ends):
                m.d.sync += [distance.eq(1), zero_due.eq(0)]
            with m.Elif(at_code):
                m.d.sync += [distance.eq(byte), zero_due.eq(byte != WHOLE_BLOCK)]
        return m
