"""`bound_management`: when an output of a read saturates, repeat the read with the input halved (Gokmen et al. 2017).

    y = (W (x / 2**n) + noise) * 2**n

The halving is n more places of the `scaler`'s shift in front of the DAC, the factor 2**n a shift of the ADC codes.
"""

from __future__ import annotations


def bound_management(saturated: bool, halvings: int, limit: int) -> tuple[bool, int]:
    """After a read with ``halvings`` halvings: whether to repeat it, and with how many.

    Ends after at most ``limit`` repeats, because every repeat adds a halving.
    """
    repeat = saturated and halvings < limit
    return repeat, halvings + repeat
