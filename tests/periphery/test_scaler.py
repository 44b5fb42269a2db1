"""Multiply, shift, round, saturate, against fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.periphery.scaler import scale

SHIFTS = st.integers(-10, 70)


def stated(value: int, multiplier: int, shift: int, low: int, high: int) -> int:
    """The nearest integer to the scaled value, halves away from zero, then the nearest in range."""
    exact = Fraction(value * multiplier) / Fraction(2) ** shift
    magnitude = math.floor(abs(exact) + Fraction(1, 2))
    return min(max(magnitude if exact >= 0 else -magnitude, low), high)


@st.composite
def vectors(draw: st.DrawFn) -> list[int]:
    """A vector in a signed word of drawn width, corners included."""
    limit = (1 << draw(st.integers(1, 32))) - 1
    element = st.one_of(st.integers(-limit, limit), st.sampled_from((0, 1, -1, limit, -limit, -limit - 1)))
    return draw(st.lists(element, min_size=1, max_size=12))


@settings(max_examples=300, deadline=None)
@given(
    vector=vectors(), multiplier=st.integers(0, 2**19), shift=SHIFTS, low=st.integers(-(2**20), 0),
    high=st.integers(0, 2**20),
)  # fmt: skip
def test_equals_its_statement(vector: list[int], multiplier: int, shift: int, low: int, high: int) -> None:
    result = scale(np.array(vector), multiplier, shift, low, high)
    assert result.tolist() == [stated(value, multiplier, shift, low, high) for value in vector]


@settings(max_examples=100, deadline=None)
@given(vector=vectors(), factors=st.lists(st.tuples(st.integers(0, 2**19), SHIFTS), min_size=1, max_size=4))
def test_every_vector_has_its_own_factor(vector: list[int], factors: list[tuple[int, int]]) -> None:
    multipliers, shifts = (np.array(side)[:, None] for side in zip(*factors, strict=True))
    result = scale(np.tile(np.array(vector), (len(factors), 1)), multipliers, shifts, -512, 512)
    assert result.tolist() == [
        [stated(value, multiplier, shift, -512, 512) for value in vector] for multiplier, shift in factors
    ]
