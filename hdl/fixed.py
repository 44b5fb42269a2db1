"""Fixed point in logic: the only place of `hdl` where data is rounded, saturated or shifted. See emulator/fixed.py.

Rounding is to nearest, halves away from zero. On magnitudes that is "add the highest bit shifted out", so a rounding
shift needs no adder as wide as its input; that is why blocks carry sign and magnitude between product and result.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value


def magnitude(value: Value) -> Value:
    """``|value|`` of a signed value, as many bits as the value has less one. The most negative code must not occur."""
    width = len(value) - 1
    return Mux(value < 0, -value, value)[:width]


def with_sign(negative: Value, size: Value) -> Value:
    """``-size`` or ``size`` as a signed value, one bit wider than ``size``."""
    plain = Cat(size, Const(0, 1)).as_signed()
    return Mux(negative, -plain, plain)[: len(size) + 1].as_signed()


def limited(size: Value, largest: int) -> Value:
    """``min(size, largest)`` of an unsigned value, in the width of ``largest``."""
    return Mux(size > largest, Const(largest, len(size)), size)[: max(1, largest.bit_length())]


def bit_length(m: Module, value: Value) -> Signal:
    """The bit length of an unsigned value: a tree over halves, ``log2`` levels deep."""
    width = len(value)
    if width == 1:
        length = Signal(1)
        m.d.comb += length.eq(value)
        return length
    half = 1 << ((width - 1).bit_length() - 1)
    upper, lower = bit_length(m, value[half:]), bit_length(m, value[:half])
    length = Signal(range(width + 1))
    m.d.comb += length.eq(Mux(value[half:].any(), half + upper, lower))
    return length


def ones(bits: Value) -> Value:
    """How many bits are set: a tree of sums."""
    if len(bits) == 1:
        return bits
    half = len(bits) // 2
    return ones(bits[:half]) + ones(bits[half:])


def rounded(value: Value) -> Value:
    """An unsigned value with one bit below its LSB, rounded: half up. As wide as the value."""
    return (value[1:] + value[0])[: len(value)]


def halved(value: Value) -> Value:
    """``value >> 1`` of a signed value: rounded towards minus infinity."""
    return value[1:].as_signed()


def power_of_two(exponent: Value) -> Value:
    """``2**exponent`` of an unsigned value: a decoder."""
    return Const(1) << exponent


def without_leading_zeros(value: Value, places: int) -> tuple[Value, Value]:
    """A level of a shift that removes leading zeros: whether the highest ``places`` bits are all 0, and the value
    shifted up by them if so. The width stays."""
    empty = ~value[-places:].any()
    return empty, Mux(empty, Cat(Const(0, places), value[:-places]), value)


def leading_half(value: Value) -> tuple[Value, Value]:
    """A level of a search for the leading one among ``2**n`` bits that are not all 0: whether the upper half holds it,
    and the half that does."""
    half = len(value) // 2
    upper = value[half:].any()
    return upper, Mux(upper, value[half:], value[:half])


def sum_at(low: Value, high: Value, places: int) -> Value:
    """``low + (high << places)`` of unsigned values: the lowest ``places`` bits need no adder."""
    if places >= len(low):
        return Cat(low, Const(0, places - len(low)), high)
    return Cat(low[:places], low[places:] + high)


def shift_window(value: Value, shift: Value, places: int, width: int) -> tuple[Value, Value]:
    """A level of a shift to the right that keeps ``width`` bits: the lowest bits of ``value``, if ``shift`` of
    ``value >> places``, and whether ones were lost above them."""
    shifted = value[places:]

    def above(word: Value) -> Value:
        return word[width:].any() if len(word) > width else Const(0, 1)

    return Mux(shift, shifted, value)[:width], Mux(shift, above(shifted), above(value))


def round_shift(value: Value, places: int, plus: Value | None = None) -> Value:
    """``plus + rs(value, places)`` of signed values, by at least one place: one adder, whose carry in is the lack of a
    sign."""
    half = Const((1 << places - 1) - 1, places)
    addend = Cat(~value[-1], half, Const(0, 1) if plus is None else plus).as_signed()
    return (Cat(Const(1, 1), value).as_signed() + addend)[places + 1 :].as_signed()


def round_stochastically(value: Value, places: int, word: Value) -> Value:
    """``value / 2**places`` of a signed value, rounded up where the uniform word, as a fraction, reaches what lacks to the
    next integer: one adder."""
    unused = len(word) - places
    offset = word[unused:] if unused >= 0 else Cat(Const(0, -unused), word)
    return (value + Cat(offset, Const(0, 1)).as_signed())[places:].as_signed()


def sum_or_difference(left: Value, right: Value, difference: Value) -> Value:
    """``left - right`` or ``left + right`` of signed values: one adder, whose carry in is ``difference``."""
    inverted = Mux(difference, ~right, right)[: len(right)]
    return (Cat(difference, left).as_signed() + Cat(difference, inverted).as_signed())[1:].as_signed()


def round_half_up(value: Value, places: int, plus: Value) -> Value:
    """``plus + value / 2**places`` of signed values, rounded to nearest, halves up: one adder."""
    return (value + Cat(Const(1 << places - 1, places), plus).as_signed())[places:].as_signed()
