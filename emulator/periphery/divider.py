"""`divider`: exact integer division with remainder, as a sequential divider computes it."""

from __future__ import annotations

import numpy as np

from emulator.fixed import Integers


def divide(numerator: Integers | int, denominator: Integers | int) -> tuple[Integers, Integers]:
    """Quotient and remainder of non-negative integers below 2**62: ``n == q * d + r`` with ``0 <= r < d``.

    A zero denominator gives ``q = 0, r = n``: it comes from a vector of zeros, whose codes are all zero anyway.
    """
    n: Integers = np.asarray(numerator, dtype=np.int64)
    d: Integers = np.asarray(denominator, dtype=np.int64)
    quotient: Integers = np.where(d > 0, n // np.maximum(d, 1), 0)
    return quotient, n - quotient * d
