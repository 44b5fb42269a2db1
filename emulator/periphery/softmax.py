"""`softmax`: the error of softmax and cross-entropy, delta = onehot(label) - softmax(y).

delta is the negative gradient of the loss with respect to y: the project's sign convention, so that the update
``W <- W + eta delta x^T`` descends. The exponential is the product of two small tables, the quotient exact.
"""

from __future__ import annotations

import numpy as np

from emulator.config.tables import EXPONENTIAL_RANGE, FINE_FRACTION_BITS, exponential_tables
from emulator.fixed import SOFTMAX_FRACTION_BITS, Integers, round_shift
from emulator.periphery.divider import divide


def exponential(distance: Integers, fraction: int) -> Integers:
    """``exp(-distance * 2**-fraction)`` with SOFTMAX_FRACTION_BITS fraction bits, for ``distance >= 0``."""
    coarse, fine = exponential_tables(fraction)
    inside = distance < EXPONENTIAL_RANGE << fraction
    distance = np.where(inside, distance, 0)
    product = coarse[distance >> (fraction - 1)] * fine[distance & ((1 << (fraction - 1)) - 1)]
    return np.where(inside, round_shift(product, FINE_FRACTION_BITS), 0)


def softmax_error(logits: Integers, label: int, fraction: int) -> Integers:
    """delta of one image with SOFTMAX_FRACTION_BITS fraction bits; logits have ``fraction`` fraction bits.

    The probability of class i is ``floor(2**24 e_i / sum e)``; the label's error is minus the sum of the others, so
    the errors of an image sum to zero exactly.
    """
    powers = exponential(np.max(logits) - logits, fraction)
    probabilities, _ = divide(powers << SOFTMAX_FRACTION_BITS, int(np.sum(powers)))
    errors = -probabilities
    errors[label] = np.sum(probabilities) - probabilities[label]
    return errors
