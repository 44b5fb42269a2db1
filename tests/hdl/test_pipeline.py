"""What joins streams: a relay."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.pipeline import relay
from hdl.shapes import record, stream_of
from sim.pysim import run
from sim.transactions.base import Transactions

WORDS = [{"word": word} for word in np.random.default_rng(1).integers(0, 1 << 8, 40).tolist()]


class Relayed(wiring.Component):
    """So many relays, one behind the other."""

    latency, cycles_per_beat = 0, 1

    def __init__(self, relays: int) -> None:
        self.relays, self.stream = relays, stream_of(record(word=8))
        super().__init__({"i": In(self.stream), "o": Out(self.stream)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        relayed = wiring.flipped(self.i)
        for number in range(self.relays):
            relayed = relay(m, relayed, f"relay_{number}")
        wiring.connect(m, relayed, wiring.flipped(self.o))
        return m


@pytest.mark.parametrize("stall", (0.0, 0.5))
@pytest.mark.parametrize("relays", (1, 3))
def test_words_stay_and_keep_their_order(relays: int, stall: float) -> None:
    run(Relayed(relays), Transactions({"i": WORDS}, {"o": WORDS}), stall=stall)


def test_takes_no_cycle() -> None:
    """A word per cycle, each in the cycle in which it comes."""
    outcome = run(Relayed(2), Transactions({"i": WORDS}, {"o": WORDS}))
    assert outcome.cycles["o"] == outcome.cycles["i"]
    assert np.diff(outcome.cycles["i"]).tolist() == [1] * (len(WORDS) - 1)
