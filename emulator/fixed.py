"""Fixed point: the only place where data is shifted, rounded, saturated or multiplied as matrices.

Every function takes and returns signed integers (``int64`` arrays or Python integers) and is exact. A value ``v``
in Q-format with ``f`` fraction bits stands for ``v * 2**-f``. Hardware and the compiled engine do the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

#: Of docs/arithmetic.md. A run whose bits another version would change carries its number: digest, checkpoint, board.
ARITHMETIC_VERSION = 2
#: Bits drawn from a generator per word, for pulses and for noise.
WORD_BITS = 24
#: Taps of the generators' recurrences, by the width of the state (emulator/periphery/lfsr.py says why these).
TAPS = {32: (32, 30, 26, 25), 48: (48, 44, 29, 27), 64: (64, 59, 49, 38)}
#: Mixing rounds from the word of a move's noise to the word of its rounding: after them nothing of the noise shows in it.
ROUNDING_ROUNDS = 3
#: A Gaussian word: the ones among the upper bits, smoothed by the lower bits (emulator/array/noise.py).
GAUSSIAN_ONES_BITS = 16
GAUSSIAN_FILL_BITS = WORD_BITS - GAUSSIAN_ONES_BITS
#: Exact standard deviation of that Gaussian, in its own LSB.
GAUSSIAN_DEVIATION = math.sqrt(4 ** (GAUSSIAN_FILL_BITS + 1) * GAUSSIAN_ONES_BITS / 4 + (4**GAUSSIAN_FILL_BITS - 1) / 3)
#: Largest magnitude of the Gaussian word.
LARGEST_GAUSSIAN = (GAUSSIAN_ONES_BITS << GAUSSIAN_FILL_BITS) + (1 << GAUSSIAN_FILL_BITS) - 1
#: Mantissa bits of the gains of update management, and guard bits of noise management's reciprocal.
GAIN_BITS = 16
RECIPROCAL_GUARD_BITS = 4
#: Bits of the reciprocal of the number of replicas.
AVERAGE_BITS = 16
#: Steps of devices have so many fraction bits, or more if the weight is fine: these below the LSB of the weight.
STEP_FRACTION_BITS = 21
STEP_EXTRA_BITS = 4
#: Bits of the largest mean step: with the largest spread, drawn steps then fit 32 bits.
STEP_BITS = 26
#: Fraction bits of: a relative cycle-to-cycle factor, the up/down ratio, and the gains of device draws.
CYCLE_FRACTION_BITS = 10
RATIO_FRACTION_BITS = 16
DRAW_FRACTION_BITS = 10
#: Errors: fraction bits of softmax's result, and the largest shared exponent (LSB 2**-40).
SOFTMAX_FRACTION_BITS = 24
LARGEST_EXPONENT = 40
#: Finest resolution of a converter that is "off", and the integer bits of an output without bound.
FINEST_CONVERTER_BITS = 14
UNBOUNDED_INTEGER_BITS = 12
#: Every integer on the path from the ADC to the next error stays within this many bits, sign excluded, so that a
#: float64 holds it exactly too.
PATH_BITS = 52
#: Products of the array are summed in float64, which is exact while every partial sum stays below this.
EXACT_FLOAT_BITS = 53


def round_shift(value: Integers, shift: Integers | int) -> Integers:
    """``value / 2**shift`` rounded to nearest, halves away from zero. A negative shift multiplies, exactly.

    In hardware: add half an LSB, less one if the value is negative, then shift arithmetically. Rounding is odd
    (``round(-v) == -round(v)``), so codes of either sign carry no bias. Shifts of 63 and more give 0.
    """
    value = np.asarray(value, dtype=np.int64)
    shift = np.asarray(shift, dtype=np.int64)
    right = np.clip(shift, 0, 62)
    half = np.where(right > 0, np.left_shift(np.int64(1), np.maximum(right - 1, 0)), 0)
    rounded = (value + half - ((value < 0) & (right > 0))) >> right
    rounded = np.where(shift > 62, 0, rounded)
    return np.left_shift(rounded, np.clip(-shift, 0, 62))


def round_stochastically(value: Integers, shift: int, words: Integers) -> Integers:
    """``value / 2**shift`` rounded up with the probability of its fraction, else down, so that the mean is exact.

    ``floor(value / 2**shift + u)`` with ``u`` uniform in [0, 1): the uniform WORD_BITS-bit words, as fractions. Where a
    word has more bits than ``shift``, the lowest have no effect and are left out.
    """
    offset = words >> (WORD_BITS - shift) if shift <= WORD_BITS else words << (shift - WORD_BITS)
    return (value + offset) >> shift


def step_fraction_bits(weight_fraction_bits: int) -> int:
    """Fraction bits of a device's step beside a weight with ``weight_fraction_bits``: steps stay fine where weights are
    coarse, so that the rounding of a mean step is no bias."""
    return max(STEP_FRACTION_BITS, weight_fraction_bits + STEP_EXTRA_BITS)


def saturate(value: Integers, low: int, high: int) -> Integers:
    """``value`` limited to ``[low, high]``, both included."""
    return np.clip(value, low, high)


def bit_length(value: Integers) -> Integers:
    """Number of bits of a non-negative integer below 2**62: 0 for 0, else ``floor(log2(value)) + 1``."""
    value = np.asarray(value, dtype=np.int64)
    length = np.zeros(value.shape, dtype=np.int64)
    rest = value.copy()
    for step in (32, 16, 8, 4, 2, 1):
        large = rest >= (1 << step)
        length += np.where(large, step, 0)
        rest = np.where(large, rest >> step, rest)
    return length + (rest > 0)


def matrix_product(left: NDArray[Any], right: NDArray[Any]) -> Integers:
    """Integer matrix product (or stack of them), summed exactly in float64 by BLAS.

    The caller guarantees that sums stay below ``2**EXACT_FLOAT_BITS``; the config's validation proves it for
    every array product.
    """
    return np.matmul(left.astype(np.float64), right.astype(np.float64)).astype(np.int64)
