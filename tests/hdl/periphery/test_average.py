"""Means over copies, against the model."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from emulator.config import load
from hdl.periphery.average import Average, AverageParameters, guard_bits_of, reciprocal_of
from sim.pysim import Outcome, run
from sim.transactions import transactions_of
from sim.transactions.base import Transactions


def average(lanes: int, beats: int, copies: int, replication: int, **others: int) -> Average:
    """Of one array."""
    return Average(
        AverageParameters(
            lanes=lanes, fewest_beats=beats, beats=beats, copies=copies, replications=(replication,), **others
        ),
    )


def assert_timing(block: Average, work: Transactions, outcome: Outcome) -> None:
    """A beat per cycle in; the means of a beat of the last copy ``latency`` cycles later."""
    taken = outcome.cycles["i"]
    assert taken == list(range(taken[0], taken[0] + len(work.inputs["i"])))
    of_last_copy, words = [], work.inputs["i"]
    while words:
        beats, copies = words[0]["beats"], words[0]["copies"]
        start = taken[len(taken) - len(words)]
        of_last_copy += range(start + beats * (copies - 1), start + beats * copies)
        words = words[beats * copies :]
    assert outcome.cycles["o"] == [cycle + block.latency for cycle in of_last_copy]


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("beats", (1, 2, 3, 4, 5, 9))
@pytest.mark.parametrize("copies, replication", ((2, 2), (3, 3), (1, 3), (1, 4), (1, 1)))
def test_equals_the_model(copies: int, replication: int, beats: int, stall: float) -> None:
    block = average(3, beats, copies, replication)
    work = transactions_of(block, np.random.default_rng(copies + beats), 6)
    outcome = run(block, work, stall=stall)
    if not stall:
        assert_timing(block, work, outcome)


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("fewest, most", ((1, 2), (1, 3), (1, 9), (2, 5), (3, 4), (4, 9)))
@pytest.mark.parametrize("replications", ((1, 4), (1, 13), (4, 3, 2, 1)))
def test_arrays_of_all_kinds_in_one(replications: tuple[int, ...], fewest: int, most: int, stall: float) -> None:
    """Beats, copies, reciprocal and guard bits differ from vector to vector."""
    parameters = AverageParameters(
        lanes=2, fewest_beats=fewest, beats=most, copies=max(replications), replications=replications, sideband_bits=1
    )
    block = Average(parameters)
    work = transactions_of(block, np.random.default_rng(most), 24)
    outcome = run(block, work, stall=stall)
    if not stall:
        assert_timing(block, work, outcome)


@pytest.mark.parametrize("lanes, beats", ((1, 1), (1, 7), (8, 2), (32, 4)))
def test_equals_the_model_over_lanes(lanes: int, beats: int) -> None:
    block = average(lanes, beats, 5, 5)
    run(block, transactions_of(block, np.random.default_rng(lanes), 4), stall=0.4)


@pytest.mark.parametrize("bits", (1, 8, 30))
@pytest.mark.parametrize("replication", (2, 13, 53, 63, 64))
@pytest.mark.parametrize("summed", (True, False))
def test_widths(replication: int, summed: bool, bits: int) -> None:
    """No sum and no mean leaves its word, with the largest codes in all copies."""
    block = average(2, 1, replication if summed else 1, replication, magnitude_bits=bits, sideband_bits=2)
    run(block, transactions_of(block, np.random.default_rng(bits), 4))


@pytest.mark.parametrize(
    "beats, copies, replication, latency",
    ((9, 1, 1, 1), (9, 1, 2, 1), (3, 4, 4, 2), (4, 4, 4, 3), (9, 1, 13, 4), (3, 13, 13, 7), (9, 13, 13, 8)),
)
def test_latency(beats: int, copies: int, replication: int, latency: int) -> None:
    block = average(2, beats, copies, replication)
    assert block.latency == latency
    work = transactions_of(block, np.random.default_rng(beats), 3)
    assert_timing(block, work, run(block, work))


@pytest.mark.parametrize("cycles", (1, 4, 9, 20))
@pytest.mark.parametrize("beats", (2, 5))
def test_reset_in_mid_vector(beats: int, cycles: int) -> None:
    block = average(3, beats, 3, 3)
    run(block, transactions_of(block, np.random.default_rng(cycles), 4), reset_after=cycles)


@pytest.mark.parametrize("replication", (1, 2, 3, 13, 37, 64))
def test_parameters_of_a_stage(replication: int) -> None:
    stage = load("tiny", [f"layers.K1.array.replication={replication}"]).stages[0]
    parameters = AverageParameters.of(stage, 2)
    assert parameters.replications == (replication,)
    assert reciprocal_of(replication) == stage.average_reciprocal
    assert guard_bits_of(replication) == stage.average_guard_bits
    assert (parameters.copies, parameters.beats) == (replication, 2)


@pytest.mark.parametrize(
    "refused, message",
    (
        ({"copies": 2, "replications": (1, 4)}, "copies = 2: accepted: 1, or the largest replication, 4"),
        ({"copies": 4}, "copies = 4: accepted: 1, or the largest replication, 1"),
        ({"beats": 0}, "beats"),
        ({"fewest_beats": 9}, "fewest_beats = 9: accepted: at most beats = 4"),
        ({"replications": (1, 65)}, "replications"),
    ),
)
def test_refused_parameters(refused: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AverageParameters(**refused)
