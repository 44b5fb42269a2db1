"""`lfsr`: one draw of a line's generator. The state comes and goes, so that the states of many lines can lie in memory.

    word  = XOR over the taps t of bits t - 1 .. t - 24 of state
    next_state = the lowest `width` bits of (state, word), word in the lowest 24

Model: emulator/periphery/lfsr.py. ``i``: state; ``o``: next state and the word drawn, its lowest 24 bits. One layer of XORs;
takes a state per cycle, latency 1. Zero is the only state that does not move, and no other state leads to it.
"""

from __future__ import annotations

from functools import reduce
from operator import xor
from typing import Annotated, Literal

from amaranth.hdl import Cat, Module, Value
from amaranth.lib.wiring import In, Out
from pydantic import Field

from emulator.config import Stage
from emulator.config.schema import IntegerChoice
from emulator.fixed import TAPS, WORD_BITS
from hdl.block import Block, Parameters
from hdl.pipeline import pipeline
from hdl.shapes import record, stream_of


def next_state(state: Value, width: int) -> Value:
    """The state one draw later. Its lowest WORD_BITS bits are the word drawn."""
    word = reduce(xor, (state[tap - WORD_BITS : tap] for tap in TAPS[width]))
    return Cat(word, state)[:width]


class LfsrParameters(Parameters):
    width: Annotated[Literal[32, 48, 64], IntegerChoice] = Field(64, description="bits of the state")

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> LfsrParameters:
        return cls(width=stage.generator_width)


class Lfsr(Block[LfsrParameters]):
    def __init__(self, parameters: LfsrParameters) -> None:
        width = parameters.width
        super().__init__(
            parameters,
            {
                "i": In(stream_of(record(state=width))),
                "o": Out(stream_of(record(next_state=width, word=WORD_BITS))),
            },
        )

    @property
    def latency(self) -> int:
        return 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, _ = pipeline(m, self.i, self.o, self.latency)
        m.d.comb += self.o.payload.word.eq(self.o.payload.next_state[:WORD_BITS])
        with m.If(advance):
            m.d.sync += self.o.payload.next_state.eq(next_state(self.i.payload.state, self.parameters.width))
        return m
