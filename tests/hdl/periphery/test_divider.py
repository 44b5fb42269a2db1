"""Quotients and remainders, against the model."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from hdl.periphery.divider import Divider, DividerParameters
from sim.pysim import run
from sim.transactions import transactions_of
from sim.transactions.base import Transactions


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("radix", (2, 4, 8, 16))
@pytest.mark.parametrize("widths", ((1, 1), (29, 15), (15, 29), (49, 28), (32, 16)))
def test_equals_the_model(widths: tuple[int, int], radix: int, stall: float) -> None:
    block = Divider(DividerParameters(numerator_bits=widths[0], denominator_bits=widths[1], radix=radix))
    outcome = run(block, transactions_of(block, np.random.default_rng(sum(widths) + radix), 30), stall=stall)
    if not stall:
        taken, given = outcome.cycles["i"], outcome.cycles["o"]
        assert [after - before for before, after in zip(taken, given, strict=True)] == [block.latency] * len(taken)
        assert set(np.diff(taken)) == {block.cycles_per_beat}


@pytest.mark.parametrize("cycles", (1, 2, 5, 40))
def test_reset_in_mid_division(cycles: int) -> None:
    block = Divider(DividerParameters(numerator_bits=29, denominator_bits=15))
    run(block, transactions_of(block, np.random.default_rng(cycles), 5), reset_after=cycles)


@pytest.mark.parametrize("radix", (2, 8))
def test_every_pair_of_small_words(radix: int) -> None:
    """Against Python's own division; a denominator of 0 gives quotient 0 and the numerator."""
    operands = [(numerator, denominator) for numerator in range(16) for denominator in range(8)]
    results = [divmod(n, d) if d else (0, n) for n, d in operands]
    block = Divider(DividerParameters(numerator_bits=4, denominator_bits=3, radix=radix))
    inputs = [{"numerator": n, "denominator": d} for n, d in operands]
    run(block, Transactions({"i": inputs}, {"o": [{"quotient": q, "remainder": r} for q, r in results]}))


@pytest.mark.parametrize("field", ("numerator_bits", "denominator_bits", "radix"))
def test_refused_parameters(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        DividerParameters(**{field: 63})
