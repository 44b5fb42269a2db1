"""Scaling before a read and back after it, against fractions of the ideal quotient."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.fixed import RECIPROCAL_GUARD_BITS
from emulator.periphery.max_search import max_search
from emulator.periphery.noise_management import InputScaling, noise_management
from emulator.periphery.scaler import scale

HALF = Fraction(1, 2)
MODES = ("none", "constant", "power_of_two", "exact")


@dataclass(frozen=True)
class Case:
    """A matrix of vectors in a word of ``magnitude_bits`` and sign, and the formats around it."""

    vectors: list[list[int]]
    magnitude_bits: int
    fraction: int
    dac_fraction: int
    constant_exponent: int

    def scaling(self, mode: str) -> InputScaling:
        return noise_management(
            max_search(np.array(self.vectors)),
            mode=mode,
            constant_exponent=self.constant_exponent if mode == "constant" else 0,
            fraction=self.fraction,
            magnitude_bits=self.magnitude_bits,
            dac_fraction=self.dac_fraction,
        )

    def codes(self, scaling: InputScaling) -> list[list[int]]:
        """What the DAC gets, before any halving."""
        full_range = 1 << self.dac_fraction
        multiplier, shift = scaling.multiplier[:, None], scaling.shift[:, None]
        return scale(np.array(self.vectors), multiplier, shift, -full_range, full_range).tolist()


@st.composite
def cases(draw: st.DrawFn) -> Case:
    magnitude_bits = draw(st.integers(3, 15))
    limit = (1 << magnitude_bits) - 1
    corners = sorted(
        {power + offset for power in (1 << k for k in range(magnitude_bits)) for offset in (-1, 0)} | {limit}
    )
    element = st.one_of(st.integers(-limit, limit), st.sampled_from(corners + [-corner for corner in corners]))
    length = draw(st.integers(1, 6))
    bits = draw(st.integers(0, magnitude_bits))  # vectors of every size, not only those near full scale
    small = st.integers(-(1 << bits) + 1, (1 << bits) - 1)
    vector = st.one_of(st.lists(s, min_size=length, max_size=length) for s in (element, small, st.just(0)))
    return Case(
        vectors=draw(st.lists(vector, min_size=1, max_size=4)),
        magnitude_bits=magnitude_bits,
        fraction=draw(st.integers(0, 40)),
        dac_fraction=draw(st.integers(1, 14)),
        constant_exponent=draw(st.integers(-8, 24)),
    )


def driven_value(code: int, case: Case) -> Fraction:
    """The pulse duration, full range being 1."""
    return Fraction(code, 1 << case.dac_fraction)


def restored(code: int, scaling: InputScaling, index: int, case: Case) -> Fraction:
    """The value that the array's answer is multiplied up to: duration times scale."""
    return driven_value(code, case) * int(scaling.scale[index]) / Fraction(2) ** scaling.fraction


@settings(max_examples=200, deadline=None)
@given(cases())
def test_none_and_constant_drive_the_value_itself(case: Case) -> None:
    """Divided by 2**-constant_exponent (0 for none): the code is the nearest, and the scale undoes the division."""
    for mode in ("none", "constant"):
        exponent = case.constant_exponent if mode == "constant" else 0
        scaling = case.scaling(mode)
        assert scaling.scale.tolist() == [1] * len(case.vectors)
        assert scaling.fraction == exponent
        for index, (vector, codes) in enumerate(zip(case.vectors, case.codes(scaling), strict=True)):
            for value, code in zip(vector, codes, strict=True):
                ideal = Fraction(value) / 2**case.fraction * Fraction(2) ** (exponent + case.dac_fraction)
                inside = min(max(ideal, Fraction(-1 << case.dac_fraction)), Fraction(1 << case.dac_fraction))
                assert abs(code - inside) <= HALF
                if abs(ideal) < 1 << case.dac_fraction:
                    error = restored(code, scaling, index, case) - Fraction(value, 2**case.fraction)
                    assert abs(error) <= HALF / Fraction(2) ** (case.dac_fraction + exponent)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_exact_divides_by_the_maximum(case: Case) -> None:
    """The maximum's code is exactly full range; no code is further from the ideal quotient than half an LSB and
    2**-RECIPROCAL_GUARD_BITS, and the restored value follows within as many LSBs of the maximum."""
    scaling = case.scaling("exact")
    bound = HALF + Fraction(1, 1 << RECIPROCAL_GUARD_BITS)
    assert scaling.fraction == case.fraction
    for index, (vector, codes) in enumerate(zip(case.vectors, case.codes(scaling), strict=True)):
        largest = max(abs(value) for value in vector)
        assert int(scaling.scale[index]) == largest
        for value, code in zip(vector, codes, strict=True):
            if abs(value) == largest:
                assert abs(code) == (1 << case.dac_fraction if largest else 0)
            if largest:
                ideal = Fraction(value, largest) * (1 << case.dac_fraction)
                assert abs(code - ideal) < bound
            error = restored(code, scaling, index, case) - Fraction(value, 2**case.fraction)
            assert abs(error) <= bound * Fraction(largest, 2 ** (case.fraction + case.dac_fraction))


