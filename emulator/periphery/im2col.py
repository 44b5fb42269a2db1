"""`im2col`: patch addressing of a convolution, and its transpose.

Column ``t = y * output_width + x`` of the matrix X is the k x k x channels patch whose upper left pixel is (y, x),
flattened in the order (row, column, channel) of the volume.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from emulator.fixed import Integers


def im2col(volume: Integers, kernel: int) -> Integers:
    """Patches ``(positions, kernel * kernel * channels)`` of a volume ``(height, width, channels)``."""
    windows = sliding_window_view(volume, (kernel, kernel), axis=(0, 1))
    patches = windows.transpose(0, 1, 3, 4, 2)
    return patches.reshape(patches.shape[0] * patches.shape[1], -1)


def col2im(patches: Integers, kernel: int, height: int, width: int, channels: int) -> Integers:
    """The transpose: every element of every patch added back onto its place in the volume."""
    rows, columns = height - kernel + 1, width - kernel + 1
    parts = patches.reshape(rows, columns, kernel, kernel, channels)
    volume = np.zeros((height, width, channels), dtype=np.int64)
    for row in range(kernel):
        for column in range(kernel):
            volume[row : row + rows, column : column + columns] += parts[:, :, row, column]
    return volume
