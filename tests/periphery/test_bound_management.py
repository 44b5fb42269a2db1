"""Repeating a saturated read: when, how often, and that it ends."""

from __future__ import annotations

import pytest

from emulator.periphery.bound_management import bound_management

LIMITS = range(13)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("halvings_needed", (0, 1, 2, 5, 12, 100))
def test_repeats_until_nothing_saturates_or_the_limit(limit: int, halvings_needed: int) -> None:
    """A read that saturates below ``halvings_needed`` halvings ends there, or at the limit."""
    halvings, repeats, repeat = 0, 0, True
    while repeat:
        before = halvings
        repeat, halvings = bound_management(halvings < halvings_needed, halvings, limit)
        assert halvings == before + repeat  # every repeat is one halving more, and only a repeat is
        repeats += repeat
        assert repeats <= limit
    assert halvings == repeats == min(halvings_needed, limit)


@pytest.mark.parametrize("limit", LIMITS)
def test_a_read_within_bounds_is_accepted_as_it_is(limit: int) -> None:
    for halvings in range(limit + 1):
        assert bound_management(False, halvings, limit) == (False, halvings)
