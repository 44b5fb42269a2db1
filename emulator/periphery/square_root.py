"""`square_root`: exact integer square root, digit by digit."""

from __future__ import annotations

import numpy as np

from emulator.fixed import Integers


def square_root(value: Integers, bits: int = 62) -> tuple[Integers, Integers]:
    """Root and rest of ``0 <= value < 2**bits`` (``bits`` even, at most 62): ``v == r*r + rest``, ``rest <= 2*r``.

    One result bit a step by the digit-by-digit method: ``bits / 2`` steps, in hardware one cycle each at radix 2.
    """
    rest = np.array(value, dtype=np.int64)
    root = np.zeros_like(rest)
    for position in range(bits - 2, -2, -2):
        bit = np.int64(1 << position)
        trial = root + bit
        take = rest >= trial
        rest = np.where(take, rest - trial, rest)
        root = (root >> 1) + np.where(take, bit, 0)
    return root, rest
