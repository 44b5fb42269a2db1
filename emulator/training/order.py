"""The data order: which training image comes when, a pure function of the seed and the epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emulator.streams import Purpose, keys


def epoch_order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The permutation of ``count`` training images that an epoch goes through; the first epoch is 1.

    Image ``i`` gets the key ``keys(seed, SHUFFLE, epoch)[i]``; images come in the order of their keys, ties in the
    order of their numbers. So it depends neither on where a run was resumed nor on how it was cut into calls.
    """
    return np.argsort(keys(seed, Purpose.SHUFFLE, epoch, count=count), kind="stable").astype(np.int64)


def first_images(seed: int, count: int, length: int) -> NDArray[np.int64]:
    """The first ``length`` images that a run trains on: epoch after epoch of ``count`` images, cut off at the end."""
    epochs = -(-length // count)
    orders = [epoch_order(seed, epoch, count) for epoch in range(1, epochs + 1)]
    return np.concatenate([*orders, np.zeros(0, dtype=np.int64)])[:length]
