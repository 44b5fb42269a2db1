"""`axi_lite`: an AXI4-Lite subordinate before a bus of words (hdl/network/host.py).

    bus address = byte address[31:28] << 28 | byte address[27:3]

Address and data of a write may come in either order. One access is on the bus at a time; reads and writes that all wait
take turns. ``SLVERR``, and nothing on the bus: an address that is no multiple of 8, a write without all strobes, an address
that does not exist. A read so refused gives 0.

Every output is a register or follows from registers alone.
"""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.axi.pins import AXI_LITE, DATA_BITS, DATA_BYTES, Response
from hdl.network.host import SPACE_BIT
from hdl.shapes import record, stream_of

#: Bits of a byte address within a word.
BYTE_BITS = DATA_BYTES.bit_length() - 1


def byte_address(bus_address: int) -> int:
    """The AXI address of a bus address. Raises ValueError for offsets that a byte address cannot hold."""
    space, offset = bus_address >> SPACE_BIT, bus_address & (1 << SPACE_BIT) - 1
    if offset >= 1 << SPACE_BIT - BYTE_BITS:
        raise ValueError(f"offset {offset:#x}: accepted: below {1 << SPACE_BIT - BYTE_BITS:#x}")
    return space << SPACE_BIT | offset << BYTE_BITS


class AxiLite(wiring.Component):
    """``exists``: whether a bus address may be accessed. A read that is passed on must be answered on ``reply``."""

    def __init__(self, exists: Callable[[Value], Value]) -> None:
        self._exists = exists
        super().__init__(
            {
                "axi": In(AXI_LITE),
                "bus": Out(stream_of(record(write=1, address=32, data=DATA_BITS))),
                "reply": In(stream_of(record(data=DATA_BITS))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi = self.axi
        write_address, write_here = _hold(m, axi.awaddr, axi.awvalid, axi.awready, "write_address")
        write_word, word_here = _hold(m, Cat(axi.wdata, axi.wstrb), axi.wvalid, axi.wready, "write_word")
        read_address, read_here = _hold(m, axi.araddr, axi.arvalid, axi.arready, "read_address")
        for valid, ready in ((axi.bvalid, axi.bready), (axi.rvalid, axi.rready)):
            with m.If(ready):
                m.d.sync += valid.eq(0)

        write_waits, read_waits, writing = Signal(), Signal(), Signal()
        address = Mux(writing, write_address, read_address)
        bus_address = Cat(address[BYTE_BITS:SPACE_BIT], Const(0, BYTE_BITS), address[SPACE_BIT:])
        whole = ~writing | write_word[DATA_BITS:].all()
        refused = address[:BYTE_BITS].any() | ~whole | ~self._exists(bus_address)
        m.d.comb += [
            write_waits.eq(write_here & word_here & ~axi.bvalid),
            read_waits.eq(read_here & ~axi.rvalid),
            self.bus.payload.write.eq(writing),
            self.bus.payload.address.eq(bus_address),
            self.bus.payload.data.eq(write_word[:DATA_BITS]),
        ]

        def answer(response: Response, word: Value | int) -> None:
            """End the access."""
            with m.If(writing):
                m.d.sync += [axi.bvalid.eq(1), axi.bresp.eq(response), write_here.eq(0), word_here.eq(0)]
            with m.Else():
                m.d.sync += [axi.rvalid.eq(1), axi.rresp.eq(response), axi.rdata.eq(word), read_here.eq(0)]
            m.next = "idle"

        with m.FSM():
            with m.State("idle"):
                # A write that follows one is not here yet when that ends, so a read that waits goes between them.
                m.d.sync += writing.eq(write_waits)
                with m.If(write_waits | read_waits):
                    m.next = "check"
            with m.State("check"):
                m.next = "access"
                with m.If(refused):
                    answer(Response.SLVERR, 0)
            with m.State("access"):
                m.d.comb += self.bus.valid.eq(1)
                with m.If(self.bus.ready):
                    m.next = "reply"
                    with m.If(writing):
                        answer(Response.OKAY, 0)
            with m.State("reply"):
                m.d.comb += self.reply.ready.eq(1)
                with m.If(self.reply.valid):
                    answer(Response.OKAY, self.reply.payload.data)
        return m


def _hold(m: Module, payload: Value, valid: Value, ready: Value, name: str) -> tuple[Signal, Signal]:
    """A register for one word of a channel, and whether it holds one; whoever is done with the word clears that."""
    held, here = Signal(len(payload), name=name), Signal(name=f"{name}_here")
    m.d.comb += ready.eq(~here)
    with m.If(valid & ~here):
        m.d.sync += [held.eq(payload), here.eq(1)]
    return held, here