@pytest.mark.parametrize("magnitude_bits", (3, 8, 15))
def test_exact_for_every_maximum(magnitude_bits: int) -> None:
    """Every maximum of the word with itself, its half, its neighbour below and 1."""
    for dac_fraction in (1, 9, 14):
        maxima = range(1, 1 << magnitude_bits)
        vectors = [[largest, -(largest // 2), largest - 1, 1] for largest in maxima]
        case = Case(vectors, magnitude_bits, 12, dac_fraction, 0)
        codes = np.array(case.codes(case.scaling("exact")))
        assert (codes[:, 0] == 1 << dac_fraction).all()
        # |code / 2**dac - v / max| < (1/2 + 2**-guard) LSB, as integers.
        values, largest = np.array(vectors), np.array(maxima)[:, None]
        error = np.abs(codes * largest - (values << dac_fraction)) << (RECIPROCAL_GUARD_BITS + 1)
        assert (error < largest * ((1 << RECIPROCAL_GUARD_BITS) + 2)).all()


@settings(max_examples=200, deadline=None)
@given(cases())
def test_power_of_two_divides_by_the_power_above_the_maximum(case: Case) -> None:
    """The maximum lands between half and full range, and the restored value is the nearest that a code stands for."""
    scaling = case.scaling("power_of_two")
    assert scaling.fraction == case.fraction
    for index, (vector, codes) in enumerate(zip(case.vectors, case.codes(scaling), strict=True)):
        largest = max(abs(value) for value in vector)
        power = 1 << largest.bit_length()
        assert int(scaling.scale[index]) == (power if largest else 0)
        assert not largest or power // 2 <= largest < power
        full_range = 1 << case.dac_fraction
        for value, code in zip(vector, codes, strict=True):
            if abs(value) == largest and largest:
                assert full_range // 2 <= abs(code) <= full_range
            error = restored(code, scaling, index, case) - Fraction(value, 2**case.fraction)
            assert abs(error) <= HALF * Fraction(power, 2 ** (case.fraction + case.dac_fraction))


@pytest.mark.parametrize("mode", MODES)
def test_vectors_of_zeros_drive_nothing(mode: str) -> None:
    case = Case([[0, 0, 0], [1, 0, -5]], 15, 12, 9, 3)
    scaling = case.scaling(mode)
    assert case.codes(scaling)[0] == [0, 0, 0]
    if mode in ("exact", "power_of_two"):
        assert int(scaling.scale[0]) == 0
        assert int(scaling.scale[1]) > 0


def test_a_drive_is_finer_than_the_vector_with_management_only() -> None:
    """An error of 3 LSBs of 2**-30 vanishes in the DAC without management and drives full range with it."""
    case = Case([[3, -1, 0]], 15, 30, 9, 0)
    assert case.codes(case.scaling("none")) == [[0, 0, 0]]
    assert case.codes(case.scaling("exact"))[0][0] == 1 << 9
