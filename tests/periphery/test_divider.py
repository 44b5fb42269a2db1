"""Division against Python's divmod."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.periphery.divider import divide

CORNERS = sorted({0, *((1 << k) + offset for k in (0, 1, 2, 15, 16, 31, 32, 52, 60, 61) for offset in (-1, 0, 1))})

#: Integers of every length below 2**62.
words = st.integers(0, 62).flatmap(lambda bits: st.integers(0, (1 << bits) - 1))


def stated(numerator: int, denominator: int) -> tuple[int, int]:
    return divmod(numerator, denominator) if denominator else (0, numerator)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(words, words), min_size=1))
def test_equals_divmod(pairs: list[tuple[int, int]]) -> None:
    quotient, remainder = divide(*(np.array(side) for side in zip(*pairs, strict=True)))
    expected = [stated(numerator, denominator) for numerator, denominator in pairs]
    assert list(zip(quotient.tolist(), remainder.tolist(), strict=True)) == expected


def test_equals_divmod_at_all_pairs_of_corners() -> None:
    """Also broadcasts: a column of numerators against a row of denominators."""
    corners = np.array(CORNERS)
    quotient, remainder = divide(corners[:, None], corners[None, :])
    for row, numerator in enumerate(CORNERS):
        for column, denominator in enumerate(CORNERS):
            assert (int(quotient[row, column]), int(remainder[row, column])) == stated(numerator, denominator)


def test_a_constant_numerator_is_divided_by_every_element() -> None:
    quotient, remainder = divide(100, np.array([7, 0, 100, 101]))
    assert quotient.tolist() == [14, 0, 1, 0]
    assert remainder.tolist() == [2, 100, 0, 100]
