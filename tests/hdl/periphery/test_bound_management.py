"""Repeats and halvings, against the model."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from emulator.config import load
from hdl.periphery.bound_management import BoundManagement, BoundManagementParameters
from sim.pysim import run
from sim.transactions import transactions_of
from sim.transactions.base import Transactions


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("limit", (0, 1, 2, 7, 8, 12))
def test_equals_the_model(limit: int, stall: float) -> None:
    block = BoundManagement(BoundManagementParameters(limit=limit))
    outcome = run(block, transactions_of(block, np.random.default_rng(limit), 30), stall=stall)
    if not stall:
        taken = outcome.cycles["i"]
        assert taken == list(range(taken[0], taken[0] + block.cycles_per_beat * len(taken), block.cycles_per_beat))
        assert outcome.cycles["o"] == [cycle + block.latency for cycle in taken]


@pytest.mark.parametrize("limit", (0, 1, 12))
def test_a_read_that_always_saturates_is_accepted_at_the_limit(limit: int) -> None:
    """And the next read begins without halvings."""
    reads = 3
    one_read = [{"repeat": 1, "halvings": count} for count in range(1, limit + 1)] + [{"repeat": 0, "halvings": limit}]
    block = BoundManagement(BoundManagementParameters(limit=limit))
    run(block, Transactions({"i": [{"saturated": 1, "limit": limit}] * (limit + 1) * reads}, {"o": one_read * reads}))


@pytest.mark.parametrize("cycles", (1, 2, 5, 11))
def test_reset_in_mid_read(cycles: int) -> None:
    """After some halvings a reset forgets them."""
    block = BoundManagement(BoundManagementParameters(limit=12))
    saturated = Transactions(
        {"i": [{"saturated": 1, "limit": 12}, {"saturated": 0, "limit": 12}]},
        {"o": [{"repeat": 1, "halvings": 1}, {"repeat": 0, "halvings": 1}]},
    )
    run(block, saturated, reset_after=cycles)


def test_parameters_of_both_directions() -> None:
    stage = load("tiny", ["array.forward.bound_management=3", "array.backward.bound_management=5"]).stages[0]
    assert BoundManagementParameters.of_read(stage, "forward").limit == 3
    assert BoundManagementParameters.of_read(stage, "backward").limit == 5
    assert BoundManagementParameters.of(stage, 8).limit == 5


@pytest.mark.parametrize("limit", (-1, 13))
def test_refused_limits(limit: int) -> None:
    with pytest.raises(ValidationError, match=f"limit(.|\n)*input_value={limit}"):
        BoundManagementParameters(limit=limit)
