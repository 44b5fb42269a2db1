"""Resampling of images in integer arithmetic: the same bits on every computer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emulator.errors import DataError

#: With sides up to this, every sum below stays under 2**36: far from overflowing ``int64``.
MAXIMUM_SIDE = 4096

#: Images are taken in blocks of about this many pixels, before or after resampling, to bound the memory of the sums.
BLOCK_PIXELS = 1 << 20

Integers = NDArray[np.int64]


def resample(images: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """``images`` of shape (count, rows, columns), resampled to (count, ``height``, ``width``).

    Each axis, of ``n`` source pixels and ``m`` target pixels, has integer weights ``a[i, j]`` whose sum over ``j`` is
    the same ``d`` for every ``i``:

    - shrinking (``m < n``), area average: ``d = n`` and
      ``a[i, j] = max(0, min((j + 1) * m, (i + 1) * n) - max(j * m, i * n))``, the overlap of source pixel ``j`` and
      target pixel ``i`` when the whole axis is ``n * m`` long;
    - enlarging (``m > n``), bilinear between pixel centres, the border pixel repeated outside: ``d = 2 * m``; with
      ``p = min(max((2 * i + 1) * n - m, 0), 2 * m * (n - 1))``, ``q = p // (2 * m)`` and ``f = p % (2 * m)``,
      ``a[i, q] = 2 * m - f`` and ``a[i, q + 1] = f``;
    - equal (``m == n``): ``d = 1``, identity.

    With ``a, d`` of the rows and ``b, e`` of the columns, a target pixel is the exact sum rounded once, halves up:
    ``s = sum over j, k of a[r, j] * b[c, k] * x[j, k]``, ``y[r, c] = (2 * s + d * e) // (2 * d * e)``.

    Raises ``DataError`` if a side is not in 1 to 4096.
    """
    count, rows, columns = images.shape
    for what, side in (("rows", rows), ("columns", columns), ("height", height), ("width", width)):
        if not 1 <= side <= MAXIMUM_SIDE:
            raise DataError(f"resampling: {what} is {side}; accepted: 1 to {MAXIMUM_SIDE}")
    if (rows, columns) == (height, width):
        return images
    row_indices, row_weights, row_sum = _taps(rows, height)
    column_indices, column_weights, column_sum = _taps(columns, width)
    scale = row_sum * column_sum
    result = np.empty((count, height, width), dtype=np.uint8)
    block = max(1, BLOCK_PIXELS // max(rows * columns, height * columns, height * width))
    for start in range(0, count, block):
        source = images[start : start + block].astype(np.int64)
        halfway = _zeros(source, height, columns)
        for index, weight in zip(row_indices, row_weights, strict=True):
            halfway += source[:, index, :] * weight[:, np.newaxis]
        total = _zeros(source, height, width)
        for index, weight in zip(column_indices, column_weights, strict=True):
            total += halfway[:, :, index] * weight
        result[start : start + block] = (2 * total + scale) // (2 * scale)
    return result


def _zeros(like: Integers, height: int, width: int) -> Integers:
    return np.zeros((len(like), height, width), dtype=np.int64)


def _taps(source: int, target: int) -> tuple[Integers, Integers, int]:
    """The non-zero weights of one axis: source indices and weights, both (taps, target), and the sum of the weights.

    A tap that falls outside the axis has weight 0 and the index of the last pixel.
    """
    position = np.arange(target, dtype=np.int64)
    if target == source:
        return position[np.newaxis], np.ones((1, target), dtype=np.int64), 1
    if target < source:
        # A target pixel covers source / target of a pixel, and touches at most two more than that holds whole.
        first = position * source // target
        tap = np.arange(source // target + 2, dtype=np.int64)[:, np.newaxis]
        index = first + tap
        overlap = np.minimum((index + 1) * target, (position + 1) * source) - np.maximum(
            index * target, position * source
        )
        return np.minimum(index, source - 1), np.maximum(overlap, 0), source
    unit = 2 * target
    place = np.clip((2 * position + 1) * source - target, 0, unit * (source - 1))
    first, fraction = place // unit, place % unit
    return np.stack([first, np.minimum(first + 1, source - 1)]), np.stack([unit - fraction, fraction]), unit
