"""`update_management`: the gains that turn x and delta into pulse probabilities (Gokmen et al. 2017).

    p_x = min(1, C_x |x|),  p_delta = min(1, C_delta |delta|),  C_x C_delta = eta / (BL dw_min)

- ``none``: C_x = C_delta = C = sqrt(eta / (BL dw_min));
- ``exact``: m = sqrt(delta_max / x_max), C_x = m C, C_delta = C / m. Both largest probabilities are then equal,
  p_max = C sqrt(x_max delta_max), and p = p_max * v / v_max: one square root and two divisions per update cycle;
- ``power_of_two``: m as a power of two from the bit lengths of the maxima alone, 1/2 to sqrt(2) times the exact m.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emulator.fixed import GAIN_BITS, Integers, bit_length, round_shift
from emulator.periphery.divider import divide
from emulator.periphery.square_root import square_root


@dataclass(frozen=True)
class PulseGain:
    """Probability word = round(|v| * multiplier / 2**shift), at most 1.0. Arrays hold one element per vector."""

    multiplier: Integers
    shift: Integers


def update_management(
    x_max: Integers,
    delta_max: Integers,
    *,
    mode: str,
    x_fraction: int,
    delta_fraction: int,
    gain: tuple[int, int],
    power: tuple[int, int],
    probability_bits: int,
) -> tuple[PulseGain, PulseGain]:
    """The gains of both sides for update cycles with these maxima (elements ``v`` stand for ``v * 2**-fraction``).

    ``gain``: C, ``power``: C**2, each as mantissa and shift (mantissa of GAIN_BITS bits). A vector of zeros has
    probability 0 throughout; in ``exact`` mode the other side then has too.

    ``exact``: T = x_max * delta_max * mantissa(C**2) is shifted to 2 GAIN_BITS (or one less, to make its exponent
    even), r = floor(sqrt(T)) is p_max, and each multiplier is ``floor(r * 2**GAIN_BITS / v_max)``, ``v_max`` shifted
    to GAIN_BITS.
    """
    one = np.ones_like(np.asarray(x_max, dtype=np.int64))
    if mode != "exact":
        mantissa, shift = gain
        halves = 0 * one
        if mode == "power_of_two":
            halves = (bit_length(delta_max) - delta_fraction - bit_length(x_max) + x_fraction) >> 1
        return (
            PulseGain(one * mantissa, x_fraction + shift - probability_bits - halves),
            PulseGain(one * mantissa, delta_fraction + shift - probability_bits + halves),
        )
    mantissa, shift = power
    product = x_max * delta_max * mantissa
    exponent = x_fraction + delta_fraction + shift
    places = 2 * GAIN_BITS - bit_length(product)
    places = places - ((exponent + places) & 1)
    aligned = np.where(places >= 0, product << np.maximum(places, 0), product >> np.maximum(-places, 0))
    root, _ = square_root(aligned, 2 * GAIN_BITS)
    root_exponent = (exponent + places) >> 1
    return (
        _gain_of_side(x_max, root, root_exponent, probability_bits),
        _gain_of_side(delta_max, root, root_exponent, probability_bits),
    )


def _gain_of_side(maximum: Integers, root: Integers, root_exponent: Integers, probability_bits: int) -> PulseGain:
    places = GAIN_BITS - bit_length(maximum)
    multiplier, _ = divide(root << GAIN_BITS, maximum << places)
    return PulseGain(multiplier, root_exponent + GAIN_BITS - places - probability_bits)


def probability_words(vector: Integers, gain: PulseGain, probability_bits: int) -> Integers:
    """The probability words of the elements of vectors ``(cycles, lines)``: 0 .. 2**probability_bits."""
    words = round_shift(np.abs(vector) * gain.multiplier[:, None], gain.shift[:, None])
    return np.minimum(words, 1 << probability_bits)
