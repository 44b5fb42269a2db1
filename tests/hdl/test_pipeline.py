"""What joins streams: relays, registers, forks, pipelines and streams of counters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator, SimulatorContext

from hdl.pipeline import counted, delayed, fork, pipeline, registered, relay
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


@pytest.mark.parametrize("cycles", (1, 2, 5))
@pytest.mark.parametrize("join", (relay, registered))
def test_reset_with_words_waiting(join: Callable, cycles: int) -> None:
    run(Joined(join, 2), Transactions({"i": WORDS}, {"o": WORDS}), stall=0.3, reset_after=cycles)


# --- pipelines ------------------------------------------------------------------------------------------------------


class Piped(wiring.Component):
    """A pipeline that carries its words in registers of its own."""

    cycles_per_beat = 1

    def __init__(self, stages: int) -> None:
        self.latency = stages
        super().__init__({"i": In(stream_of(record(word=8))), "o": Out(stream_of(record(word=8, valid=1)))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, valid = pipeline(m, self.i, self.o, self.latency)
        chain = delayed(m, advance, self.i.payload.word, self.latency, "word")
        m.d.comb += [self.o.payload.word.eq(chain[-1]), self.o.payload.valid.eq(valid[-1])]
        return m


@pytest.mark.parametrize("stall", (0.0, 0.5))
@pytest.mark.parametrize("stages", (1, 2, 4))
def test_a_pipeline_carries_its_words(stages: int, stall: float) -> None:
    outcome = run(
        Piped(stages), Transactions({"i": WORDS}, {"o": [{**word, "valid": 1} for word in WORDS]}), stall=stall
    )
    if not stall:
        assert np.array(outcome.cycles["o"]).tolist() == (np.array(outcome.cycles["i"]) + stages).tolist()


@pytest.mark.parametrize("stages", (1, 2, 4))
def test_a_pipeline_fills_while_nothing_is_taken(stages: int) -> None:
    """A word gets to the end without anybody who waits for it there, and then nothing more is taken."""
    piped = Piped(stages)

    async def bench(context: SimulatorContext) -> None:
        context.set(piped.i.valid, 1)
        for _ in range(stages):
            assert context.get(piped.i.ready) and not context.get(piped.o.valid)
            await context.tick()
        assert context.get(piped.o.valid) and not context.get(piped.i.ready)

    simulator = Simulator(piped)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("cycles", (1, 2, 3))
def test_reset_empties_a_pipeline(cycles: int) -> None:
    expected = [{**word, "valid": 1} for word in WORDS]
    run(Piped(3), Transactions({"i": WORDS}, {"o": expected}), stall=0.3, reset_after=cycles)


# --- forks ----------------------------------------------------------------------------------------------------------


class Forked(wiring.Component):
    """A stream to so many outputs. A word of ``allow`` enables the fork until the next word of ``i`` has passed."""

    latency, cycles_per_beat = 0, 1

    def __init__(self, count: int) -> None:
        word = stream_of(record(word=8))
        self.outputs = [f"o{number}" for number in range(count)]
        allow = stream_of(record(nothing=1))
        super().__init__({"i": In(word), "allow": In(allow), **{name: Out(word) for name in self.outputs}})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        outputs = [wiring.flipped(getattr(self, name)) for name in self.outputs]
        m.d.comb += [self.allow.ready.eq(self.i.valid & self.i.ready)]
        fork(m, wiring.flipped(self.i), outputs, self.allow.valid)
        m.d.comb += [output.payload.eq(self.i.payload) for output in outputs]
        return m


def forked(count: int) -> Transactions:
    """Every output gets every word, once."""
    return Transactions(
        {"i": WORDS, "allow": [{"nothing": 0}] * len(WORDS)}, {f"o{number}": WORDS for number in range(count)}
    )


@pytest.mark.parametrize("seed", (1, 2))
@pytest.mark.parametrize("stall", (0.0, 0.3, 0.7))
@pytest.mark.parametrize("count", (1, 2, 3))
def test_a_fork_gives_every_word_to_all_once(count: int, stall: float, seed: int) -> None:
    """Each side pauses by itself, so that words are taken in all orders and not only together."""
    outcome = run(Forked(count), forked(count), stall=stall, seed=seed)
    taken = [outcome.cycles[f"o{number}"] for number in range(count)]
    assert outcome.cycles["i"] == np.max(taken, axis=0).tolist() == outcome.cycles["allow"]
    if stall and count > 1:
        assert {np.sign(first - second) for first, second in zip(taken[0], taken[-1], strict=True)} == {-1, 0, 1}


def test_a_fork_takes_a_word_per_cycle() -> None:
    assert np.diff(run(Forked(3), forked(3)).cycles["i"]).tolist() == [1] * (len(WORDS) - 1)


@pytest.mark.parametrize("seed", range(6))
def test_reset_when_some_have_their_word(seed: int) -> None:
    """Nothing is remembered of who had taken the word before."""
    run(Forked(3), forked(3), stall=0.6, seed=seed, reset_after=1 + seed % 3)


# --- counters as a stream -------------------------------------------------------------------------------------------


class Counting(wiring.Component):
    """Numbers from 0 on for every word of ``begin``, a word each."""

    latency, cycles_per_beat, COUNT = 0, 1, 9

    def __init__(self, *, relayed: bool) -> None:
        self.relayed = relayed
        super().__init__({"begin": In(stream_of(record(nothing=1))), "o": Out(stream_of(record(number=4, ends=1)))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        number, sending, step = Signal(4), Signal(), Signal()
        ends = number == self.COUNT - 1
        words = counted(m, {"number": number, "ends": ends}, sending, step, relayed=self.relayed)
        m.d.comb += [
            self.begin.ready.eq(~sending),
            self.o.valid.eq(words.valid),
            words.ready.eq(self.o.ready),
            *(self.o.payload[name].eq(words.payload[name]) for name in ("number", "ends")),
        ]
        with m.If(self.begin.valid & ~sending):
            m.d.sync += sending.eq(1)
        with m.If(step):
            m.d.sync += [number.eq(number + 1)]
            with m.If(ends):
                m.d.sync += [number.eq(0), sending.eq(0)]
        return m


@pytest.mark.parametrize("stall", (0.0, 0.5))
@pytest.mark.parametrize("relayed", (False, True), ids=("plain", "relayed"))
def test_counters_go_on_when_their_word_is_taken(relayed: bool, stall: float) -> None:
    numbers = [{"number": number, "ends": int(number == Counting.COUNT - 1)} for number in range(Counting.COUNT)]
    run(Counting(relayed=relayed), Transactions({"begin": [{"nothing": 0}] * 3}, {"o": numbers * 3}), stall=stall)
