"""Tables of functions: what a machine looks up instead of computing. Shared by models, engine and hardware."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from emulator.fixed import SOFTMAX_FRACTION_BITS, Integers

#: tanh(8) differs from 1 by 2e-7, less than half an LSB of the finest activation.
TANH_RANGE = 8
#: exp(-16) is 1.9 LSB of softmax's result; from there on the exponential is 0.
EXPONENTIAL_RANGE = 16
FINE_FRACTION_BITS = 18


@cache
def tanh_table(input_fraction: int, output_fraction: int) -> Integers:
    """``round(2**output_fraction * tanh(k * 2**-input_fraction))`` for k = 0 .. TANH_RANGE * 2**input_fraction - 1."""
    entries = TANH_RANGE << input_fraction
    values = [math.tanh(math.ldexp(k, -input_fraction)) for k in range(entries)]
    return np.array([math.floor(math.ldexp(value, output_fraction) + 0.5) for value in values], dtype=np.int64)


@cache
def exponential_tables(fraction: int) -> tuple[Integers, Integers]:
    """Coarse: ``round(2**24 exp(-k/2))``, k = 0 .. 31. Fine: ``round(2**18 exp(-l * 2**-fraction))``, l < 1/2."""
    coarse = [math.exp(-k / 2) for k in range(2 * EXPONENTIAL_RANGE)]
    fine = [math.exp(-math.ldexp(k, -fraction)) for k in range(1 << (fraction - 1))]
    return (
        np.array([math.floor(math.ldexp(v, SOFTMAX_FRACTION_BITS) + 0.5) for v in coarse], dtype=np.int64),
        np.array([math.floor(math.ldexp(v, FINE_FRACTION_BITS) + 0.5) for v in fine], dtype=np.int64),
    )
