"""Gaussian words over all words there are, the mixing of two words into a device's, and the noise of coincidences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.array.noise import MIX_ROUNDS, cycle_factor, device_gaussian, gaussian, mix, rounding_words
from emulator.config import load
from emulator.fixed import (
    CYCLE_FRACTION_BITS,
    DRAW_FRACTION_BITS,
    GAUSSIAN_DEVIATION,
    LARGEST_GAUSSIAN,
    WORD_BITS,
    round_stochastically,
)
from emulator.streams import keys

WORDS = 1 << WORD_BITS
CHUNK = 1 << 20


def all_words() -> Iterator[np.ndarray]:
    """Every word once, in chunks."""
    for first in range(0, WORDS, CHUNK):
        yield np.arange(first, first + CHUNK)


def random_words(seed: int, count: int) -> np.ndarray:
    return (keys(seed, count=count) >> np.uint64(64 - WORD_BITS)).astype(np.int64)


def normal_tail(sigmas: float) -> float:
    """P(|xi| > sigmas) of a normal variable."""
    return math.erfc(sigmas / math.sqrt(2))


@pytest.fixture(scope="module")
def histogram() -> dict[int, int]:
    """How many of all words give each Gaussian word."""
    counts = np.zeros(2 * LARGEST_GAUSSIAN + 1, dtype=np.int64)
    for words in all_words():
        counts += np.bincount(gaussian(words) + LARGEST_GAUSSIAN, minlength=len(counts))
    return {int(value) - LARGEST_GAUSSIAN: int(counts[value]) for value in np.flatnonzero(counts)}


def test_gaussian_words_are_symmetric_with_mean_zero(histogram: dict[int, int]) -> None:
    assert sum(histogram.values()) == WORDS
    assert sum(value * count for value, count in histogram.items()) == 0
    assert all(histogram[-value] == count for value, count in histogram.items())
    assert max(histogram) == LARGEST_GAUSSIAN


def test_gaussian_words_have_their_standard_deviation(histogram: dict[int, int]) -> None:
    variance = Fraction(sum(value**2 * count for value, count in histogram.items()), WORDS)
    assert GAUSSIAN_DEVIATION == math.sqrt(variance)


def test_gaussian_words_have_nearly_the_fourth_moment_of_a_normal(histogram: dict[int, int]) -> None:
    fourth = sum(value**4 * count for value, count in histogram.items()) / WORDS
    assert fourth / GAUSSIAN_DEVIATION**4 - 3 == pytest.approx(-0.12, abs=0.005)


@pytest.mark.parametrize(("sigmas", "relative"), ((1, 0.04), (2, 0.03), (3, 0.25), (4, 0.85)))
def test_gaussian_words_have_nearly_the_tails_of_a_normal(
    histogram: dict[int, int], sigmas: int, relative: float
) -> None:
    """Beyond 1, 2 and 3 deviations as many as a normal has, within 4, 3 and 25 %; beyond 4 still a fifth."""
    tail = sum(count for value, count in histogram.items() if abs(value) > sigmas * GAUSSIAN_DEVIATION) / WORDS
    assert tail == pytest.approx(normal_tail(sigmas), rel=relative)


def test_gaussian_words_end_at_4_2_deviations(histogram: dict[int, int]) -> None:
    assert 4.2 < max(histogram) / GAUSSIAN_DEVIATION < 4.21


@settings(max_examples=100, deadline=None)
@given(st.integers(0, WORDS - 1))
def test_a_gaussian_word_counts_ones_and_fills_the_gaps(word: int) -> None:
    """Twice 256 times the ones above the lowest 8 bits, less their mean of 8, plus those 8 bits, less their mean."""
    ones = f"{word >> 8:b}".count("1")
    assert int(gaussian(np.array(word))) == 2 * (256 * (ones - 8) + word % 256) - 255


def test_mix_is_a_permutation() -> None:
    seen = np.zeros(WORDS, dtype=bool)
    for words in all_words():
        seen[mix(words)] = True
    assert seen.all()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, WORDS - 1))
def test_mix_is_simons_round_on_strings_of_bits(word: int) -> None:
    """MIX_ROUNDS rounds (l, r) <- (r ^ (l<<<1 & l<<<5) ^ l<<<2, l)."""
    bits = f"{word:024b}"
    left, right = bits[:12], bits[12:]
    for _ in range(MIX_ROUNDS):
        terms = (right, left[1:] + left[:1], left[5:] + left[:5], left[2:] + left[:2])
        new = "".join(str(int(r) ^ (int(one) & int(five)) ^ int(two)) for r, one, five, two in zip(*terms, strict=True))
        left, right = new, left
    assert int(mix(np.array(word))) == int(left + right, 2)


def largest_singular_value(matrix: np.ndarray) -> float:
    """In units of what independent entries of that deviation give, sqrt(rows) + sqrt(columns)."""
    rows, columns = matrix.shape
    return np.linalg.norm(matrix / GAUSSIAN_DEVIATION, 2) / (math.sqrt(rows) + math.sqrt(columns))


def largest_correlation(matrix: np.ndarray) -> float:
    """Largest correlation between two rows, in standard errors."""
    correlations = np.corrcoef(matrix) * math.sqrt(matrix.shape[1])
    return np.abs(correlations[np.triu_indices(len(matrix), 1)]).max()


@pytest.mark.parametrize(("rows", "columns"), ((32, 401), (128, 513), (256, 256)))
@pytest.mark.parametrize("seed", (1, 2, 3))
def test_devices_are_as_good_as_independent(rows: int, columns: int, seed: int) -> None:
    """The largest singular value is that of independent entries within 5 %, and rows and columns are no more
    correlated than theirs. Without mixing, the same words give a matrix of low rank: the test can tell."""
    row_words, column_words = random_words(2 * seed, rows), random_words(2 * seed + 1, columns)
    devices = device_gaussian(row_words, column_words)
    assert devices.shape == (rows, columns)
    assert 0.95 < largest_singular_value(devices) < 1.05
    # Of n pairs of independent rows, the largest correlation is about sqrt(2 log n) standard errors.
    assert largest_correlation(devices) < math.sqrt(2 * math.log(rows**2)) + 1
    assert largest_correlation(devices.T) < math.sqrt(2 * math.log(columns**2)) + 1
    unmixed = gaussian(row_words[:, None] ^ column_words[None, :])
    assert largest_singular_value(unmixed) > 1.5
    assert largest_correlation(unmixed) > math.sqrt(2 * math.log(rows**2)) + 1


def test_devices_take_the_word_of_row_xor_column() -> None:
    devices = device_gaussian(np.array([0, 5]), np.array([5, 9, 0xFFFFFF]))
    expected = [[int(gaussian(mix(np.array(row ^ column)))) for column in (5, 9, 0xFFFFFF)] for row in (0, 5)]
    assert devices.tolist() == expected


def test_rounding_words_are_uniform() -> None:
    seen = np.zeros(WORDS, dtype=bool)
    for words in all_words():
        seen[rounding_words(words)] = True
    assert seen.all()


@pytest.mark.parametrize(("step", "deviation"), ((0.02, 1.0), (0.13, 0.3), (1.6, 0.3)))
def test_rounding_depends_on_no_noise(step: float, deviation: float) -> None:
    """Over all words, moves by a step of so many LSBs keep their mean within 0.3 %, though noise and rounding come of one
    word. With the mixed word itself as the rounding's, small steps are off by a tenth and more: the test can tell."""
    gains = np.array([0, round(deviation * 2**20 / GAUSSIAN_DEVIATION)])
    exact, rounded_moves, rounded_by_noise = 0, 0, 0
    for words in all_words():
        factors = cycle_factor(np.ones_like(words), gaussian(words), gains)
        products = np.rint(step * 2 ** (WORD_BITS - CYCLE_FRACTION_BITS) * factors).astype(np.int64)
        exact += int(products.sum())
        rounded_moves += int(round_stochastically(products, WORD_BITS, rounding_words(words)).sum())
        rounded_by_noise += int(round_stochastically(products, WORD_BITS, words).sum())
    mean = exact / 2**WORD_BITS
    assert abs(rounded_moves / mean - 1) < 0.003
    assert step > 1 or abs(rounded_by_noise / mean - 1) > 0.1


