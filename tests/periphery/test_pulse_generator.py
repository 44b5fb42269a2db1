"""The stochastic translator against a statement line by line, slot by slot."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.fixed import WORD_BITS
from emulator.periphery.lfsr import Lfsr, Words
from emulator.periphery.pulse_generator import line_words, pulse_trains
from emulator.streams import keys

sharings = st.sampled_from((1, 2, 3, 4, 5, 7, 8, 12, 24))


def seeded(lines: int, sharing: int, width: int = 64, seed: int = 1) -> tuple[Lfsr, Words]:
    """Enough generators for the lines."""
    generator = Lfsr(width)
    return generator, generator.seed(keys(seed, count=-(-lines // sharing)))


def rotated(word: int, places: int) -> int:
    """A word as a string of bits, its first ``places`` bits moved to the end."""
    bits = f"{word:0{WORD_BITS}b}"
    return int(bits[places:] + bits[:places], 2)


@settings(max_examples=100, deadline=None)
@given(sharing=sharings, lines=st.integers(1, 30), seed=st.integers(0, 2**32))
def test_lines_see_rotations_of_their_generators_word(sharing: int, lines: int, seed: int) -> None:
    words = np.random.default_rng(seed).integers(0, 1 << WORD_BITS, -(-lines // sharing))
    expected = [rotated(int(words[line // sharing]), line % sharing * (WORD_BITS // sharing)) for line in range(lines)]
    assert line_words(words, lines, sharing).tolist() == expected


def test_a_line_of_its_own_sees_the_word_as_it_is() -> None:
    words = np.array([0, 1, (1 << WORD_BITS) - 1, 0xABCDEF])
    assert line_words(words, 4, 1).tolist() == words.tolist()


def test_sharing_lines_differ() -> None:
    """No two of 24 lines on one generator ever compare the same bits."""
    words = line_words(np.array([1]), WORD_BITS, WORD_BITS)
    assert sorted(words.tolist()) == [1 << k for k in range(WORD_BITS)]


@settings(max_examples=100, deadline=None)
@given(
    data=st.data(),
    width=st.sampled_from((32, 48, 64)),
    sharing=sharings,
    lines=st.integers(1, 12),
    cycles=st.integers(1, 4),
    slots=st.integers(1, 9),
    probability_bits=st.integers(2, WORD_BITS),
)
def test_trains_are_comparisons_of_fresh_words(
    data: st.DataObject, width: int, sharing: int, lines: int, cycles: int, slots: int, probability_bits: int
) -> None:
    """In every slot of every cycle: draw, rotate, keep the upper bits, fire if below the probability word."""
    one = 1 << probability_bits
    row = st.lists(
        st.one_of(st.integers(0, one), st.sampled_from((0, 1, one - 1, one))), min_size=lines, max_size=lines
    )
    probabilities = data.draw(st.lists(row, min_size=cycles, max_size=cycles))
    generator, states = seeded(lines, sharing, width)
    pulses, after = pulse_trains(generator, states, np.array(probabilities), slots, probability_bits, sharing)
    assert pulses.shape == (cycles, slots, lines)
    for cycle in range(cycles):
        for slot in range(slots):
            states = generator.advance(states)
            for line in range(lines):
                word = rotated(int(generator.word(states)[line // sharing]), line % sharing * (WORD_BITS // sharing))
                fires = word // 2 ** (WORD_BITS - probability_bits) < probabilities[cycle][line]
                assert pulses[cycle, slot, line] == fires
    assert after.tolist() == states.tolist()


@pytest.mark.parametrize("probability_bits", (2, 9, 23, WORD_BITS))
def test_zero_never_fires_and_one_always_does(probability_bits: int) -> None:
    """Among a million draws, which hold the smallest and the largest comparable words for narrow probabilities."""
    generator, states = seeded(1024, 1)
    for word, fires in ((0, False), (1 << probability_bits, True)):
        pulses, _ = pulse_trains(generator, states, np.full((16, 1024), word), 64, probability_bits, 1)
        assert (pulses == fires).all()


def test_the_ends_are_tight() -> None:
    """Between 0 and 1.0 every probability both fires and fails: word 0 fires at p = 1 LSB, the largest word fails at
    1.0 - 1 LSB. Checked where all words of a narrow probability are seen."""
    bits = 6
    generator, states = seeded(256, 1)
    pulses, _ = pulse_trains(generator, states, np.full((8, 256), 1), 8, bits, 1)
    assert pulses.any() and not pulses.all()
    pulses, _ = pulse_trains(generator, states, np.full((8, 256), (1 << bits) - 1), 8, bits, 1)
    assert pulses.any() and not pulses.all()


@pytest.mark.parametrize("sharing", (1, 5, 24))
def test_rates_are_the_probabilities(sharing: int) -> None:
    """Within four standard errors, for every line of a generator."""
    lines, draws, bits = 48, 40_000, 16
    generator, states = seeded(lines, sharing)
    for probability in (0.001, 0.03, 0.5, 0.97):
        word = round(probability * 2**bits)
        pulses, _ = pulse_trains(generator, states, np.full((draws // 10, lines), word), 10, bits, sharing)
        exact = word / 2**bits
        error = math.sqrt(exact * (1 - exact) / draws)
        assert np.abs(pulses.mean(axis=(0, 1)) - exact).max() < 4 * error


def test_no_cycles_draw_nothing() -> None:
    generator, states = seeded(3, 1)
    pulses, after = pulse_trains(generator, states, np.zeros((0, 3), dtype=np.int64), 10, 8, 1)
    assert pulses.shape == (0, 10, 3)
    assert after.tolist() == states.tolist()
