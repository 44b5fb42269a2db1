"""tanh and its derivative against decimal arithmetic, identity against fractions."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.config.tables import TANH_RANGE, tanh_table
from emulator.periphery.activation import activation, derivative

HALF = Fraction(1, 2)
FRACTIONS = range(1, 15)


def tanh(value: Decimal) -> Decimal:
    square = (2 * value).exp()
    return (square - 1) / (square + 1)


@pytest.mark.parametrize("input_fraction", (1, 4, 7))
@pytest.mark.parametrize("output_fraction", (2, 12, 14))
def test_table_is_the_rounded_tanh(input_fraction: int, output_fraction: int) -> None:
    """Every entry of the table, in 40 digits."""
    with localcontext() as context:
        context.prec = 40
        expected = [
            int((tanh(Decimal(k) / 2**input_fraction) * 2**output_fraction).to_integral_value(ROUND_HALF_UP))
            for k in range(TANH_RANGE << input_fraction)
        ]
    assert tanh_table(input_fraction, output_fraction).tolist() == expected


@pytest.mark.parametrize("input_fraction", (9, 14))
def test_fine_tables_are_within_half_an_lsb(input_fraction: int) -> None:
    table = tanh_table(input_fraction, 14).tolist()
    assert len(table) == TANH_RANGE << input_fraction
    for k in range(0, len(table), 37):
        assert abs(table[k] - 2**14 * math.tanh(k / 2**input_fraction)) <= 0.5 + 1e-9


@pytest.mark.parametrize("output_fraction", range(2, 15))
@pytest.mark.parametrize("input_fraction", (1, 7))
def test_tables_rise_from_zero_to_one(input_fraction: int, output_fraction: int) -> None:
    """The last entry is 1.0 exactly, so repeating it beyond the range is the rounded tanh too."""
    table = tanh_table(input_fraction, output_fraction)
    assert table[0] == 0
    assert (np.diff(table) >= 0).all()
    assert table[-1] == 1 << output_fraction


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.integers(-(1 << 40), 1 << 40) | st.integers(-3000, 3000), min_size=1),
    input_fraction=st.integers(1, 9),
    output_fraction=st.integers(2, 14),
)
def test_tanh_is_odd_and_saturates(values: list[int], input_fraction: int, output_fraction: int) -> None:
    """Within half an LSB of tanh everywhere, the far ends included."""
    ours = activation(np.array(values), "tanh", input_fraction, output_fraction, 15)
    mirrored = activation(-np.array(values), "tanh", input_fraction, output_fraction, 15)
    assert ours.tolist() == (-mirrored).tolist()
    for value, result in zip(values, ours.tolist(), strict=True):
        assert abs(result - 2**output_fraction * math.tanh(value / 2**input_fraction)) <= 0.5 + 1e-9


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.integers(0, 40).flatmap(lambda bits: st.integers(-(1 << bits), 1 << bits)), min_size=1),
    kind=st.sampled_from(("identity", "softmax")),
    input_fraction=st.sampled_from(FRACTIONS),
    output_fraction=st.integers(2, 14),
    magnitude_bits=st.integers(3, 15),
)
def test_identity_changes_the_format_only(
    values: list[int], kind: str, input_fraction: int, output_fraction: int, magnitude_bits: int
) -> None:
    limit = (1 << magnitude_bits) - 1
    ours = activation(np.array(values), kind, input_fraction, output_fraction, magnitude_bits)
    for value, result in zip(values, ours.tolist(), strict=True):
        exact = Fraction(value << output_fraction, 1 << input_fraction)
        nearest = math.floor(abs(exact) + HALF)
        assert result == (min(nearest, limit) if value >= 0 else -min(nearest, limit))


@pytest.mark.parametrize("fraction", range(2, 15))
def test_derivative_of_tanh_is_one_minus_its_square(fraction: int) -> None:
    """For every activation there is; between 0 (saturated) and 1 (at the origin)."""
    one = 1 << fraction
    values = range(-one, one + 1, max(1, one >> 9))
    for value, slope in zip(values, derivative(np.array(values), "tanh", fraction).tolist(), strict=True):
        assert abs(slope - one * (1 - Fraction(value, one) ** 2)) <= HALF
        assert 0 <= slope <= one
    assert derivative(np.array([-one, 0, one]), "tanh", fraction).tolist() == [0, one, 0]


@pytest.mark.parametrize("kind", ("identity", "softmax"))
def test_derivative_of_identity_is_one(kind: str) -> None:
    assert derivative(np.array([-5, 0, 32767]), kind, 12).tolist() == [1 << 12] * 3
