"""Fixed point in logic against the model's: every code of small words, drawn codes of large ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Shape, Signal, Value, signed, unsigned
from amaranth.sim import Simulator, SimulatorContext

from emulator import fixed as model
from hdl import fixed


def evaluated(
    function: Callable[..., Value],
    shapes: Sequence[Shape],
    operands: Sequence[tuple[int, ...]],
    *,
    in_module: bool = False,
) -> list[int]:
    """What a function of values gives for operands of these shapes."""
    m = Module()
    inputs = [Signal(shape, name=f"input_{index}") for index, shape in enumerate(shapes)]
    value = function(m, *inputs) if in_module else function(*inputs)
    output = Signal(value.shape())
    m.d.comb += output.eq(value)
    results = []

    async def bench(context: SimulatorContext) -> None:
        for words in operands:
            for signal, word in zip(inputs, words, strict=True):
                context.set(signal, word)
            results.append(context.get(output))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return results


def words(bits: int, *, count: int = 200) -> list[int]:
    """All words of few bits; of more, drawn ones of every length and the corners."""
    if bits <= 8:
        return list(range(1 << bits))
    generator = np.random.default_rng(bits)
    drawn = [int(generator.integers(0, 1 << int(generator.integers(1, bits + 1)))) for _ in range(count)]
    return [0, 1, (1 << bits) - 1, 1 << (bits - 1), *drawn]


@pytest.mark.parametrize("bits", [1, 5, 31])
def test_magnitude_and_sign(bits: int) -> None:
    values = [sign * word for word in words(bits) for sign in (1, -1)]
    assert evaluated(fixed.magnitude, [signed(bits + 1)], [(value,) for value in values]) == list(map(abs, values))
    pairs = [(int(value < 0), abs(value)) for value in values]
    assert evaluated(fixed.with_sign, [unsigned(1), unsigned(bits)], pairs) == values


@pytest.mark.parametrize(("bits", "largest"), [(5, 0), (5, 1), (5, 12), (5, 31), (5, 100), (20, 511)])
def test_limited_is_saturate(bits: int, largest: int) -> None:
    expected = [int(model.saturate(word, 0, largest)) for word in words(bits)]
    assert (
        evaluated(lambda size: fixed.limited(size, largest), [unsigned(bits)], [(w,) for w in words(bits)]) == expected
    )


@pytest.mark.parametrize("bits", [1, 2, 3, 8, 31, 52])
def test_bit_length(bits: int) -> None:
    expected = [int(model.bit_length(word)) for word in words(bits)]
    assert evaluated(fixed.bit_length, [unsigned(bits)], [(w,) for w in words(bits)], in_module=True) == expected


@pytest.mark.parametrize(("bits", "places_bits"), [(6, 3), (24, 5), (40, 6)])
def test_rounding_shift_of_magnitudes(bits: int, places_bits: int) -> None:
    """A word with one bit below, shifted and rounded, is the model's rounding shift; with its sign, of signed words."""

    def round_shift(negative: Value, size: Value, places: Value) -> Value:
        return fixed.with_sign(negative, fixed.rounded((Cat(0, size) >> places)[: len(size) + 1]))

    operands = [
        (negative, word, places)
        for word in words(bits, count=40)
        for places in range(1 << places_bits)
        for negative in (0, 1)
    ]
    expected = [int(model.round_shift(-word if negative else word, places)) for negative, word, places in operands]
    assert evaluated(round_shift, [unsigned(1), unsigned(bits), unsigned(places_bits)], operands) == expected


@pytest.mark.parametrize(("places", "word_bits"), [(14, 24), (14, 14), (24, 24), (29, 24), (3, 5)])
def test_stochastic_rounding(places: int, word_bits: int) -> None:
    """With words whose unused bits are left out, and with words shorter than what is cut."""
    values = [sign * value for value in words(34, count=60) for sign in (1, -1)]
    drawn = np.random.default_rng(places).integers(0, 1 << word_bits, len(values)).tolist()
    drawn[:3] = [0, (1 << word_bits) - 1, 1 << (word_bits - 1)]
    expected = [
        int(model.round_stochastically(value, places, word << (model.WORD_BITS - word_bits)))
        for value, word in zip(values, drawn, strict=True)
    ]

    def rounded(value: Value, word: Value) -> Value:
        return fixed.round_stochastically(value, places, word)

    found = evaluated(rounded, [signed(35), unsigned(word_bits)], list(zip(values, drawn, strict=True)))
    assert found == expected


def test_halved_rounds_towards_minus_infinity() -> None:
    assert evaluated(fixed.halved, [signed(5)], [(word,) for word in range(-16, 16)]) == [
        w // 2 for w in range(-16, 16)
    ]


def test_power_of_two() -> None:
    assert evaluated(fixed.power_of_two, [unsigned(4)], [(word,) for word in range(16)]) == [1 << w for w in range(16)]


@pytest.mark.parametrize("places", [1, 2, 4])
def test_without_leading_zeros(places: int) -> None:
    bits = 7
    operands = [(word,) for word in words(bits)]
    empty = [int(word < 1 << (bits - places)) for word in words(bits)]
    assert evaluated(lambda value: fixed.without_leading_zeros(value, places)[0], [unsigned(bits)], operands) == empty
    shifted = [word << places if word < 1 << (bits - places) else word for word in words(bits)]
    assert evaluated(lambda value: fixed.without_leading_zeros(value, places)[1], [unsigned(bits)], operands) == shifted


def test_leading_half() -> None:
    operands = [(word,) for word in range(1, 256)]
    assert evaluated(lambda value: fixed.leading_half(value)[0], [unsigned(8)], operands) == [
        int(word > 15) for (word,) in operands
    ]
    assert evaluated(lambda value: fixed.leading_half(value)[1], [unsigned(8)], operands) == [
        word >> 4 if word > 15 else word for (word,) in operands
    ]
