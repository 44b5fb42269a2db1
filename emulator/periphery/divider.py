"""`divider`: exact integer division with remainder, as a sequential divider computes it."""

from __future__ import annotations

import numpy as np

from emulator.fixed import Integers


def divide(numerator: Integers | int, denominator: Integers | int) -> tuple[Integers, Integers]:
    """Quotient and remainder of non-negative integers below 2**62: ``n == q * d + r`` with ``0 <= r < d``.

    A zero denominator gives ``q = 0, r = n``: it comes from a vector of zeros, whose codes are all zero anyway.
    """
    numerator = np.asarray(numerator, dtype=np.int64)
    denominator = np.asarray(denominator, dtype=np.int64)
    usable = denominator > 0
    quotient = np.where(usable, numerator // np.where(usable, denominator, 1), 0)
    return quotient, numerator - quotient * denominator
