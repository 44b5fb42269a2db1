"""What joins streams: relays and registers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.pipeline import registered, relay
from hdl.shapes import record, stream_of
from sim.pysim import run
from sim.transactions.base import Transactions

WORDS = [{"word": word} for word in np.random.default_rng(1).integers(0, 1 << 8, 40).tolist()]


class Joined(wiring.Component):
    """So many relays or registers, one behind the other."""

    latency, cycles_per_beat = 0, 1

    def __init__(self, join: Callable, count: int) -> None:
        self.join, self.count, self.stream = join, count, stream_of(record(word=8))
        super().__init__({"i": In(self.stream), "o": Out(self.stream)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        joined = wiring.flipped(self.i)
        for number in range(self.count):
            joined = self.join(m, joined, f"join_{number}")
        wiring.connect(m, joined, wiring.flipped(self.o))
        return m


@pytest.mark.parametrize("stall", (0.0, 0.5))
@pytest.mark.parametrize("count", (1, 3))
@pytest.mark.parametrize("join", (relay, registered))
def test_words_stay_and_keep_their_order(join: Callable, count: int, stall: float) -> None:
    run(Joined(join, count), Transactions({"i": WORDS}, {"o": WORDS}), stall=stall)


@pytest.mark.parametrize(("join", "cycles"), ((relay, 0), (registered, 1)))
def test_takes_its_cycles(join: Callable, cycles: int) -> None:
    """A word per cycle, each so much later than it came."""
    outcome = run(Joined(join, 2), Transactions({"i": WORDS}, {"o": WORDS}))
    assert np.array(outcome.cycles["o"]).tolist() == (np.array(outcome.cycles["i"]) + 2 * cycles).tolist()
    assert np.diff(outcome.cycles["i"]).tolist() == [1] * (len(WORDS) - 1)
