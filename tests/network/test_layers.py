"""What surrounds a tile: errors through the shared exponent and the derivative."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from emulator.config import Config, Stage
from emulator.network.layers import ForwardCycle, StageModel

FRACTION = 3
MAGNITUDE_BITS = 5


def stage_with(activation: str) -> Stage:
    """A hidden layer of activations with few fraction bits."""
    full: dict[str, Any] = {"type": "fully_connected", "bias": False}
    tree = {
        "classes": 2,
        "input": {"height": 1, "width": 1},
        "formats": {"activation_bits": 8, "activation_fraction_bits": FRACTION, "error_bits": MAGNITUDE_BITS + 1},
        "layers": {
            "H": {**full, "outputs": 62, "activation": activation},
            "W": {**full, "outputs": 2, "activation": "softmax"},
        },
    }
    return Config.model_validate(tree).stages[0]


def rounded(value: Fraction) -> int:
    """Nearest integer, halves away from zero."""
    magnitude = math.floor(abs(value) + Fraction(1, 2))
    return magnitude if value >= 0 else -magnitude


def test_errors_times_the_derivative_round_halves_away_from_zero() -> None:
    """All mantissas of five bits, for activations with derivatives of odd and even eighths: ties of both signs."""
    sums = [*range(-31, 0), *range(1, 32)]
    one = 1 << FRACTION
    ties = set()
    for activation in (0, 1, 2, 3, 5, 6, 7, 8, -6):
        output = np.full((1, 1, len(sums)), activation)
        cycle = ForwardCycle(np.zeros((1, 1)), np.zeros((1, len(sums))), output, None)
        errors = StageModel(stage_with("tanh"), seed=1).errors(cycle, np.array(sums).reshape(1, 1, -1), fraction=20)
        assert errors.exponent == 20
        slope = one - rounded(Fraction(activation**2, one))
        assert errors.mantissas[0].tolist() == [rounded(Fraction(value * slope, one)) for value in sums]
        ties |= {value > 0 for value in sums if value * slope % one == one // 2}
    assert ties == {False, True}


def test_identity_passes_errors_on() -> None:
    sums = np.arange(-31, 31).reshape(1, 1, -1)
    cycle = ForwardCycle(np.zeros((1, 1)), np.zeros((1, 62)), np.full((1, 1, 62), 7), None)
    errors = StageModel(stage_with("identity"), seed=1).errors(cycle, sums, fraction=20)
    assert errors.mantissas[0].tolist() == sums.ravel().tolist()
