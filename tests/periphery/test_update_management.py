"""Pulse gains and probability words against the formulas of the paper in decimal arithmetic and fractions.

Error bounds of ``exact``, from the formats. Let e be any number in [0, 2**-(GAIN_BITS - 1)), not always the same.
The root r = floor(sqrt(T)) has GAIN_BITS bits, so r = p_max * (1 - e). Each multiplier floor(r * 2**GAIN_BITS / v)
has at least GAIN_BITS bits, because v, shifted to GAIN_BITS bits, is below 2**GAIN_BITS and r at least half of it;
so each gain is p_max / v_max * (1 - e) * (1 - e). Hence no gain exceeds its ideal or falls short of it by 2 * 2**-15,
the product of both gains falls short of C**2 by less than 4 * 2**-15, and the two largest probabilities, which share
r, differ by less than 2**-15, all relative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.config.stages import mantissa_and_shift
from emulator.fixed import GAIN_BITS
from emulator.periphery.update_management import PulseGain, probability_words, update_management

HALF = Fraction(1, 2)
MODES = ("none", "exact", "power_of_two")
#: Relative resolution of a floor to GAIN_BITS bits.
UNIT = Fraction(1, 1 << (GAIN_BITS - 1))
DIGITS = 60


@dataclass(frozen=True)
class Case:
    """One update cycle: both vectors, their formats and C**2 = eta / (BL dw_min)."""

    x: list[int]
    delta: list[int]
    x_fraction: int
    delta_fraction: int
    power: float
    probability_bits: int

    @property
    def gain_word(self) -> tuple[int, int]:
        return mantissa_and_shift(math.sqrt(self.power), GAIN_BITS)

    @property
    def power_word(self) -> tuple[int, int]:
        return mantissa_and_shift(self.power, GAIN_BITS)

    def gains(self, mode: str) -> tuple[PulseGain, PulseGain]:
        return update_management(
            np.array([max(map(abs, self.x))]),
            np.array([max(map(abs, self.delta))]),
            mode=mode,
            x_fraction=self.x_fraction,
            delta_fraction=self.delta_fraction,
            gain=self.gain_word,
            power=self.power_word,
            probability_bits=self.probability_bits,
        )

    def words(self, mode: str) -> tuple[list[int], list[int]]:
        x_gain, delta_gain = self.gains(mode)
        return (
            probability_words(np.array([self.x]), x_gain, self.probability_bits)[0].tolist(),
            probability_words(np.array([self.delta]), delta_gain, self.probability_bits)[0].tolist(),
        )

    def real_gains(self, mode: str) -> tuple[Fraction, Fraction]:
        """C_x and C_delta as the words stand for them: probability per unit of x and of delta."""
        x_gain, delta_gain = self.gains(mode)
        return (
            self._real(x_gain) * 2**self.x_fraction,
            self._real(delta_gain) * 2**self.delta_fraction,
        )

    def _real(self, gain: PulseGain) -> Fraction:
        return Fraction(int(gain.multiplier[0])) / Fraction(2) ** (int(gain.shift[0]) + self.probability_bits)

    @property
    def x_max(self) -> Fraction:
        return Fraction(max(map(abs, self.x)), 2**self.x_fraction)

    @property
    def delta_max(self) -> Fraction:
        return Fraction(max(map(abs, self.delta)), 2**self.delta_fraction)


def real(word: tuple[int, int]) -> Fraction:
    mantissa, shift = word
    return Fraction(mantissa) / Fraction(2) ** shift


def root(value: Fraction) -> Fraction:
    """Square root to DIGITS digits."""
    with localcontext() as context:
        context.prec = DIGITS
        return Fraction((Decimal(value.numerator) / Decimal(value.denominator)).sqrt())


def vectors(fullest: int) -> st.SearchStrategy[list[int]]:
    """Vectors of every size, with a largest element that is not zero."""
    sizes = st.integers(1, fullest).map(lambda bits: (1 << bits) - 1)
    corners = st.sampled_from([value for k in range(fullest) for value in (1 << k, -(1 << k), (2 << k) - 1)])
    element = sizes.flatmap(lambda limit: st.integers(-limit, limit))
    return st.tuples(st.lists(st.one_of(element, corners, st.just(0)), max_size=5), corners).map(
        lambda parts: [*parts[0], parts[1]]
    )


cases = st.builds(
    Case,
    x=vectors(15),
    delta=vectors(15),
    x_fraction=st.integers(2, 14),
    delta_fraction=st.integers(0, 40),
    power=st.one_of(st.floats(2**-20, 2**20), st.integers(-20, 20).map(lambda k: 2.0**k)),
    probability_bits=st.integers(2, 24),
)


@settings(max_examples=200, deadline=None)
@given(cases)
def test_none_gives_both_sides_the_same_gain(case: Case) -> None:
    """C = sqrt(eta / (BL dw_min)) to the resolution of its mantissa, half an LSB of GAIN_BITS bits."""
    x_gain, delta_gain = case.real_gains("none")
    assert x_gain == delta_gain == real(case.gain_word)
    ideal = root(Fraction(case.power))
    assert abs(x_gain - ideal) <= ideal * (UNIT / 2 + Fraction(1, 2**50))


@settings(max_examples=200, deadline=None)
@given(cases)
def test_power_of_two_shifts_gain_from_one_side_to_the_other(case: Case) -> None:
    """The product is that of none, exactly; m is a power of two within (1/2, sqrt 2) of the ideal, so that the
    largest probabilities are within a factor of 4."""
    x_gain, delta_gain = case.real_gains("power_of_two")
    gain = real(case.gain_word)
    assert x_gain * delta_gain == gain**2
    m = x_gain / gain
    assert m.numerator & (m.numerator - 1) == 0 and m.denominator & (m.denominator - 1) == 0
    ideal_squared = case.delta_max / case.x_max
    assert Fraction(1, 4) < m**2 / ideal_squared < 2
    ratio = delta_gain * case.delta_max / (x_gain * case.x_max)
    assert HALF < ratio < 4


@settings(max_examples=300, deadline=None)
@given(cases)
def test_exact_equals_the_formula(case: Case) -> None:
    """C_x = m C and C_delta = C / m with m = sqrt(delta_max / x_max), never above and 2 units below at most."""
    x_gain, delta_gain = case.real_gains("exact")
    m = root(case.delta_max / case.x_max)
    gain = root(real(case.power_word))
    rounding = 1 + Fraction(1, 10 ** (DIGITS - 5))  # of the decimal roots
    for ours, ideal in ((x_gain, m * gain), (delta_gain, gain / m)):
        assert ideal * (1 - 2 * UNIT) < ours <= ideal * rounding
    assert (1 - 4 * UNIT) * real(case.power_word) < x_gain * delta_gain <= real(case.power_word)


@settings(max_examples=300, deadline=None)
@given(cases)
def test_exact_makes_the_largest_probabilities_equal(case: Case) -> None:
    """Within a unit before rounding, and within a unit and an LSB as words."""
    x_gain, delta_gain = case.real_gains("exact")
    x_largest, delta_largest = x_gain * case.x_max, delta_gain * case.delta_max
    assert abs(x_largest - delta_largest) < UNIT * max(x_largest, delta_largest)
    x_words, delta_words = case.words("exact")
    assert abs(max(x_words) - max(delta_words)) <= 1 + UNIT * max(*x_words, *delta_words)


@settings(max_examples=300, deadline=None)
@given(cases)
def test_exact_words_equal_the_ideal_probabilities(case: Case) -> None:
    """min(1, C_x |x|) and min(1, C_delta |delta|) in LSBs: half an LSB of rounding and 2 units relative."""
    m = root(case.delta_max / case.x_max)
    gain = root(real(case.power_word))
    one = 1 << case.probability_bits
    x_words, delta_words = case.words("exact")
    sides = ((x_words, case.x, case.x_fraction, m * gain), (delta_words, case.delta, case.delta_fraction, gain / m))
    for words, values, fraction, side_gain in sides:
        for word, value in zip(words, values, strict=True):
            ideal = min(Fraction(one), side_gain * abs(value) / 2**fraction * one)
            assert abs(word - ideal) <= HALF + 2 * UNIT * ideal
            assert (word == 0) or value != 0


@settings(max_examples=300, deadline=None)
@given(cases, st.sampled_from(MODES))
def test_words_are_rounded_products_with_the_gains(case: Case, mode: str) -> None:
    """Nearest, halves upwards, and at most 1.0, which is in the word."""
    one = 1 << case.probability_bits
    gains, words = case.real_gains(mode), case.words(mode)
    fractions = (case.x_fraction, case.delta_fraction)
    for gain, side, values, fraction in zip(gains, words, (case.x, case.delta), fractions, strict=True):
        expected = [math.floor(gain * abs(value) / 2**fraction * one + HALF) for value in values]
        assert side == [min(word, one) for word in expected]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("x", "delta"), (([0, 0], [5, -3]), ([7, 1], [0, 0]), ([0], [0])))
def test_a_side_of_zeros_never_fires(mode: str, x: list[int], delta: list[int]) -> None:
    for delta_fraction in (0, 17, 40):
        words = Case(x, delta, 12, delta_fraction, 1.0, 24).words(mode)
        for values, side in zip((x, delta), words, strict=True):
            assert any(values) or not any(side)


def test_every_cycle_has_its_own_gain() -> None:
    """Several cycles at once equal each cycle alone."""
    maxima = [(1, 1), (32767, 3), (12, 30000), (0, 9), (4096, 16384)]
    formats = {
        "x_fraction": 12,
        "delta_fraction": 20,
        "gain": (32768, 15),
        "power": (32768, 15),
        "probability_bits": 24,
    }
    for mode in MODES:
        together = update_management(*(np.array(side) for side in zip(*maxima, strict=True)), mode=mode, **formats)
        for cycle, pair in enumerate(maxima):
            alone = update_management(*(np.array([maximum]) for maximum in pair), mode=mode, **formats)
            for gain, single in zip(together, alone, strict=True):
                assert int(gain.multiplier[cycle]) == int(single.multiplier[0])
                assert int(gain.shift[cycle]) == int(single.shift[0])


def test_management_equalises_what_none_leaves_apart() -> None:
    """x near 1 and delta near 2**-16: without management the probabilities differ as much, with it they do not."""
    case = Case([4000, -30], [3, -1], 12, 17, 1.0, 24)
    x_words, delta_words = case.words("none")
    assert max(x_words) > 10_000 * max(delta_words)
    for mode, factor in (("exact", 1.001), ("power_of_two", 4)):
        x_words, delta_words = case.words(mode)
        assert max(x_words) < factor * max(delta_words) and max(delta_words) < factor * max(x_words)


def test_halves_of_probabilities_round_up() -> None:
    """Magnitudes of both signs whose product with the gain lies between two words."""
    values = [*range(-15, 16, 2)]
    gain = PulseGain(np.array([3]), np.array([1]))
    words = probability_words(np.array([values]), gain, probability_bits=24)
    assert words[0].tolist() == [(3 * abs(value) + 1) // 2 for value in values]