@pytest.mark.parametrize("seed", (1, 2))
def test_roundings_of_devices_are_as_good_as_independent(seed: int) -> None:
    row_words, column_words = random_words(2 * seed, 128), random_words(2 * seed + 1, 513)
    words = rounding_words(mix(row_words[:, None] ^ column_words[None, :]))
    centred = (words / 2**WORD_BITS - 0.5) * math.sqrt(12)
    assert 0.95 < largest_singular_value(centred * GAUSSIAN_DEVIATION) < 1.05
    assert largest_correlation(centred) < math.sqrt(2 * math.log(128**2)) + 1
    assert largest_correlation(centred.T) < math.sqrt(2 * math.log(513**2)) + 1


@pytest.mark.parametrize("deviation", (0.0, 0.3, 1.0))
def test_cycle_noise_of_c_coincidences_grows_with_their_root(deviation: float) -> None:
    """c + deviation * sqrt(c) * xi: mean c within four standard errors, deviation within 1 %; no coincidence moves
    nothing."""
    stage = load("tiny", ["array.update.desired_bl=63", f"array.device.dw_min_std={deviation}"]).stages[0]
    gains = np.array(stage.cycle_gains)
    draws = gaussian(random_words(7, 1 << 16))
    for count in range(64):
        factors = cycle_factor(np.full(len(draws), count), draws, gains) / 2**CYCLE_FRACTION_BITS
        expected = deviation * math.sqrt(count)
        assert abs(factors.mean() - count) <= 4 * expected / math.sqrt(len(draws))
        assert factors.std() == pytest.approx(expected, rel=0.01)
        assert expected > 0 or (factors == count).all()


def test_cycle_noise_rounds_halves_away_from_zero() -> None:
    """Gains of odd multiples of a half: Gaussian words are odd, so that every product is a tie, of both signs."""
    half = 1 << (DRAW_FRACTION_BITS - 1)
    gains = np.array([0, half, 3 * half, 7 * half])
    draws = np.arange(-LARGEST_GAUSSIAN, LARGEST_GAUSSIAN + 1, 2)
    for count, halves in ((1, 1), (2, 3), (3, 7)):
        factors = cycle_factor(np.full(len(draws), count), draws, gains)
        noise = [(abs(draw * halves) + 1) // 2 * (1 if draw > 0 else -1) for draw in draws.tolist()]
        assert factors.tolist() == [(count << CYCLE_FRACTION_BITS) + value for value in noise]
