"""The noise generators of one side: their states in a memory by beat, and the words drawn from them.

``read`` fetches the beat at ``address``; from the next cycle on, until the next read, ``words`` are what its generators
draw, and ``draw`` makes those of its lanes advance. ``states`` are those fetched; ``store``, while ``accessing``, writes ``state`` to a lane of ``address``.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from emulator.fixed import WORD_BITS
from hdl.memory import exclusive_memory
from hdl.periphery.lfsr import next_state
from hdl.shapes import index_for


class NoiseGenerators(wiring.Component):
    """``beats`` of ``lanes`` generators of ``width`` bits."""

    def __init__(self, lanes: int, beats: int, width: int) -> None:
        self.lanes, self.beats, self.width = lanes, beats, width
        super().__init__(
            {
                "address": In(index_for(beats)),
                "read": In(1),
                "draw": In(lanes),
                "words": Out(data.ArrayLayout(WORD_BITS, lanes)),
                "states": Out(data.ArrayLayout(width, lanes)),
                "accessing": In(1),
                "store": In(lanes),
                "state": In(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fetched = Signal.like(self.address)
        with m.If(self.read):
            m.d.sync += fetched.eq(self.address)
        for lane in range(self.lanes):
            m.submodules[f"states_{lane}"] = memory = exclusive_memory(self.width, self.beats)
            write, read = memory.write_port(), memory.read_port()
            following = next_state(read.data, self.width)
            m.d.comb += [
                read.addr.eq(self.address),
                read.en.eq(self.read),
                write.addr.eq(Mux(self.accessing, self.address, fetched)),
                write.data.eq(Mux(self.accessing, self.state, following)),
                write.en.eq(self.store[lane] | self.draw[lane]),
                self.states[lane].eq(read.data),
                self.words[lane].eq(following[:WORD_BITS]),
            ]
        return m
