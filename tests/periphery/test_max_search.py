"""The largest magnitude against Python's max."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.periphery.max_search import max_search


@st.composite
def matrices(draw: st.DrawFn) -> list[list[int]]:
    """Vectors of one length, in a word of drawn width without its most negative code."""
    limit = (1 << draw(st.integers(1, 61))) - 1
    length = draw(st.integers(0, 9))
    element = st.one_of(st.integers(-limit, limit), st.sampled_from((0, 1, -1, limit, -limit)))
    return draw(st.lists(st.lists(element, min_size=length, max_size=length), min_size=1, max_size=5))


@settings(max_examples=200, deadline=None)
@given(matrices())
def test_equals_the_largest_magnitude_of_each_vector(vectors: list[list[int]]) -> None:
    expected = [max((abs(element) for element in vector), default=0) for vector in vectors]
    assert max_search(np.array(vectors, dtype=np.int64)).tolist() == expected


def test_the_sign_of_the_largest_does_not_matter() -> None:
    assert max_search(np.array([[3, -7, 6], [7, -3, -6]])).tolist() == [7, 7]


def test_an_empty_vector_has_maximum_zero() -> None:
    assert max_search(np.zeros((2, 0), dtype=np.int64)).tolist() == [0, 0]
