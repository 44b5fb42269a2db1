"""`registers`: the wrapper's own words on the bus, in a space that the network does not use. All else goes on to it.

| space | offset |
|---|---|
| 15 | 0 packets passed on, 1 packets dropped |

Both count, wrap at 64 bits and take what is written. They are answered at any time, also while an image is under way.
"""

from __future__ import annotations

from amaranth.hdl import Array, Module, Signal, Value, unsigned
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from hdl.axi.pins import DATA_BITS
from hdl.network.host import SPACE_BIT, Register, Space, address_of
from hdl.shapes import record, stream_of

OWN_SPACE = 15


class OwnRegister(enum.Enum, shape=unsigned(1)):
    PACKETS = 0
    DROPPED = 1


def exists(bus_address: Value) -> Value:
    """False for registers that there are none of: the network does not answer them. Its memories answer everywhere."""
    space, offset = bus_address[SPACE_BIT:], bus_address[:SPACE_BIT]
    return ~(
        ((space == Space.REGISTERS.value) & (offset >= len(Register)))
        | ((space == OWN_SPACE) & (offset >= len(OwnRegister)))
    )


class Registers(wiring.Component):
    """Between the AXI side (``bus``, ``reply``) and the network's (``onward``, ``answer``), one access at a time.
    ``last_pixel``: a copy of the network's register, cut to its bits. ``passed``, ``dropped``: to be counted in this cycle.
    ``some_dropped``: the count of dropped packets is not 0."""

    def __init__(self, address_bits: int) -> None:
        bus = stream_of(record(write=1, address=32, data=DATA_BITS))
        reply = stream_of(record(data=DATA_BITS))
        super().__init__(
            {
                "bus": In(bus),
                "reply": Out(reply),
                "onward": Out(bus),
                "answer": In(reply),
                "last_pixel": Out(address_bits),
                "passed": In(1),
                "dropped": In(1),
                "some_dropped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request = self.bus.payload
        packets, drops = Signal(DATA_BITS, name="packets"), Signal(DATA_BITS, name="drops")
        counts = Array([packets, drops])  # in the order of OwnRegister
        own, answering = Signal(), Signal()
        word = Signal(DATA_BITS)
        taken = self.bus.valid & self.bus.ready
        m.d.comb += [
            own.eq(request.address[SPACE_BIT:] == OWN_SPACE),
            self.onward.payload.eq(request),
            self.onward.valid.eq(self.bus.valid & ~own),
            self.bus.ready.eq(own | self.onward.ready),
            self.reply.valid.eq(answering | self.answer.valid),
            self.reply.payload.data.eq(self.answer.payload.data),
            self.answer.ready.eq(self.reply.ready),
            self.some_dropped.eq(drops.any()),
        ]
        with m.If(answering):
            m.d.comb += self.reply.payload.data.eq(word)
            with m.If(self.reply.ready):
                m.d.sync += answering.eq(0)
        m.d.sync += [packets.eq(packets + self.passed), drops.eq(drops + self.dropped)]
        with m.If(taken & own):
            with m.If(request.write):
                m.d.sync += counts[request.address[0]].eq(request.data)
            with m.Else():
                m.d.sync += [word.eq(counts[request.address[0]]), answering.eq(1)]
        with m.If(
            taken & request.write & (request.address == address_of(Space.REGISTERS.value, Register.LAST_PIXEL.value))
        ):
            m.d.sync += self.last_pixel.eq(request.data)
        return m
