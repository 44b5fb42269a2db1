"""`lfsr`: the random source of a line, a linear feedback shift register that leaps a whole word per draw.

The state holds the last ``width`` bits of the recurrence

    s[n] = s[n - t0] XOR s[n - t1] XOR s[n - t2] XOR s[n - t3],    t0 = width,

newest bit in bit 0. Every tap lies at least WORD_BITS back, so a word of new bits is one layer of four-input XORs.
A draw appends WORD_BITS new bits, and those are the drawn word, oldest bit first (in the word's highest bit).

The polynomials are primitive (tests prove it), so the state repeats after ``2**width - 1`` bits, or a third as many
draws (3 divides both WORD_BITS and the period), and only the zero state locks up; seeding never makes it. Degree 32 is the four-tap entry of the maximal-length tables of Ward and Molteno
(2007). Degrees 48 and 64 were chosen among primitive pentanomials with taps spread so wide that words any distance
below 80 apart are jointly equidistributed (64: all 48 bits; 48: at least 45), where close taps, as tables list
them, leave pulses of small probability correlated a few slots apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from emulator.fixed import TAPS, WORD_BITS, Integers

Words = NDArray[np.uint64]

WORD_MASK = np.uint64((1 << WORD_BITS) - 1)


@dataclass(frozen=True)
class Lfsr:
    """Generators of one width. States are uint64 arrays, one element a line; methods return new arrays."""

    width: int

    @property
    def state_mask(self) -> np.uint64:
        return np.uint64((1 << self.width) - 1)

    def seed(self, keys: Words) -> Words:
        """States from 64-bit keys: ``key modulo (2**width - 1) + 1``, never zero."""
        return keys % self.state_mask + np.uint64(1)

    def advance(self, states: Words) -> Words:
        """The states one draw later."""
        word = np.zeros_like(states)
        for tap in TAPS[self.width]:
            word ^= states >> np.uint64(tap - WORD_BITS)
        return ((states << np.uint64(WORD_BITS)) | (word & WORD_MASK)) & self.state_mask

    def word(self, states: Words) -> Integers:
        """The word that the last draw appended, WORD_BITS bits."""
        return (states & WORD_MASK).astype(np.int64)

    def jump(self, states: Words, draws: int) -> Words:
        """The states ``draws`` draws later, in the logarithm of that many steps."""
        for power in range(draws.bit_length()):
            if draws >> power & 1:
                states = _leap(self.width, power, states)
        return states

    def sequence(self, states: Words, draws: int) -> Words:
        """The states after draw 1, 2 ... ``draws``: shape ``(draws, *states.shape)``, by doubling."""
        history = np.empty((draws, *states.shape), dtype=np.uint64)
        if draws == 0:
            return history
        history[0] = self.advance(states)
        done = 1
        while done < draws:
            more = min(done, draws - done)
            history[done : done + more] = _leap(self.width, done.bit_length() - 1, history[:more])
            done += more
        return history


@cache
def _leap_tables(width: int, power: int) -> Words:
    """Byte-wise tables of the linear map "2**power draws": the image of state ``s`` is the XOR over its bytes
    ``b_k`` of ``table[k, b_k]``. Shape ``(width / 8, 256)``."""
    basis = np.uint64(1) << np.arange(width, dtype=np.uint64)
    images = Lfsr(width).advance(basis)
    if power > 0:
        images = _leap(width, power - 1, _leap(width, power - 1, basis))
    table = np.zeros((width // 8, 256), dtype=np.uint64)
    for bit in range(8):
        chosen = (np.arange(256) >> bit & 1).astype(bool)
        table[:, chosen] ^= images[bit::8, None]
    return table


def _leap(width: int, power: int, states: Words) -> Words:
    table = _leap_tables(width, power)
    image = np.zeros_like(states)
    for index in range(width // 8):
        image ^= table[index][(states >> np.uint64(8 * index)).astype(np.uint8)]
    return image
