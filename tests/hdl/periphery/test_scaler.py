"""Scaled vectors, against the model."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from emulator.config import load
from hdl.periphery.scaler import Scaler, ScalerParameters
from sim.pysim import run
from sim.transactions import transactions_of
from sim.transactions.base import Transactions
from sim.transactions.scaler import scaled_beats, scaler_beats

#: Element, multiplier, shifts, limit, sideband, as in: the DAC, probability words, a mean's scale, mantissas of a shared
#: exponent, halvings taken back; and words of one bit, a multiplier in many parts, fixed shifts of either sign.
USES = {
    "converter": (15, 20, -4, 45, 1 << 9, 1),
    "probability": (15, 17, -30, 40, 1 << 24, 0),
    "scale_back": (24, 16, 0, 20, (1 << 41) - 1, 1),
    "mantissa": (52, 0, -24, 60, (1 << 15) - 1, 0),
    "restore": (13, 0, -4, 0, 12 << 13, 0),
    "one_bit": (1, 1, -3, 3, 1, 3),
    "wide_factors": (24, 38, 0, 60, 1000, 0),
    "fixed_right": (20, 17, 13, 13, (1 << 24) - 1, 0),
    "fixed_left": (8, 0, -5, -5, 999, 0),
    "always_zero": (4, 3, 9, 60, 7, 0),
}
LATENCIES = {"converter": 9, "probability": 8, "scale_back": 8, "mantissa": 8, "restore": 5, "fixed_left": 3}


def scaler(use: str, lanes: int, *, serial: bool = False) -> Scaler:
    magnitude, multiplier, lowest, highest, limit, sideband = USES[use]
    return Scaler(
        ScalerParameters(
            lanes=lanes,
            magnitude_bits=magnitude,
            multiplier_bits=multiplier,
            lowest_shift=lowest,
            highest_shift=highest,
            limit=limit,
            sideband_bits=sideband,
            serial=serial,
        )
    )


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("lanes", (1, 3))
@pytest.mark.parametrize("use", USES)
def test_equals_the_model(use: str, lanes: int, stall: float) -> None:
    block = scaler(use, lanes)
    assert block.latency == LATENCIES.get(use, block.latency)
    outcome = run(block, transactions_of(block, np.random.default_rng(lanes), 40), stall=stall)
    if not stall:
        taken = outcome.cycles["i"]
        assert taken == list(range(taken[0], taken[0] + len(taken)))
        assert outcome.cycles["o"] == [cycle + block.latency for cycle in taken]


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("use", USES)
def test_a_place_per_cycle(use: str, stall: float) -> None:
    block = scaler(use, 2, serial=True)
    outcome = run(block, transactions_of(block, np.random.default_rng(2), 20), stall=stall)
    if not stall:
        taken = outcome.cycles["i"]
        assert outcome.cycles["o"] == taken
        assert max(np.diff(taken)) <= block.cycles_per_beat


@pytest.mark.parametrize("use, lanes", (("converter", 8), ("converter", 32), ("restore", 32)))
def test_equals_the_model_with_many_lanes(use: str, lanes: int) -> None:
    block = scaler(use, lanes)
    run(block, transactions_of(block, np.random.default_rng(lanes), 6), stall=0.4)


@pytest.mark.parametrize("lowest, highest", ((-4, 12), (0, 0), (3, 7), (6, 60), (-128, -20), (-128, 127)))
@pytest.mark.parametrize("limit", (1, 5, 7, 500))
@pytest.mark.parametrize("serial", (False, True))
def test_every_element_at_every_shift(serial: bool, limit: int, lowest: int, highest: int) -> None:
    """All words of 4 bits and sign with multipliers of 2 bits, at the shifts around 0 and at the ends of the range."""
    parameters = ScalerParameters(
        lanes=31,
        magnitude_bits=4,
        multiplier_bits=2,
        lowest_shift=lowest,
        highest_shift=highest,
        limit=limit,
        serial=serial,
    )
    generator = np.random.default_rng(1)
    elements = list(range(-15, 16))
    inputs, outputs = [], []
    for multiplier in range(4):
        for shift in (*range(max(lowest, -9), min(highest, 9) + 1), max(lowest, -56), highest):
            inputs += scaler_beats(parameters, elements, multiplier, shift, generator)
            outputs += scaled_beats(parameters, elements, multiplier, shift, None)
    run(Scaler(parameters), Transactions({"i": inputs}, {"o": outputs}))


@pytest.mark.parametrize("cycles", (1, 2, 5, 12))
def test_reset_in_mid_vector(cycles: int) -> None:
    block = scaler("converter", 3)
    run(block, transactions_of(block, np.random.default_rng(cycles), 5), reset_after=cycles)


def test_parameters_of_a_stage() -> None:
    parameters = ScalerParameters.of(load("lenet").stages[0], 8)
    assert (parameters.lanes, parameters.limit) == (8, 1 << load("lenet").stages[0].dac_fraction)


@pytest.mark.parametrize(
    "refused, message",
    (
        ({"limit": 0}, "limit"),
        ({"highest_shift": 128}, "highest_shift"),
        ({"lowest_shift": 5, "highest_shift": 4}, "lowest_shift = 5: accepted: at most highest_shift, 4"),
    ),
)
def test_refused_parameters(refused: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ScalerParameters(**refused)
