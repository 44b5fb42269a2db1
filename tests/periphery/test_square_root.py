"""Square roots against math.isqrt."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.periphery.square_root import square_root

WIDTHS = range(2, 64, 2)


def assert_roots(values: list[int], bits: int) -> None:
    root, rest = square_root(np.array(values), bits)
    assert root.tolist() == [math.isqrt(value) for value in values]
    assert rest.tolist() == [value - math.isqrt(value) ** 2 for value in values]


@pytest.mark.parametrize("bits", WIDTHS)
def test_at_the_corners_of_every_width(bits: int) -> None:
    """Squares with their neighbours, powers of two with theirs, and full scale."""
    bases = {0, 1, 2, 3, *((1 << k) + offset for k in range(bits // 2) for offset in (-1, 0, 1))}
    squares = {base * base + offset for base in bases for offset in (-1, 0, 1)}
    corners = squares | {(1 << k) + offset for k in range(bits) for offset in (-1, 0, 1)} | {(1 << bits) - 1}
    assert_roots(sorted(value for value in corners if 0 <= value < 1 << bits), bits)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(WIDTHS))
def test_of_any_value(data: st.DataObject, bits: int) -> None:
    assert_roots(data.draw(st.lists(st.integers(0, (1 << bits) - 1), min_size=1)), bits)


def test_all_values_of_a_narrow_word() -> None:
    assert_roots(list(range(1 << 12)), 12)


def test_the_widest_word_is_the_default() -> None:
    root, rest = square_root(np.array((1 << 62) - 1))
    assert (int(root), int(rest)) == ((1 << 31) - 1, (1 << 62) - 1 - ((1 << 31) - 1) ** 2)


def test_the_argument_is_left_alone() -> None:
    values = np.array([10, 20])
    square_root(values)
    assert values.tolist() == [10, 20]
