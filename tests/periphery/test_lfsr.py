"""The generators against their recurrence stated one bit at a time, and the algebra behind their tap tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.fixed import TAPS, WORD_BITS
from emulator.periphery.lfsr import Lfsr, Words

WIDTHS = tuple(TAPS)
#: Prime factors of 2**width - 1.
FACTORS = {
    32: (3, 5, 17, 257, 65537),
    48: (3, 3, 5, 7, 13, 17, 97, 241, 257, 673),
    64: (3, 5, 17, 257, 641, 65537, 6700417),
}
#: Words less than this many draws apart are jointly equidistributed, in at least so many of their bits together.
DISTANCES = range(1, 80)
JOINT_BITS = {32: 32, 48: 45, 64: 2 * WORD_BITS}

widths = st.sampled_from(WIDTHS)


def period(width: int) -> int:
    """Draws until a state comes back: a draw is WORD_BITS steps of a sequence of period 2**width - 1."""
    return ((1 << width) - 1) // math.gcd((1 << width) - 1, WORD_BITS)


def states_of(width: int) -> st.SearchStrategy[Words]:
    """A few states of that width, never zero."""
    return st.lists(st.integers(1, (1 << width) - 1), min_size=1, max_size=9).map(
        lambda s: np.array(s, dtype=np.uint64)
    )


def step(state: int, width: int) -> int:
    """One bit of the recurrence: s[n] = s[n-t0] ^ s[n-t1] ^ s[n-t2] ^ s[n-t3], newest bit in bit 0."""
    bit = 0
    for tap in TAPS[width]:
        bit ^= state >> (tap - 1) & 1
    return (state << 1 | bit) & ((1 << width) - 1)


def draw(state: int, width: int) -> tuple[int, int]:
    """WORD_BITS steps: the state after them, and their bits with the oldest in the highest place."""
    word = 0
    for _ in range(WORD_BITS):
        state = step(state, width)
        word = word << 1 | state & 1
    return state, word


def power_of_x(exponent: int, width: int) -> int:
    """x**exponent modulo the characteristic polynomial, coefficients of GF(2) as bits."""
    polynomial = 1 << width
    for tap in TAPS[width]:
        polynomial ^= 1 << (width - tap)
    result = 1
    for digit in f"{exponent:b}":
        square = 0
        for place in range(width):
            if result >> place & 1:
                square ^= 1 << (2 * place)
        result = square << int(digit)
        for place in range(result.bit_length() - 1, width - 1, -1):
            if result >> place & 1:
                result ^= polynomial << (place - width)
    return result


def rank(rows: list[int]) -> int:
    """Rank of a matrix over GF(2) whose rows are integers."""
    pivots: list[int] = []
    for row in rows:
        rest = row
        for pivot in pivots:
            rest = min(rest, rest ^ pivot)
        if rest:
            pivots.append(rest)
    return len(pivots)


def test_there_is_a_table_of_taps_for_every_width() -> None:
    assert WIDTHS == (32, 48, 64)


@pytest.mark.parametrize("width", WIDTHS)
def test_factors_of_the_period_are_prime_and_complete(width: int) -> None:
    assert math.prod(FACTORS[width]) == 2**width - 1
    for factor in FACTORS[width]:
        assert all(factor % divisor for divisor in range(2, math.isqrt(factor) + 1)), factor


@pytest.mark.parametrize("width", WIDTHS)
def test_polynomials_are_primitive(width: int) -> None:
    """The order of x is exactly 2**width - 1: no proper divisor of it will do."""
    order = 2**width - 1
    assert power_of_x(order, width) == 1
    for factor in set(FACTORS[width]):
        assert power_of_x(order // factor, width) != 1, factor


@pytest.mark.parametrize("width", WIDTHS)
def test_taps_leave_room_for_a_word(width: int) -> None:
    """No new bit of a draw depends on another, and the oldest tap is the width."""
    assert max(TAPS[width]) == TAPS[width][0] == width
    assert min(TAPS[width]) >= WORD_BITS
    assert len(set(TAPS[width])) == 4


@settings(max_examples=100, deadline=None)
@given(data=st.data(), width=widths)
def test_a_draw_is_a_word_of_single_steps(data: st.DataObject, width: int) -> None:
    generator = Lfsr(width)
    states = data.draw(states_of(width))
    after = generator.advance(states)
    expected = [draw(int(state), width) for state in states]
    assert after.tolist() == [state for state, _ in expected]
    assert generator.word(after).tolist() == [word for _, word in expected]
    assert generator.word(after).dtype == np.int64


@settings(max_examples=60, deadline=None)
@given(data=st.data(), width=widths, draws=st.integers(0, 70))
def test_sequence_and_jump_equal_stepping(data: st.DataObject, width: int, draws: int) -> None:
    generator = Lfsr(width)
    states = data.draw(states_of(width))
    history = generator.sequence(states, draws)
    assert history.shape == (draws, len(states))
    stepped = states
    for k in range(draws):
        stepped = generator.advance(stepped)
        assert history[k].tolist() == stepped.tolist()
    assert generator.jump(states, draws).tolist() == stepped.tolist()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), width=widths, first=st.integers(0, 2**62), second=st.integers(0, 2**62))
def test_jumps_add_up(data: st.DataObject, width: int, first: int, second: int) -> None:
    generator = Lfsr(width)
    states = data.draw(states_of(width))
    apart = generator.jump(generator.jump(states, first), second)
    assert apart.tolist() == generator.jump(states, first + second).tolist()


@pytest.mark.parametrize("width", WIDTHS)
def test_states_come_back_after_the_period_and_not_before(width: int) -> None:
    generator = Lfsr(width)
    states = np.array([1, 2, 2**width - 1], dtype=np.uint64)
    assert generator.jump(states, period(width)).tolist() == states.tolist()
    for factor in set(FACTORS[width]):
        if period(width) % factor == 0:
            assert (generator.jump(states, period(width) // factor) != states).all(), factor


@pytest.mark.parametrize("width", WIDTHS)
def test_only_zero_leads_to_zero(width: int) -> None:
    """A draw is a linear map of full rank, hence a permutation, and it keeps zero."""
    basis = np.uint64(1) << np.arange(width, dtype=np.uint64)
    generator = Lfsr(width)
    assert rank(generator.advance(basis).tolist()) == width
    assert generator.advance(np.zeros(1, dtype=np.uint64)).tolist() == [0]


@settings(max_examples=100, deadline=None)
@given(width=widths, keys=st.lists(st.integers(0, 2**64 - 1), max_size=9))
def test_seeding_never_makes_zero(width: int, keys: list[int]) -> None:
    order = 2**width - 1
    keys += [0, 2**64 - 1, order, order - 1, order + 1 & 2**64 - 1]
    states = Lfsr(width).seed(np.array(keys, dtype=np.uint64))
    assert states.tolist() == [key % order + 1 for key in keys]
    assert all(0 < state <= order for state in states.tolist())


@pytest.mark.parametrize("width", WIDTHS)
def test_pairs_of_words_are_jointly_equidistributed(width: int) -> None:
    """Over a period, the two words take as many values as the rank of the linear map from state to both has bits."""
    generator = Lfsr(width)
    basis = np.uint64(1) << np.arange(width, dtype=np.uint64)
    words = generator.word(generator.sequence(basis, 1 + max(DISTANCES)))
    ranks = {
        distance: rank([first << WORD_BITS | second for first, second in zip(words[0], words[distance], strict=True)])
        for distance in DISTANCES
    }
    assert min(ranks.values()) >= JOINT_BITS[width], ranks
