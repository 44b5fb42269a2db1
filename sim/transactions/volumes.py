"""Volumes as beats: raster order, every pixel a segment of its own."""

from __future__ import annotations

import numpy as np

from emulator.fixed import Integers
from sim.payload import Values
from sim.transactions.base import beats, draw


def drawn_volume(generator: np.random.Generator, shape: tuple[int, int, int], low: int, high: int) -> Integers:
    """A volume of words of every length, corners in between."""
    return np.array(draw(generator, int(np.prod(shape)), low, high), dtype=np.int64).reshape(shape)


def volume_beats(
    volume: Integers,
    lanes: int,
    *,
    field: str = "elements",
    fill: np.random.Generator | None = None,
    fill_bits: int = 1,
) -> list[Values]:
    """A volume ``(height, width, channels)`` as beats."""
    height, width, channels = volume.shape
    return beats(
        volume.ravel().tolist(),
        lanes,
        segments=[channels] * (height * width),
        field=field,
        fill=fill,
        fill_bits=fill_bits,
    )


def joined(left: list[Values], right: list[Values], field: str) -> list[Values]:
    """The beats ``left`` with ``field`` of the beats ``right`` as an array beside the elements."""
    return [{**one, field: other[field]} for one, other in zip(left, right, strict=True)]
