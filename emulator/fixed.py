"""Fixed point: the only place where data is shifted, rounded, saturated, divided or multiplied as matrices.

Every function takes and returns signed integers (``int64`` arrays or Python integers) and is exact. A value ``v``
in Q-format with ``f`` fraction bits stands for ``v * 2**-f``. Hardware and the compiled engine do the same bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

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


def divide(numerator: Integers, denominator: Integers | int) -> tuple[Integers, Integers]:
    """Quotient and remainder of non-negative integers: ``n == q * d + r`` with ``0 <= r < d``.

    A zero denominator gives ``(0, n)``: the vector it comes from is all zeros, and its scale is then 0 too.
    """
    numerator = np.asarray(numerator, dtype=np.int64)
    denominator = np.asarray(denominator, dtype=np.int64)
    usable = denominator > 0
    quotient = np.where(usable, numerator // np.where(usable, denominator, 1), 0)
    return quotient, numerator - quotient * denominator


def square_root(value: Integers) -> tuple[Integers, Integers]:
    """Integer square root of ``0 <= value < 2**62``: ``v == r*r + rest`` with ``0 <= rest <= 2*r``.

    The digit-by-digit method, one result bit a step: what a sequential square rooter does.
    """
    rest = np.asarray(value, dtype=np.int64).copy()
    root = np.zeros(rest.shape, dtype=np.int64)
    for position in range(60, -2, -2):
        bit = np.int64(1 << position)
        trial = root + bit
        take = rest >= trial
        rest = np.where(take, rest - trial, rest)
        root = (root >> 1) + np.where(take, bit, 0)
    return root, rest


def matrix_product(left: NDArray, right: NDArray) -> Integers:
    """Integer matrix product (or stack of them), summed exactly in float64 by BLAS.

    The caller guarantees that sums stay below ``2**EXACT_FLOAT_BITS``; the config's validation proves it for
    every array product.
    """
    return np.matmul(left.astype(np.float64), right.astype(np.float64)).astype(np.int64)
