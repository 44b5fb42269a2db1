"""`scaler`: multiply, shift, round, saturate: how a gain found once per vector is applied to its elements."""

from __future__ import annotations

from emulator.fixed import Integers, round_shift, saturate


def scale(vector: Integers, multiplier: Integers | int, shift: Integers | int, low: int, high: int) -> Integers:
    """``saturate(round_shift(v * multiplier, shift), low, high)``, element by element."""
    return saturate(round_shift(vector * multiplier, shift), low, high)
