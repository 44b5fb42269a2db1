"""Seeds: every random source is a pure function of the config's seed and of the physical thing it belongs to.

A *key* is a 64-bit word derived from the seed and a path of integers (purpose, then layer, line ...) by chaining
SplitMix64's output function (Steele, Lea, Flood 2014). It runs on the host only: hardware is loaded with the
results (generator states, device keys), or trains from them.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

GOLDEN_GAMMA = 0x9E3779B97F4A7C15
MASK_64 = (1 << 64) - 1


class Purpose(IntEnum):
    """What a key is for. The numbers are part of the arithmetic: never renumber, only append."""

    SHUFFLE = 1
    INITIAL_WEIGHT = 2
    ROW_PULSE = 3
    COLUMN_PULSE = 4
    ROW_NOISE = 5
    COLUMN_NOISE = 6
    DEVICE_ROW = 7
    DEVICE_COLUMN = 8


def splitmix64(value: np.ndarray) -> np.ndarray:
    """SplitMix64's output function, element by element, on uint64 (wraps modulo 2**64)."""
    with np.errstate(over="ignore"):
        z = value + np.uint64(GOLDEN_GAMMA)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def keys(seed: int, *path: int, count: int) -> np.ndarray:
    """``count`` 64-bit keys below ``path``, which begins with a Purpose so that no two things share keys.

    ``k_0 = splitmix64(seed)``, ``k_{n+1} = splitmix64(k_n XOR path_n)``, and element ``i`` of the result is
    ``splitmix64(k XOR i)``. Returns uint64 of shape ``(count,)``.
    """
    key = splitmix64(np.array([seed & MASK_64], dtype=np.uint64))
    for step in path:
        key = splitmix64(key ^ np.uint64(step))
    return splitmix64(key ^ np.arange(count, dtype=np.uint64))
