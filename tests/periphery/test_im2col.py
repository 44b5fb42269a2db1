"""Patches against loops, and the adjoint identity of the way back."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from emulator.periphery.im2col import col2im, im2col

WORDS = st.integers(-(2**15), 2**15 - 1)


@st.composite
def volumes_and_kernels(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3)))
    volume = draw(hypothesis_numpy.arrays(np.int64, shape, elements=WORDS))
    return volume, draw(st.integers(1, min(shape[:2])))


@settings(max_examples=150, deadline=None)
@given(volumes_and_kernels())
def test_patches_are_read_row_by_row(case: tuple[np.ndarray, int]) -> None:
    """Patch t = y * output_width + x starts at (y, x); its elements run over row, column, channel."""
    volume, kernel = case
    height, width, channels = volume.shape
    expected = [
        [
            int(volume[y + row, x + column, channel])
            for row in range(kernel)
            for column in range(kernel)
            for channel in range(channels)
        ]
        for y in range(height - kernel + 1)
        for x in range(width - kernel + 1)
    ]
    assert im2col(volume, kernel).tolist() == expected


@settings(max_examples=150, deadline=None)
@given(case=volumes_and_kernels(), data=st.data())
def test_col2im_is_the_adjoint(case: tuple[np.ndarray, int], data: st.DataObject) -> None:
    """<im2col(v), p> = <v, col2im(p)>."""
    volume, kernel = case
    patches = im2col(volume, kernel)
    others = data.draw(hypothesis_numpy.arrays(np.int64, patches.shape, elements=WORDS))
    back = col2im(others, kernel, *volume.shape)
    assert back.shape == volume.shape
    assert int((patches * others).sum()) == int((volume * back).sum())


def test_col2im_counts_how_often_a_pixel_is_used() -> None:
    """3 x 3 patches of a 4 x 4 image: the four middle pixels are in all of them."""
    counts = col2im(np.ones((4, 9), dtype=np.int64), 3, 4, 4, 1)[..., 0]
    assert counts.tolist() == [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]
