"""Pulse trains and the states of the generators, against the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from hdl.periphery.pulse_generator import PulseGenerator, PulseGeneratorParameters
from sim.pysim import run
from sim.transactions import transactions_of
from sim.transactions.base import Transactions

STALLS = (0.0, 0.4)


def check(stall: float = 0.0, cycles: int = 3, reset_after: int | None = None, **parameters: Any) -> None:
    """Trains of several update cycles and all states after them; without stalls latency and throughput as stated. Of one
    array, unless ``fewest_beats`` leaves room for others."""
    block = PulseGenerator(PulseGeneratorParameters(**{"fewest_beats": parameters["beats"], **parameters}))
    work = transactions_of(block, np.random.default_rng(block.parameters.lanes), cycles)
    outcome = run(block, work, stall=stall, reset_after=reset_after)
    assert len(outcome.words["answer"]) == block.parameters.beats * block.parameters.generators
    if not stall:
        first = len(work.then[0].inputs["i"])
        slots = [word["desired_bl"] for word in work.then[0].inputs["i"]]
        taken, given = outcome.cycles["i"][:first], outcome.cycles["o"][:first]
        # Fetch and draw each hold a beat, so the second one waits only for the first one's way to draw.
        assert np.diff(given).tolist() == slots[1:]
        assert given[0] - taken[0] == block.latency - block.parameters.desired_bl + slots[0]
        assert block.cycles_per_beat == block.parameters.desired_bl == max(slots)
        if block.parameters.desired_bl == 1:
            assert taken == list(range(taken[0], taken[0] + first))


@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("fewest", (1, 2, 3, 4))
@pytest.mark.parametrize("slots", (1, 2, 10))
def test_arrays_of_all_kinds_in_one(slots: int, fewest: int, stall: float) -> None:
    """BL, place in the memory and number of beats differ from cycle to cycle."""
    check(stall, cycles=24, lanes=2, beats=17, fewest_beats=fewest, desired_bl=slots)


@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("beats", (1, 2, 3, 5))
@pytest.mark.parametrize("slots", (1, 2, 10))
def test_equals_the_model_over_update_cycles(slots: int, beats: int, stall: float) -> None:
    check(stall, cycles=5, lanes=3, beats=beats, desired_bl=slots)


@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("slots", (31, 63))
def test_long_trains(slots: int, stall: float) -> None:
    check(stall, lanes=2, beats=2, desired_bl=slots)


@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("lanes", (1, 8, 32))
def test_lanes(lanes: int, stall: float) -> None:
    check(stall, lanes=lanes, beats=3, desired_bl=1, sideband_bits=5)


@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("fewest, slots, width", ((1, 1, 64), (1, 6, 32), (3, 10, 48), (3, 1, 32)))
def test_a_beat_at_a_time(fewest: int, slots: int, width: int, stall: float) -> None:
    block = PulseGenerator(
        PulseGeneratorParameters(
            lanes=1, beats=9, fewest_beats=fewest, desired_bl=slots, generator_width=width, sideband_bits=2, serial=True
        )
    )
    work = transactions_of(block, np.random.default_rng(slots), 40)
    outcome = run(block, work, stall=stall)
    assert len(outcome.words["answer"]) == block.parameters.beats
    if not stall:
        first = len(work.then[0].inputs["i"])
        taken, given = outcome.cycles["i"][:first], outcome.cycles["o"][:first]
        assert given == taken
        assert max(np.diff(taken)) <= block.cycles_per_beat


@pytest.mark.parametrize("cycles", (1, 3, 12, 25))
def test_reset_with_a_beat_at_a_time(cycles: int) -> None:
    check(0.3, reset_after=cycles, lanes=1, beats=4, desired_bl=3, serial=True)


@pytest.mark.parametrize("width", (32, 48, 64))
@pytest.mark.parametrize("sharing", (1, 2, 4))
def test_shared_generators_and_their_rotation(sharing: int, width: int) -> None:
    check(lanes=8, beats=2, desired_bl=4, generator_sharing=sharing, generator_width=width)


def test_uneven_rotation() -> None:
    """24 // 5 leaves a remainder."""
    check(lanes=5, beats=3, desired_bl=3, generator_sharing=5)


@pytest.mark.parametrize("bits", (2, 3, 9, 23, 24))
def test_probability_bits(bits: int) -> None:
    check(0.3, cycles=6, lanes=4, beats=2, desired_bl=6, probability_bits=bits)


@pytest.mark.parametrize("bits", (2, 24))
def test_zero_never_fires_and_one_always_does(bits: int) -> None:
    block = PulseGenerator(
        PulseGeneratorParameters(lanes=4, beats=1, fewest_beats=1, desired_bl=20, probability_bits=bits)
    )
    common = {"mask": 15, "last": 1, "negative": 5}
    rows = [[0, 1 << bits, 1 << bits, 0], [1 << bits, 0, 0, 1 << bits]] * 8
    run(
        block,
        Transactions(
            {"i": [{"elements": row, **common, "end": 1, "desired_bl": 20, "base": 0} for row in rows], "access": []},
            {"o": [{"elements": [(1 << 20) - 1 if p else 0 for p in row], **common} for row in rows], "answer": []},
        ),
    )


def test_states_are_one_before_they_are_loaded() -> None:
    block = PulseGenerator(PulseGeneratorParameters(lanes=2, beats=3, fewest_beats=3))
    reads = [{"beat": b, "generator": g, "write": 0, "state": 0} for b in range(3) for g in range(2)]
    run(block, Transactions({"i": [], "access": reads}, {"o": [], "answer": [{"state": 1}] * 6}), stall=0.3)


@pytest.mark.parametrize("cycles", (1, 3, 12, 25, 60))
@pytest.mark.parametrize("slots", (1, 6))
def test_reset_in_mid_cycle(slots: int, cycles: int) -> None:
    """Accesses and beats are offered at random before the reset; then the states are loaded and all begins anew."""
    check(reset_after=cycles, lanes=3, beats=4, desired_bl=slots)


def test_sharing_must_divide_the_lanes() -> None:
    with pytest.raises(
        ValidationError, match=r"generator_sharing = 3: must divide lanes = 8; accepted: \[1, 2, 4, 8\]"
    ):
        PulseGeneratorParameters(lanes=8, generator_sharing=3)


def test_other_generator_widths_are_refused() -> None:
    with pytest.raises(ValidationError, match="32, 48 or 64"):
        PulseGeneratorParameters(generator_width=40)


def test_cycles_longer_than_the_memory_are_refused() -> None:
    with pytest.raises(ValidationError, match="fewest_beats = 4: accepted: at most beats = 3"):
        PulseGeneratorParameters(beats=3)
