"""A vector held back until it is known whether it is wanted.

``i``: the beats of a vector, in any form that has ``last``. Then one word of ``send``: ``keep`` = 1 sends the vector to
``o``, ``keep`` = 0 forgets it. Then the next vector is taken. Beats come out one per cycle, from two cycles after the
word of ``send`` on.
"""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.shapes import index_for, record, stream_of


class VectorStore(wiring.Component):
    """``layout``: the payload, with a field ``last``; ``beats``: the longest vector."""

    def __init__(self, layout: data.StructLayout, beats: int) -> None:
        self.layout, self.beats = layout, beats
        super().__init__(
            {"i": In(stream_of(layout)), "send": In(stream_of(record(keep=1))), "o": Out(stream_of(layout))}
        )

    @property
    def latency(self) -> int:
        """From the word of ``send`` to the first beat."""
        return 2

    @property
    def cycles_per_beat(self) -> int:
        return 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=self.layout, depth=max(2, self.beats), init=[])
        write, read = memory.write_port(), memory.read_port()
        address = Signal(index_for(self.beats))
        advance = Signal()
        m.d.comb += [
            write.addr.eq(address),
            write.data.eq(self.i.payload),
            read.addr.eq(address),
            read.en.eq(advance),
            self.o.payload.eq(read.data),
            advance.eq(~self.o.valid | self.o.ready),
        ]
        with m.FSM():
            with m.State("take"):
                m.d.comb += [self.i.ready.eq(1), write.en.eq(self.i.valid)]
                with m.If(self.i.valid):
                    m.d.sync += address.eq(address + 1)
                    with m.If(self.i.payload.last):
                        m.d.sync += address.eq(0)
                        m.next = "decide"
            with m.State("decide"):
                m.d.comb += self.send.ready.eq(1)
                with m.If(self.send.valid):
                    with m.If(self.send.payload.keep):
                        m.next = "send"
                    with m.Else():
                        m.next = "take"
            with m.State("send"):
                # The word that is read now is offered in the next cycle; after the last one was offered, nothing is read.
                sent = self.o.valid & self.o.payload.last
                with m.If(advance):
                    m.d.sync += [self.o.valid.eq(~sent), address.eq(address + 1)]
                    with m.If(sent):
                        m.d.sync += address.eq(0)
                        m.next = "take"
        return m
