"""Copies of vectors, against the model."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from emulator.config import load
from hdl.periphery.replicate import Replicate, ReplicateParameters
from sim.pysim import Outcome, run
from sim.transactions import transactions_of
from sim.transactions.base import Transactions


def replicate(lanes: int, beats: int, copies: int, bits: int = 15) -> Replicate:
    return Replicate(ReplicateParameters(lanes=lanes, magnitude_bits=bits, beats=beats, copies=copies))


def assert_timing(block: Replicate, work: Transactions, outcome: Outcome) -> None:
    """Beats of a vector come in without gaps, as soon as one of the two before it is ended; and go out without gaps,
    ``latency`` after the last came in, or after the word of ``again`` that repeats it or ends the one before."""
    taken, given, decided = (iter(outcome.cycles[port]) for port in ("i", "o", "again"))
    beats, words = iter(work.inputs["i"]), iter(work.outputs["o"])
    ended = [-1, -1]  # when the vectors before were
    repeat, start = {"repeat": 0}, -1
    last_arrival = -1
    for decision in work.inputs["again"]:
        if not repeat["repeat"]:
            arrivals = [next(taken)]
            while not next(beats)["last"]:
                arrivals.append(next(taken))
            first = max(last_arrival, ended[-2]) + 1
            last_arrival = arrivals[-1]
            assert arrivals[0] == first or len(ended) == 2
            assert arrivals == list(range(arrivals[0], last_arrival + 1))
            start = max(last_arrival, start)
        departures = [next(given)]
        while not next(words)["last"]:
            departures.append(next(given))
        assert departures == list(range(start + block.latency, start + block.latency + len(departures)))
        start, repeat = next(decided), decision
        assert start == departures[-1] + 1
        if not decision["repeat"]:
            ended.append(start)
    assert next(given, None) is None


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("copies", (1, 2, 13))
@pytest.mark.parametrize("lanes, beats", ((1, 1), (3, 2), (8, 5), (32, 3)))
def test_equals_the_model(lanes: int, beats: int, copies: int, stall: float) -> None:
    block = replicate(lanes, beats, copies)
    work = transactions_of(block, np.random.default_rng(lanes + beats + copies), 6)
    outcome = run(block, work, stall=stall)
    if not stall:
        assert_timing(block, work, outcome)


@pytest.mark.parametrize("bits", (1, 24, 62))
def test_widths(bits: int) -> None:
    block = replicate(3, 4, 2, bits)
    run(block, transactions_of(block, np.random.default_rng(bits), 8), stall=0.4)


@pytest.mark.parametrize("cycles", (1, 3, 7, 11, 16, 40))
def test_reset_in_mid_vector(cycles: int) -> None:
    block = replicate(3, 5, 3)
    run(block, transactions_of(block, np.random.default_rng(cycles), 4), reset_after=cycles)


def test_parameters_of_a_stage() -> None:
    """Replicated rows: 32. Replicated columns: one pixel of 5 channels and the bias line, each beginning a beat."""
    rows = ReplicateParameters.of(load("lenet-k2x4").stages[1], 8)
    assert (rows.beats, rows.copies, rows.magnitude_bits) == (4, 4, load("lenet-k2x4").stages[1].error_magnitude_bits)
    columns = ReplicateParameters.of(load("tiny", ["layers.W3.array.replication=3"]).stages[2], 4)
    assert (columns.beats, columns.copies) == (2 + 1, 3)


@pytest.mark.parametrize("refused", ({"copies": 0}, {"beats": 0}, {"copies": 65}))
def test_refused_parameters(refused: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=next(iter(refused))):
        ReplicateParameters(**refused)
