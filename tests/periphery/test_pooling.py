"""Pooling against loops, and its way back against the transpose."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from emulator.periphery.pooling import pool, unpool

shapes = st.tuples(st.integers(2, 7), st.integers(2, 7), st.integers(1, 3))
#: Few different values, so that ties are many.
volumes = shapes.flatmap(lambda shape: hypothesis_numpy.arrays(np.int64, shape, elements=st.integers(-3, 3)))


@settings(max_examples=150, deadline=None)
@given(volumes)
def test_equals_the_first_maximum_of_each_window(volume: np.ndarray) -> None:
    """Windows of 2 x 2, stride 2, searched row by row; an odd last row or column is dropped."""
    maxima, where = pool(volume)
    height, width, channels = volume.shape
    assert maxima.shape == where.shape == (height // 2, width // 2, channels)
    for row, column, channel in np.ndindex(maxima.shape):
        window = [int(volume[2 * row + place // 2, 2 * column + place % 2, channel]) for place in range(4)]
        assert maxima[row, column, channel] == max(window)
        assert where[row, column, channel] == window.index(max(window))


@settings(max_examples=150, deadline=None)
@given(volume=volumes, data=st.data())
def test_unpool_is_the_transpose_of_taking_the_maxima(volume: np.ndarray, data: st.DataObject) -> None:
    """<take(v), e> = <v, unpool(e)>, "take" being the linear map that picks the elements at ``where``."""
    maxima, where = pool(volume)
    errors = data.draw(hypothesis_numpy.arrays(np.int64, maxima.shape, elements=st.integers(-9, 9)))
    back = unpool(errors, where, *volume.shape[:2])
    assert back.shape == volume.shape
    assert int((maxima * errors).sum()) == int((volume * back).sum())
    expected = np.zeros_like(volume)
    for row, column, channel in np.ndindex(errors.shape):
        place = int(where[row, column, channel])
        expected[2 * row + place // 2, 2 * column + place % 2, channel] = errors[row, column, channel]
    np.testing.assert_array_equal(back, expected)


def test_the_first_of_equal_values_wins() -> None:
    """In the order upper left, upper right, lower left, lower right."""
    for window, first in (([5, 5, 5, 5], 0), ([1, 5, 5, 5], 1), ([1, 2, 5, 5], 2), ([1, 2, 3, 5], 3)):
        maxima, where = pool(np.array(window).reshape(2, 2, 1))
        assert (int(maxima[0, 0, 0]), int(where[0, 0, 0])) == (5, first)
