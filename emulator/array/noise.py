"""`noise`: Gaussian words cheap enough for an FPGA, and the mixing of a row's and a column's word into a device's.

A Gaussian word adds the ones among 16 bits (binomial) and fills the gaps with 8 uniform bits:

    xi = 2 * (256 * (ones - 8) + fill) - 255

It is symmetric, with mean 0, standard deviation GAUSSIAN_DEVIATION (1034.6), excess kurtosis -0.12 and tails that
end at 4.2 standard deviations.
"""

from __future__ import annotations

import numpy as np

from emulator.fixed import (
    CYCLE_FRACTION_BITS,
    DRAW_FRACTION_BITS,
    GAUSSIAN_FILL_BITS,
    GAUSSIAN_ONES_BITS,
    ROUNDING_ROUNDS,
    WORD_BITS,
    Integers,
    round_shift,
)

HALF_BITS = WORD_BITS // 2
HALF_MASK = (1 << HALF_BITS) - 1
MIX_ROUNDS = 5


def gaussian(words: Integers) -> Integers:
    """The Gaussian words of uniform WORD_BITS-bit words."""
    ones = np.bitwise_count(words >> GAUSSIAN_FILL_BITS).astype(np.int64)
    fill = words & ((1 << GAUSSIAN_FILL_BITS) - 1)
    centred = ((ones - GAUSSIAN_ONES_BITS // 2) << GAUSSIAN_FILL_BITS) + fill
    return 2 * centred - ((1 << GAUSSIAN_FILL_BITS) - 1)


def mix(words: Integers, rounds: int = MIX_ROUNDS) -> Integers:
    """A fixed permutation of WORD_BITS-bit words without linear structure.

    Feistel rounds ``(l, r) <- (r XOR (l<<<1 AND l<<<5) XOR l<<<2, l)`` on 12-bit halves (the round
    function's form is Simon's; Beaulieu et al. 2013): four inputs, hence one LUT per bit and round. Without it, a
    matrix of row-word XOR column-word Gaussians has low rank (its largest singular value is 2 to 3 times that of
    independent entries); with MIX_ROUNDS it is indistinguishable from independent.
    """
    left, right = words >> HALF_BITS, words & HALF_MASK
    for _ in range(rounds):
        left, right = right ^ (_rotate(left, 1) & _rotate(left, 5)) ^ _rotate(left, 2), left
    return left << HALF_BITS | right


def _rotate(half: Integers, places: int) -> Integers:
    return (half << places | half >> (HALF_BITS - places)) & HALF_MASK


def device_gaussian(row_words: Integers, column_words: Integers) -> Integers:
    """The Gaussian of every device from its row's and its column's word: ``(rows,), (columns,) -> (rows, columns)``."""
    return gaussian(mix(row_words[:, None] ^ column_words[None, :]))


def rounding_words(mixed: Integers) -> Integers:
    """Uniform words for the rounding of moves, from the mixed words whose Gaussians are the cycle noise of those moves.

    ``mix`` is a permutation, so the words are exactly uniform; ROUNDING_ROUNDS make them independent of the Gaussians
    (tests/array/test_noise.py goes through all words: the mean of a rounded move is off by less than 0.3 % of a step
    of 0.02 LSB, where words taken from ``mixed`` itself are off by 40 %).
    """
    return mix(mixed, ROUNDING_ROUNDS)


def cycle_factor(coincidences: Integers, draws: Integers, gains: Integers) -> Integers:
    """How many steps a device moves for ``c`` coincidences: ``c + dw_min_std * sqrt(c) * xi``, CYCLE_FRACTION_BITS.

    ``gains[c]`` is ``dw_min_std * sqrt(c)`` (Stage.cycle_gains); ``draws`` are Gaussian words.
    """
    noise = round_shift(draws * gains[coincidences], DRAW_FRACTION_BITS)
    return (coincidences << CYCLE_FRACTION_BITS) + noise
