"""`activation`: tanh by table, identity, and their derivatives.

The table's address is the pre-activation at the ADC's LSB, so no interpolation is needed. Beyond +-TANH_RANGE the
last entry is repeated.
"""

from __future__ import annotations

import numpy as np

from emulator.config.tables import tanh_table
from emulator.fixed import Integers, round_shift, saturate


def activation(
    pre_activation: Integers, kind: str, input_fraction: int, output_fraction: int, magnitude_bits: int
) -> Integers:
    """The activations of pre-activations at ``input_fraction`` fraction bits, saturated to ``magnitude_bits``."""
    if kind == "tanh":
        table = tanh_table(input_fraction, output_fraction)
        return np.sign(pre_activation) * table[np.minimum(np.abs(pre_activation), len(table) - 1)]
    limit = (1 << magnitude_bits) - 1
    return saturate(round_shift(pre_activation, input_fraction - output_fraction), -limit, limit)


def derivative(activations: Integers, kind: str, fraction: int) -> Integers:
    """tanh' = 1 - a**2 from the activation itself, ``fraction`` fraction bits; 1 for identity and softmax."""
    one = np.full_like(activations, 1 << fraction)
    if kind == "tanh":
        return one - round_shift(activations * activations, fraction)
    return one
