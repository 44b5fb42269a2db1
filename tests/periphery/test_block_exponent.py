"""Shared exponents against fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.fixed import LARGEST_EXPONENT, PATH_BITS
from emulator.periphery.block_exponent import block_exponent

HALF = Fraction(1, 2)


@st.composite
def tensors(draw: st.DrawFn) -> list[int]:
    """Sums of any size up to PATH_BITS, powers of two and their neighbours among them."""
    limit = 1 << draw(st.integers(0, PATH_BITS - 1))
    corner = st.sampled_from([value for c in (limit - 1, limit, limit + 1, 1, 0) for value in (c, -c)])
    return draw(st.lists(st.one_of(st.integers(-limit, limit), corner), min_size=1, max_size=8))


fractions = st.integers(-8, 60)
magnitudes = st.integers(3, 15)


@settings(max_examples=400, deadline=None)
@given(values=tensors(), fraction=fractions, bits=magnitudes)
def test_mantissas_are_the_nearest_with_one_exponent(values: list[int], fraction: int, bits: int) -> None:
    """Within half an LSB of the value, or at the largest mantissa when the value rounds to one that is larger still."""
    mantissas, exponent = block_exponent(np.array(values), fraction, bits)
    assert 0 <= exponent <= LARGEST_EXPONENT
    limit = (1 << bits) - 1
    for value, mantissa in zip(values, mantissas.tolist(), strict=True):
        exact = Fraction(value) / Fraction(2) ** (fraction - exponent)
        if abs(exact) < limit + HALF:
            assert abs(mantissa - exact) <= HALF
        else:
            assert mantissa == (limit if value > 0 else -limit)


@settings(max_examples=400, deadline=None)
@given(values=tensors(), fraction=fractions, bits=magnitudes)
def test_the_largest_mantissa_uses_all_bits(values: list[int], fraction: int, bits: int) -> None:
    """As far as the exponent may go; hence every error is at most 2**-bits of the largest value, or twice that where
    the largest rounds up past the word."""
    mantissas, exponent = block_exponent(np.array(values), fraction, bits)
    largest = max(map(abs, values))
    ideal_exponent = fraction - (largest.bit_length() - bits)
    assert exponent == min(max(ideal_exponent, 0), LARGEST_EXPONENT)
    if largest and exponent == ideal_exponent:
        assert int(np.abs(mantissas).max()).bit_length() == bits
        for value, mantissa in zip(values, mantissas.tolist(), strict=True):
            error = abs(Fraction(mantissa) / 2**exponent - Fraction(value) / Fraction(2) ** fraction)
            assert error <= 2 * Fraction(largest, 2**bits) / Fraction(2) ** fraction


def test_a_value_that_rounds_past_the_word_saturates() -> None:
    mantissas, exponent = block_exponent(np.array([(1 << 20) - 1, 1 << 19]), 24, 15)
    assert (mantissas.tolist(), exponent) == ([(1 << 15) - 1, 1 << 14], 19)


@settings(max_examples=50, deadline=None)
@given(fraction=fractions, bits=magnitudes, count=st.integers(0, 5))
def test_zeros_stay_zeros(fraction: int, bits: int, count: int) -> None:
    mantissas, exponent = block_exponent(np.zeros(count, dtype=np.int64), fraction, bits)
    assert mantissas.tolist() == [0] * count
    assert exponent == min(fraction + bits if fraction + bits > 0 else 0, LARGEST_EXPONENT)


def test_halves_round_away_from_zero() -> None:
    """Values of both signs with one bit more than the mantissa; the largest rounds past it and saturates."""
    values = list(range(-15, 16))
    mantissas, exponent = block_exponent(np.array(values), 20, 3)
    assert exponent == 19
    assert mantissas.tolist() == [min((abs(value) + 1) // 2, 7) * (1 if value > 0 else -1) for value in values]
