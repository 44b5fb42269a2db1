"""`replicate`: drive every device of a weight with the same input (multi-device mapping, PAPER section 5)."""

from __future__ import annotations

import numpy as np

from emulator.fixed import Integers


def replicate(vector: Integers, copies: int) -> Integers:
    """``copies`` of the vector one after another along the last axis: line ``d * length + i`` is copy d of element i."""
    return np.tile(vector, (1,) * (vector.ndim - 1) + (copies,))
