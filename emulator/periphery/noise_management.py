"""`noise_management`: bring a vector to the DAC's full range before a read, and undo it after (Gokmen et al. 2017).

    z = (W^T (delta / delta_max) + noise) * delta_max

The block turns ``delta_max`` into a multiplier and shift for the `scaler` in front of the DAC, and a scale by which
the ADC codes are multiplied. Modes:

- ``none``: the vector is driven as it is, 1.0 being full range;
- ``constant``: divided by ``2**-constant_exponent``;
- ``power_of_two``: divided by the power of two just above the maximum: leading zeros, no divider;
- ``exact``: divided by the maximum: one reciprocal per vector, so the largest element drives the full range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emulator.fixed import RECIPROCAL_GUARD_BITS, Integers, bit_length
from emulator.periphery.divider import divide


@dataclass(frozen=True)
class InputScaling:
    """How to drive a vector and how to read the answer. Arrays hold one element per vector.

    DAC code = round(v * multiplier / 2**shift). Output = ADC code * scale, with ``fraction`` further fraction bits.
    """

    multiplier: Integers
    shift: Integers
    scale: Integers
    fraction: int


def noise_management(
    maximum: Integers, *, mode: str, constant_exponent: int, fraction: int, magnitude_bits: int, dac_fraction: int
) -> InputScaling:
    """The scaling of vectors whose elements ``v`` stand for ``v * 2**-fraction``, given their largest magnitudes.

    ``exact``: with P = magnitude_bits, n the leading zeros of the maximum in P bits and g guard bits, the reciprocal
    is ``R = floor(2**(P + dac_fraction + g) / (maximum << n))``, P + g - n is the shift, and the code of the maximum
    is exactly ``2**dac_fraction``. A zero vector has scale 0 in the modes that scale by the maximum.
    """
    maximum = np.asarray(maximum, dtype=np.int64)
    one = np.ones_like(maximum)
    if mode in ("none", "constant"):
        return InputScaling(one, one * (fraction - dac_fraction - constant_exponent), one, constant_exponent)
    length = bit_length(maximum)
    if mode == "power_of_two":
        return InputScaling(one, length - dac_fraction, np.where(maximum > 0, one << length, 0), fraction)
    leading_zeros = magnitude_bits - length
    numerator = 1 << (magnitude_bits + dac_fraction + RECIPROCAL_GUARD_BITS)
    reciprocal, _ = divide(numerator, maximum << leading_zeros)
    return InputScaling(reciprocal, magnitude_bits + RECIPROCAL_GUARD_BITS - leading_zeros, maximum, fraction)
