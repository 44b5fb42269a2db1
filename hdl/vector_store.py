"""A vector held back until it is known whether it is wanted.

``i``: the beats of a vector, in any form that has ``last``. Then one word of ``send``: ``keep`` = 1 sends the vector to
``o``, ``keep`` = 0 forgets it. Then the next vector is taken, also while the one before it is being sent: two fit in.
Beats come out one per cycle, from three cycles after the word of ``send`` on.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.memory import exclusive_memory
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
        """From the word of ``send`` to the first beat: the memory's address, its output, a register behind it, since a block
        memory answers late in the cycle."""
        return 3

    @property
    def cycles_per_beat(self) -> int:
        return 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        index = index_for(self.beats)
        m.submodules.memory = memory = exclusive_memory(self.layout, 2 << index.width)
        write, read = memory.write_port(), memory.read_port()
        # Each half of the memory holds a vector; `full` says which of them are to be sent.
        full = Signal(2)
        write_half, write_index, deciding = Signal(), Signal(index), Signal()
        read_half, read_index = Signal(), Signal(index)
        advance = Signal()
        m.d.comb += [
            write.addr.eq(Cat(write_index, write_half)),
            write.data.eq(self.i.payload),
            write.en.eq(self.i.valid & self.i.ready),
            read.addr.eq(Cat(read_index, read_half)),
            read.en.eq(advance),
            self.i.ready.eq(~deciding & ~full.bit_select(write_half, 1)),
            self.send.ready.eq(deciding),
            advance.eq(~self.o.valid | self.o.ready),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += write_index.eq(write_index + 1)
            with m.If(self.i.payload.last):
                m.d.sync += [write_index.eq(0), deciding.eq(1)]
        with m.If(self.send.valid & self.send.ready):
            m.d.sync += deciding.eq(0)
            with m.If(self.send.payload.keep):
                m.d.sync += [full.bit_select(write_half, 1).eq(1), write_half.eq(~write_half)]
        # The memory's output is a register of the pipeline. Behind the last beat of a vector it holds nothing.
        fetching, fetched = Signal(), Signal()
        ends = fetched & read.data.last
        m.d.comb += fetching.eq(full.bit_select(read_half, 1) & ~ends)
        with m.If(advance):
            m.d.sync += [fetched.eq(fetching), self.o.valid.eq(fetched), self.o.payload.eq(read.data)]
            with m.If(fetching):
                m.d.sync += read_index.eq(read_index + 1)
            with m.If(ends):
                m.d.sync += [read_index.eq(0), full.bit_select(read_half, 1).eq(0), read_half.eq(~read_half)]
        return m
