"""Shifts, rounding, saturation and products against Python's integers and fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.fixed import (
    EXACT_FLOAT_BITS,
    GAUSSIAN_FILL_BITS,
    GAUSSIAN_ONES_BITS,
    WORD_BITS,
    bit_length,
    matrix_product,
    round_shift,
    round_stochastically,
    saturate,
    step_fraction_bits,
)

#: round_shift takes magnitudes below this, so that adding half an LSB stays within int64.
LARGEST = 1 << 62
#: 0, and every power of two with its neighbours.
CORNERS = sorted({0, *(power + offset for power in (1 << k for k in range(62)) for offset in (-1, 0, 1))})


def rounded(value: Fraction) -> int:
    """Nearest integer, halves away from zero."""
    magnitude = math.floor(abs(value) + Fraction(1, 2))
    return magnitude if value >= 0 else -magnitude


def shifted(value: int, shift: int) -> int:
    """value / 2**shift, rounded."""
    return rounded(Fraction(value) / Fraction(2) ** shift)


@pytest.mark.parametrize("shift", range(-20, 71))
def test_round_shift_at_the_corners(shift: int) -> None:
    """Every power of two, its neighbours and halves between, of both signs, as far as the result fits the word."""
    largest = LARGEST >> max(-shift, 0)
    halves = [(1 << k) + (1 << shift >> 1) for k in range(61) if 0 < shift <= 61]
    values = [value for corner in (*CORNERS, *halves) for value in (corner, -corner) if abs(value) < largest]
    assert len(values) > 80
    assert round_shift(np.array(values), shift).tolist() == [shifted(value, shift) for value in values]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(1 - LARGEST, LARGEST - 1), st.integers(-20, 70)), min_size=1, max_size=20))
def test_round_shift_with_a_shift_for_every_element(pairs: list[tuple[int, int]]) -> None:
    values = [value >> max(-shift, 0) for value, shift in pairs]
    shifts = [shift for _, shift in pairs]
    result = round_shift(np.array(values), np.array(shifts))
    assert result.tolist() == [shifted(value, shift) for value, shift in zip(values, shifts, strict=True)]


@settings(max_examples=300, deadline=None)
@given(
    value=st.one_of(st.integers(1 - (1 << 50), (1 << 50) - 1), st.integers(-(1 << 14), 1 << 14)),
    shift=st.integers(1, 40),
    word=st.one_of(st.integers(0, (1 << WORD_BITS) - 1), st.sampled_from((0, (1 << WORD_BITS) - 1))),
)
def test_round_stochastically_adds_the_word_as_a_fraction(value: int, shift: int, word: int) -> None:
    found = round_stochastically(np.array([value]), shift, np.array([word]))
    assert found.tolist() == [math.floor(Fraction(value, 1 << shift) + Fraction(word, 1 << WORD_BITS))]


@pytest.mark.parametrize("shift", (1, 3, 7))
def test_round_stochastically_keeps_the_mean(shift: int) -> None:
    """Exactly, over all words that differ in the bits that count; of negative values too, and of whole ones without
    scatter."""
    words = np.arange(1 << shift) << WORD_BITS - shift
    for value in range(-(2 << shift), (2 << shift) + 1):
        found = round_stochastically(np.full_like(words, value), shift, words)
        assert found.sum() == value
        assert found.max() - found.min() == (value % (1 << shift) != 0)


def test_steps_are_finer_than_their_weights_and_than_2_to_the_minus_20() -> None:
    assert [step_fraction_bits(bits) for bits in (2, 7, 16, 17, 18, 28)] == [21, 21, 21, 21, 22, 32]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, LARGEST - 1), st.integers(0, 70))
def test_round_shift_is_odd(value: int, shift: int) -> None:
    assert int(round_shift(-value, shift)) == -int(round_shift(value, shift))


def test_round_shift_broadcasts_vectors_against_shifts() -> None:
    values = np.arange(-6, 6).reshape(2, 6)
    shifts = np.array([[1], [2]])
    expected = [
        [shifted(int(value), int(shift)) for value in row] for row, (shift,) in zip(values, shifts, strict=True)
    ]
    assert round_shift(values, shifts).tolist() == expected


def test_bit_length_at_the_corners() -> None:
    assert bit_length(np.array(CORNERS)).tolist() == [value.bit_length() for value in CORNERS]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 61).flatmap(lambda bits: st.integers(0, 1 << bits)), min_size=1))
def test_bit_length_of_any_length(values: list[int]) -> None:
    assert bit_length(np.array(values)).tolist() == [value.bit_length() for value in values]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1), st.integers(-(1 << 62), 0), st.integers(0, 1 << 62)
)
def test_saturate_is_the_nearest_value_in_range(values: list[int], low: int, high: int) -> None:
    values += [low, high, low - 1, high + 1]
    assert saturate(np.array(values), low, high).tolist() == [min(max(value, low), high) for value in values]


@st.composite
def stacks(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two stacks of matrices that fit, whose products sum to less than 2**EXACT_FLOAT_BITS."""
    count, rows, depth, columns = (draw(st.integers(1, 5)) for _ in range(4))
    left_bits = draw(st.integers(0, EXACT_FLOAT_BITS - 3))
    right_bits = EXACT_FLOAT_BITS - 3 - left_bits
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    left = generator.integers(-(1 << left_bits), 1 << left_bits, (count, rows, depth), endpoint=True)
    right = generator.integers(-(1 << right_bits), 1 << right_bits, (count, depth, columns), endpoint=True)
    if draw(st.booleans()):  # full scale throughout
        left, right = np.full_like(left, 1 << left_bits), np.full_like(right, -(1 << right_bits))
    return left, right


@settings(max_examples=200, deadline=None)
@given(stacks())
def test_matrix_product_is_exact(pair: tuple[np.ndarray, np.ndarray]) -> None:
    left, right = pair
    result = matrix_product(left, right)
    assert result.dtype == np.int64
    for number, rows, columns in zip(result.tolist(), left.tolist(), right.tolist(), strict=True):
        expected = [
            [sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*columns, strict=True)]
            for row in rows
        ]
        assert number == expected


def test_matrix_product_of_flags() -> None:
    """Pulses are booleans; their product counts coincidences."""
    left = np.array([[True, True, False], [False, False, True]])
    assert matrix_product(left, left.T).tolist() == [[2, 0], [0, 1]]


def test_a_word_splits_into_the_two_parts_of_a_gaussian() -> None:
    assert GAUSSIAN_ONES_BITS + GAUSSIAN_FILL_BITS == WORD_BITS
