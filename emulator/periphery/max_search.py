"""`max_search`: the largest magnitude of a vector, which noise, update and error scaling start from."""

from __future__ import annotations

import numpy as np

from emulator.fixed import Integers


def max_search(vector: Integers) -> Integers:
    """``max_i |v_i|`` over the last axis; 0 for an empty vector. The most negative code must not occur."""
    return np.max(np.abs(vector), axis=-1, initial=0)
