"""Resampling, against its definition stated with fractions and loops."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.errors import DataError
from emulator.training import resample as resample_module
from emulator.training.resample import MAXIMUM_SIDE, resample


def share(source: int, target: int, position: int, index: int) -> Fraction:
    """The part that source pixel ``index`` has in target pixel ``position`` of one axis of length 1."""
    if target == source:
        return Fraction(int(position == index))
    if target < source:
        low = max(Fraction(position, target), Fraction(index, source))
        high = min(Fraction(position + 1, target), Fraction(index + 1, source))
        return max(Fraction(0), high - low) * target
    # The centre of the target pixel, in source pixels from the centre of the first one, kept between the centres.
    centre = (Fraction(position) + Fraction(1, 2)) * Fraction(source, target) - Fraction(1, 2)
    centre = min(max(centre, Fraction(0)), Fraction(source - 1))
    return max(Fraction(0), 1 - abs(centre - index))


def stated(image: list[list[int]], height: int, width: int) -> list[list[int]]:
    rows, columns = len(image), len(image[0])
    return [
        [
            floor(
                Fraction(1, 2)
                + sum(
                    share(rows, height, row, j) * share(columns, width, column, k) * image[j][k]
                    for j in range(rows)
                    for k in range(columns)
                )
            )
            for column in range(width)
        ]
        for row in range(height)
    ]


sides = st.integers(1, 7)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), rows=sides, columns=sides, height=sides, width=sides)
def test_equals_its_statement_in_fractions(
    data: st.DataObject, rows: int, columns: int, height: int, width: int
) -> None:
    pixels = data.draw(st.binary(min_size=2 * rows * columns, max_size=2 * rows * columns))
    images = np.frombuffer(pixels, dtype=np.uint8).reshape(2, rows, columns)
    result = resample(images, height, width)
    assert result.dtype == np.uint8
    assert result.tolist() == [stated(image.tolist(), height, width) for image in images]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (28, 14), (32, 32), (16, 40), (29, 27)])
def test_usual_sizes_from_28_by_28(height: int, width: int) -> None:
    images = np.random.default_rng(5).integers(0, 256, (1, 28, 28), dtype=np.uint8)
    rows = np.array([[share(28, height, i, j) for j in range(28)] for i in range(height)], dtype=object)
    columns = np.array([[share(28, width, i, j) for j in range(28)] for i in range(width)], dtype=object)
    exact = rows @ images[0].astype(object) @ columns.T
    expected = [[floor(value + Fraction(1, 2)) for value in row] for row in exact]
    assert resample(images, height, width)[0].tolist() == expected


def test_known_values_and_halves_round_up() -> None:
    assert resample(np.array([[[0, 1]]], dtype=np.uint8), 1, 1).tolist() == [[[1]]]
    assert resample(np.array([[[0, 1, 0, 0]]], dtype=np.uint8), 1, 1).tolist() == [[[0]]]
    assert resample(np.array([[[0, 100]]], dtype=np.uint8), 1, 4).tolist() == [[[0, 25, 75, 100]]]
    assert resample(np.array([[[0, 30, 90]]], dtype=np.uint8), 1, 2).tolist() == [[[10, 70]]]


def test_equal_size_is_the_identity() -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, 5, 9), dtype=np.uint8)
    assert np.array_equal(resample(images, 5, 9), images)


@given(value=st.integers(0, 255), rows=sides, columns=sides, height=sides, width=sides)
def test_a_flat_image_stays_flat(value: int, rows: int, columns: int, height: int, width: int) -> None:
    images = np.full((1, rows, columns), value, dtype=np.uint8)
    assert (resample(images, height, width) == value).all()


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(2).integers(0, 256, (7, 6, 6), dtype=np.uint8)
    whole = resample(images, 4, 9)
    monkeypatch.setattr(resample_module, "BLOCK_PIXELS", 2 * 6 * 9)
    assert np.array_equal(resample(images, 4, 9), whole)


def test_largest_side_does_not_overflow() -> None:
    images = np.full((1, MAXIMUM_SIDE, 1), 255, dtype=np.uint8)
    assert (resample(images, MAXIMUM_SIDE - 1, 3) == 255).all()


@pytest.mark.parametrize("side", [0, -3, MAXIMUM_SIDE + 1])
def test_side_out_of_range(side: int) -> None:
    images = np.zeros((1, 2, 2), dtype=np.uint8)
    with pytest.raises(DataError, match=rf"^resampling: height is {side}; accepted: 1 to 4096$"):
        resample(images, side, 2)
    with pytest.raises(DataError, match=rf"^resampling: width is {side}; accepted: 1 to 4096$"):
        resample(images, 2, side)
    with pytest.raises(DataError, match=r"^resampling: columns is 4097; accepted: 1 to 4096$"):
        resample(np.zeros((1, 1, 4097), dtype=np.uint8), 2, 2)
