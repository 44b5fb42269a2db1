"""`block_exponent`: the shared exponent of an error tensor (block floating point).

Errors shrink over training by orders of magnitude; a fixed LSB loses the small ones. A tensor of wide sums becomes
mantissas of ``magnitude_bits`` bits and sign, with one exponent ``e``: a mantissa ``m`` stands for ``m * 2**-e``.
"""

from __future__ import annotations

import numpy as np

from emulator.fixed import LARGEST_EXPONENT, Integers, bit_length, round_shift, saturate


def block_exponent(values: Integers, fraction: int, magnitude_bits: int) -> tuple[Integers, int]:
    """Mantissas and exponent of a tensor whose elements stand for ``v * 2**-fraction``.

    The shift brings the largest magnitude to exactly ``magnitude_bits`` bits, as far as the exponent stays within
    ``0 .. LARGEST_EXPONENT``. Rounded; what rounds past the largest mantissa saturates.
    """
    largest = np.max(np.abs(values), initial=0)
    shift = int(bit_length(largest)) - magnitude_bits
    exponent = min(max(fraction - shift, 0), LARGEST_EXPONENT)
    limit = (1 << magnitude_bits) - 1
    return saturate(round_shift(values, fraction - exponent), -limit, limit), exponent
