"""Copies of a vector against lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.periphery.replicate import replicate


@settings(max_examples=50, deadline=None)
@given(vector=st.lists(st.integers(-100, 100), min_size=1, max_size=6), copies=st.integers(1, 5))
def test_copies_follow_each_other(vector: list[int], copies: int) -> None:
    """Line ``copy * length + i`` carries element i, in every vector of a matrix."""
    matrix = [vector, [value + 1 for value in vector]]
    assert replicate(np.array(matrix), copies).tolist() == [row * copies for row in matrix]
    assert replicate(np.array(vector), copies).tolist() == vector * copies
