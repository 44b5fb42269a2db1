"""`replicate`: drive every device of a weight with the same input (multi-device mapping, Gokmen et al. 2017)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from emulator.fixed import Flags, Integers

Vectors = TypeVar("Vectors", Integers, Flags)


def replicate(vector: Vectors, copies: int) -> Vectors:
    """``copies`` of the vector along the last axis: line ``d * length + i`` is copy d of element i."""
    return np.tile(vector, (1,) * (vector.ndim - 1) + (copies,))
