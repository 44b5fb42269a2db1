"""The error of softmax and cross-entropy, against the model."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from emulator.config import load
from hdl.periphery.softmax import Softmax, SoftmaxParameters
from sim.pysim import run
from sim.transactions import transactions_of

VECTORS = 4


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("lanes", (1, 3, 8, 32))
@pytest.mark.parametrize("classes", (2, 8))
def test_equals_the_model(classes: int, lanes: int, stall: float) -> None:
    block = Softmax(SoftmaxParameters(lanes=lanes, classes=classes, radix=16))
    outcome = run(block, transactions_of(block, np.random.default_rng(classes + lanes), VECTORS), stall=stall)
    if not stall:
        taken, given = (np.array(outcome.cycles[port]).reshape(VECTORS, -1) for port in ("i", "o"))
        assert (given[:, 0] == taken[:, -1] + block.latency).all()
        assert (np.diff(taken) == block.cycles_per_beat).all()


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize(
    "parameters",
    (
        {"classes": 2},
        {"classes": 10},
        {"classes": 5, "adc_fraction": 1},
        {"classes": 5, "adc_fraction": 14, "magnitude_bits": 20},
    ),
)
def test_bit_by_bit(parameters: dict[str, int], stall: float) -> None:
    block = Softmax(SoftmaxParameters(lanes=1, serial=True, **parameters))
    outcome = run(block, transactions_of(block, np.random.default_rng(1), VECTORS), stall=stall)
    if not stall:
        taken, given = (np.array(outcome.cycles[port]).reshape(VECTORS, -1) for port in ("i", "o"))
        assert (given[:, 0] == taken[:, -1] + block.latency).all()
        assert (np.diff(taken) == block.cycles_per_beat).all()


@pytest.mark.parametrize("radix", (2, 4, 8, 16))
def test_latency_of_a_radix(radix: int) -> None:
    block = Softmax(SoftmaxParameters(lanes=8, classes=10, radix=radix))
    divisions = 10 * (-(-49 // (radix.bit_length() - 1)) + 3)
    assert block.latency == 8 + 1 + 10 + 7 + divisions + 8 + 1
    outcome = run(block, transactions_of(block, np.random.default_rng(radix), 1))
    assert outcome.cycles["o"][0] - outcome.cycles["i"][-1] == block.latency


@pytest.mark.parametrize("widths", ((1, 12), (2, 1), (14, 20), (7, 52)))
def test_widths(widths: tuple[int, int]) -> None:
    fraction, bits = widths
    block = Softmax(SoftmaxParameters(lanes=3, classes=5, adc_fraction=fraction, magnitude_bits=bits, radix=16))
    run(block, transactions_of(block, np.random.default_rng(sum(widths)), 8))


@pytest.mark.parametrize("cycles", (1, 12, 30, 60, 200))
def test_reset_in_mid_work(cycles: int) -> None:
    block = Softmax(SoftmaxParameters(lanes=3, classes=4, radix=16))
    run(block, transactions_of(block, np.random.default_rng(cycles), 3), reset_after=cycles)


def test_parameters_of_a_stage() -> None:
    parameters = SoftmaxParameters.of(load("tiny").stages[-1], 8)
    assert (parameters.lanes, parameters.classes, parameters.adc_fraction) == (8, 10, 7)


def test_refused_parameters() -> None:
    with pytest.raises(ValidationError, match="classes"):
        SoftmaxParameters(classes=1)
