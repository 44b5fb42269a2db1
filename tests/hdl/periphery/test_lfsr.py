"""Draws, against the model."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from hdl.periphery.lfsr import Lfsr, LfsrParameters
from sim.pysim import run
from sim.transactions import transactions_of


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("width", (32, 48, 64))
def test_equals_the_model(width: int, stall: float) -> None:
    block = Lfsr(LfsrParameters(width=width))
    outcome = run(block, transactions_of(block, np.random.default_rng(width), 100), stall=stall)
    if not stall:
        taken, given = outcome.cycles["i"], outcome.cycles["o"]
        assert set(np.diff(taken)) == {block.cycles_per_beat}
        assert [after - before for before, after in zip(taken, given, strict=True)] == [block.latency] * len(taken)


def test_reset_in_mid_stream() -> None:
    block = Lfsr(LfsrParameters(width=48))
    run(block, transactions_of(block, np.random.default_rng(1), 20), reset_after=3)


def test_other_widths_are_refused() -> None:
    with pytest.raises(ValidationError, match="32, 48 or 64"):
        LfsrParameters(width=24)
