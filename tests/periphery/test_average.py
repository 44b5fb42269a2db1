"""The mean over replicas against fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.config import load
from emulator.fixed import AVERAGE_BITS
from emulator.periphery.average import average

HALF = Fraction(1, 2)
REPLICATIONS = range(1, 65)

totals = st.integers(0, 33).flatmap(lambda bits: st.integers(-(1 << bits), 1 << bits))


def constants(replication: int) -> tuple[int, int]:
    """The reciprocal, rounded, and as many guard bits as tell the sums of two replicas more or less apart."""
    nearest = (Fraction(1 << AVERAGE_BITS, replication) + HALF).__floor__()
    return nearest, (replication - 1).bit_length()


@pytest.mark.parametrize("replication", REPLICATIONS)
def test_stages_carry_these_constants(replication: int) -> None:
    stage = load("tiny", [f"array.replication={replication}"]).stages[0]
    assert (stage.average_reciprocal, stage.average_guard_bits) == constants(replication)


@settings(max_examples=100, deadline=None)
@given(st.lists(totals, min_size=1))
def test_powers_of_two_are_exact(values: list[int]) -> None:
    for replication in (1, 2, 4, 8, 16, 32, 64):
        reciprocal, guard_bits = constants(replication)
        result = average(np.array(values), reciprocal, guard_bits)
        assert [Fraction(mean, 1 << guard_bits) for mean in result.tolist()] == [
            Fraction(value, replication) for value in values
        ]


@settings(max_examples=200, deadline=None)
@given(st.lists(totals, min_size=1), st.sampled_from(REPLICATIONS))
def test_others_are_within_half_an_lsb_and_the_error_of_the_reciprocal(values: list[int], replication: int) -> None:
    """The reciprocal is off by at most half of 2**-AVERAGE_BITS, relative to itself ``replication / 2`` times that."""
    reciprocal, guard_bits = constants(replication)
    relative = Fraction(replication, 2 << AVERAGE_BITS)
    for value, mean in zip(values, average(np.array(values), reciprocal, guard_bits).tolist(), strict=True):
        ideal = Fraction(value << guard_bits, replication)
        assert abs(mean - ideal) <= HALF + relative * abs(ideal)


@settings(max_examples=50, deadline=None)
@given(st.lists(totals, min_size=1))
def test_one_device_passes_through(values: list[int]) -> None:
    assert average(np.array(values), *constants(1)).tolist() == values


@pytest.mark.parametrize("replication", (3, 5, 6, 7, 9))
def test_halves_round_away_from_zero(replication: int) -> None:
    """Totals, of both signs, whose product with the reciprocal lies between two results."""
    reciprocal, guard_bits = constants(replication)
    lsb = 1 << (AVERAGE_BITS - guard_bits)
    ties = [total for total in range(-4 * lsb, 4 * lsb) if total * reciprocal % lsb == lsb // 2]
    assert min(ties) < 0 < max(ties)
    expected = [(abs(total) * reciprocal // lsb + 1) * (1 if total > 0 else -1) for total in ties]
    assert average(np.array(ties), reciprocal, guard_bits).tolist() == expected
