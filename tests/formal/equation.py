"""A harness for blocks whose every result is a function of one word: the same free word over and over."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data

from hdl.block import Block
from sim.formal import Harness

#: Claims by name, of the word that goes in and the one that comes out.
Claims = Callable[[data.View, data.View], dict[str, Value]]


class EquationHarness(Harness):
    """Stream ``i`` gets the same word in every beat, any word that ``legal`` accepts; ``claims`` hold for every word of
    ``o``. Stalls on both sides as they like."""

    resets = False

    def __init__(self, block: Block, claims: Claims, legal: Callable[[data.View], Value] | None = None) -> None:
        self.block, self.claims, self.legal = block, claims, legal

    def build(self, m: Module) -> None:
        m.submodules.block = block = self.block
        word = block.i.payload
        flat = word.as_value()
        m.d.comb += [
            flat.eq(self.constant(len(flat), "word")),
            block.i.valid.eq(self.free(1, "i_valid")),
            block.o.ready.eq(self.free(1, "o_ready")),
        ]
        for name, _ in word.shape():
            self._watch("i", name, word[name])
        for name, _ in block.o.payload.shape():
            self._watch("o", name, block.o.payload[name])
        if self.legal is not None:
            self.suppose(self.legal(word))
        valid = Signal()
        m.d.comb += valid.eq(block.o.valid)
        for name, holds in self.claims(word, block.o.payload).items():
            self.claim(name, ~valid | holds)

    def _watch(self, port: str, name: str, value: Value | data.View) -> None:
        plain = Value.cast(value)
        self.watch(plain, plain.shape(), f"{port}_{name}")


def results_in(block: Block, words: int = 2) -> int:
    """Cycles within which ``words`` results come out if nothing stalls, the reset included."""
    return 2 + block.latency + (words - 1) * block.cycles_per_beat
