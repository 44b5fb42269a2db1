"""`average`: the mean over the devices of a weight (multi-device mapping, Gokmen et al. 2017)."""

from __future__ import annotations

from emulator.fixed import AVERAGE_BITS, Integers, round_shift


def average(total: Integers, reciprocal: int, guard_bits: int) -> Integers:
    """``total / replication`` with ``guard_bits`` further fraction bits, by the constant
    ``reciprocal = round(2**AVERAGE_BITS / replication)``: ``round_shift(total * reciprocal, AVERAGE_BITS - guard)``.

    Exact before rounding when the replication d is a power of two, else within ``d * 2**-17`` relative. One device
    passes through unchanged.
    """
    return round_shift(total * reciprocal, AVERAGE_BITS - guard_bits)
