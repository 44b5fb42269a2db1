"""A run ends, whatever the block does."""

from __future__ import annotations

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.shapes import record, stream_of
from sim.pysim import run
from sim.transactions.base import Transactions


class Babbler(wiring.Component):
    """Offers words without end on one stream, if told to, and none on the other."""

    latency, cycles_per_beat = 0, 1

    def __init__(self, babbles: bool) -> None:
        self.babbles = babbles
        stream = stream_of(record(word=8))
        super().__init__({"i": In(stream), "endless": Out(stream), "silent": Out(stream)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [self.i.ready.eq(1), self.endless.valid.eq(self.babbles)]
        return m


@pytest.mark.parametrize(
    ("babbles", "ending"), [(False, "hung: .*'silent': 1"), (True, "endless: more than the 1 words that are expected")]
)
def test_a_block_that_never_ends(babbles: bool, ending: str) -> None:
    words = [{"word": 0}]
    with pytest.raises(AssertionError, match=f"^{ending}"):
        run(Babbler(babbles), Transactions({"i": words}, {"endless": words, "silent": words}))
