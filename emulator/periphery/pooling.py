"""`pooling`: 2 x 2 maximum with stride 2, and its way back through the position of the maximum."""

from __future__ import annotations

import numpy as np

from emulator.fixed import Integers


def pool(volume: Integers) -> tuple[Integers, Integers]:
    """Maxima of a volume ``(height, width, channels)``, and where they were: 0 .. 3, row by row in the window.

    The first of equal values wins. An odd last row or column takes no part.
    """
    height, width, channels = volume.shape[0] // 2, volume.shape[1] // 2, volume.shape[2]
    windows = volume[: 2 * height, : 2 * width].reshape(height, 2, width, 2, channels)
    windows = windows.transpose(0, 2, 4, 1, 3).reshape(height, width, channels, 4)
    where = np.argmax(windows, axis=-1)
    return np.take_along_axis(windows, where[..., None], axis=-1)[..., 0], where


def unpool(errors: Integers, where: Integers, height: int, width: int) -> Integers:
    """Errors of pooled outputs put back where the maxima came from; zero elsewhere. ``(height, width, channels)``."""
    rows, columns, channels = errors.shape
    volume = np.zeros((height, width, channels), dtype=np.int64)
    row, column, channel = np.ogrid[:rows, :columns, :channels]
    volume[2 * row + where // 2, 2 * column + where % 2, channel] = errors
    return volume
