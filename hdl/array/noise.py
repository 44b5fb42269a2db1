"""Gaussian words and the mixing of a row's and a column's word, as logic without registers.

    gaussian(w) = 2 * (256 * (ones - 8) + fill) - 255        ones: among bits 23 .. 8 of w; fill: bits 7 .. 0
    mix(w): five rounds (l, r) <- (r ^ (l <<< 1 & l <<< 5) ^ l <<< 2, l) on halves of 12 bits

Model: emulator/array/noise.py, docs/arithmetic.md section 3.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value

from emulator.fixed import GAUSSIAN_FILL_BITS, LARGEST_GAUSSIAN, WORD_BITS
from hdl.shapes import signed_for

HALF_BITS = WORD_BITS // 2
MIX_ROUNDS = 5
GAUSSIAN_SHAPE = signed_for(LARGEST_GAUSSIAN)


def count_ones(m: Module, word: Value) -> Value:
    """How many bits are set: full adders of two LUTs each, which take less than carry chains of a few bits; as many beside each
    other as there are, which a simulator computes at once."""
    digits = []
    while len(word):
        carries: list[Value] = []
        while len(word) > 1:
            adders = max(1, len(word) // 3)
            a, b, c = (Cat(word, Const(0, 1))[k * adders : (k + 1) * adders] for k in range(3))
            total, carry = Signal(adders, name="total"), Signal(adders, name="carry")
            m.d.comb += [total.eq(a ^ b ^ c), carry.eq((a & b) | (a & c) | (b & c))]
            word = Cat(word[3 * adders :], total)
            carries.append(carry)
        digits.append(word)
        word = Cat(carries)
    return Cat(digits)


def raised_gaussian(m: Module, word: Value) -> Value:
    """``2 (256 ones + fill) + 1``, of a uniform word."""
    return Cat(Const(1, 1), word[:GAUSSIAN_FILL_BITS], count_ones(m, word[GAUSSIAN_FILL_BITS:]))


def lowered_gaussian(raised: Value) -> Value:
    """The Gaussian word of a raised one, as ``GAUSSIAN_SHAPE``: less a constant whose lower bits are 0."""
    lowered = raised[GAUSSIAN_FILL_BITS:] - (LARGEST_GAUSSIAN + 1 >> GAUSSIAN_FILL_BITS)
    return Cat(raised[:GAUSSIAN_FILL_BITS], lowered)[: GAUSSIAN_SHAPE.width].as_signed()


def gaussian(m: Module, word: Value) -> Value:
    """The Gaussian word of a uniform one."""
    return lowered_gaussian(raised_gaussian(m, word))


def mix_rounds(m: Module, word: Value, rounds: int) -> Value:
    """So many rounds of ``mix``, one LUT of four inputs per bit and round."""
    left, right = word[HALF_BITS:], word[:HALF_BITS]
    for _ in range(rounds):
        half = Signal(HALF_BITS, name="half")
        m.d.comb += half.eq(right ^ (left.rotate_left(1) & left.rotate_left(5)) ^ left.rotate_left(2))
        left, right = half, left
    return Cat(right, left)


def mix(m: Module, word: Value) -> Value:
    """The permutation of WORD_BITS-bit words."""
    return mix_rounds(m, word, MIX_ROUNDS)
