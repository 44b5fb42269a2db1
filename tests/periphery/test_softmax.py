"""The error of softmax and cross-entropy against math.exp.

Bounds in LSBs of 2**-SOFTMAX_FRACTION_BITS. An exponential is within EXPONENTIAL_ERROR, most of it the fine table's
half LSB of 2**-18 times a coarse value of up to 1; beyond the range it is 0, which is 2 off at most. A probability is
e_i / sum(e), where the sum is at least 1.0 and off by as much per class; its floor loses less than 1. With n classes a
probability is thus within EXPONENTIAL_ERROR (n + 1) + 1, and the label's error, the sum of the others, within
EXPONENTIAL_ERROR (n + 1) + n.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.config.tables import EXPONENTIAL_RANGE, FINE_FRACTION_BITS, exponential_tables
from emulator.fixed import SOFTMAX_FRACTION_BITS
from emulator.periphery.softmax import exponential, softmax_error

ONE = 1 << SOFTMAX_FRACTION_BITS
EXPONENTIAL_ERROR = 33
FRACTIONS = range(1, 15)


@st.composite
def images(draw: st.DrawFn) -> tuple[list[int], int, int]:
    """Logits, label and fraction bits: near ones, and ones so far apart that some exponentials vanish."""
    fraction = draw(st.sampled_from(FRACTIONS))
    spread = draw(st.sampled_from((1, 1 << fraction, 16 << fraction, 40 << fraction, 1 << 40)))
    logits = draw(st.lists(st.integers(-spread, spread), min_size=2, max_size=12))
    return logits, draw(st.integers(0, len(logits) - 1)), fraction


def stated(logits: list[int], label: int, fraction: int) -> list[float]:
    """onehot - softmax, in LSBs."""
    largest = max(logits)
    powers = [math.exp(-(largest - logit) / 2**fraction) for logit in logits]
    return [ONE * ((k == label) - power / math.fsum(powers)) for k, power in enumerate(powers)]


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_exponential_over_its_whole_range(fraction: int) -> None:
    """Within the bound near 0, within 2 LSBs beyond 4, and 0 beyond the range."""
    distances = np.arange((EXPONENTIAL_RANGE + 2) << fraction)
    values = exponential(distances, fraction)
    error = np.abs(values - ONE * np.exp(-distances / 2**fraction))
    assert error.max() < EXPONENTIAL_ERROR
    assert error[4 << fraction :].max() < 2
    assert values[0] == ONE
    assert (values[EXPONENTIAL_RANGE << fraction :] == 0).all()
    assert values[(EXPONENTIAL_RANGE << fraction) - 1] > 0


@settings(max_examples=300, deadline=None)
@given(images())
def test_errors_equal_the_formula_within_the_bound(image: tuple[list[int], int, int]) -> None:
    logits, label, fraction = image
    bound = EXPONENTIAL_ERROR * (len(logits) + 1) + len(logits)
    for error, ideal in zip(softmax_error(np.array(logits), label, fraction).tolist(), stated(*image), strict=True):
        assert abs(error - ideal) < bound


@settings(max_examples=300, deadline=None)
@given(images())
def test_errors_of_an_image_cancel(image: tuple[list[int], int, int]) -> None:
    """Their sum is exactly 0; only the label's is positive."""
    logits, label, fraction = image
    errors = softmax_error(np.array(logits), label, fraction).tolist()
    assert sum(errors) == 0
    assert all(-ONE <= error <= 0 for k, error in enumerate(errors) if k != label)
    assert 0 <= errors[label] <= ONE


@settings(max_examples=200, deadline=None)
@given(images())
def test_the_largest_logit_is_the_most_probable(image: tuple[list[int], int, int]) -> None:
    """Among the classes that are not the label, the most negative errors are those of the largest logits, all equal."""
    logits, label, fraction = image
    errors = softmax_error(np.array(logits), label, fraction).tolist()
    others = [k for k in range(len(logits)) if k != label]
    best = max(others, key=lambda k: logits[k])
    if logits[best] == max(logits):
        assert [k for k in others if errors[k] == min(errors)] == [k for k in others if logits[k] == max(logits)]


@settings(max_examples=100, deadline=None)
@given(images(), st.integers(-(2**40), 2**40))
def test_only_differences_of_logits_matter(image: tuple[list[int], int, int], offset: int) -> None:
    logits, label, fraction = image
    errors = softmax_error(np.array(logits), label, fraction)
    moved = softmax_error(np.array(logits) + offset, label, fraction)
    assert errors.tolist() == moved.tolist()


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_a_far_winner_takes_all(fraction: int) -> None:
    """Right: no error at all. Wrong: full error of both, and none elsewhere."""
    logits = np.array([0, 100 << fraction, -(1 << 40), 0])
    assert softmax_error(logits, 1, fraction).tolist() == [0, 0, 0, 0]
    assert softmax_error(logits, 2, fraction).tolist() == [0, -ONE, ONE, 0]


def test_equal_logits_share_alike() -> None:
    assert softmax_error(np.zeros(4, dtype=np.int64), 2, 7).tolist() == [-ONE // 4, -ONE // 4, 3 * ONE // 4, -ONE // 4]


@pytest.mark.parametrize("fraction", (13, 14))
def test_halves_of_the_exponential_round_up(fraction: int) -> None:
    """Distances at which the product of both tables lies between two results; coarser logits have none."""
    coarse, fine = exponential_tables(fraction)
    products = (coarse[:, None] * fine[None, :]).ravel()
    one = 1 << FINE_FRACTION_BITS
    distances = np.flatnonzero(products % one == one // 2)
    assert len(distances) >= 6
    assert exponential(distances, fraction).tolist() == (products[distances] // one + 1).tolist()
