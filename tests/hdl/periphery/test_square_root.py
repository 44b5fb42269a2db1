"""Roots and remainders, against the model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from hdl.periphery.square_root import SquareRoot, SquareRootParameters
from sim.pysim import run
from sim.transactions import transactions_of
from sim.transactions.base import Transactions


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("radix", (2, 4))
@pytest.mark.parametrize("bits", (2, 6, 16, 32, 34, 62))
def test_equals_the_model(bits: int, radix: int, stall: float) -> None:
    block = SquareRoot(SquareRootParameters(bits=bits, radix=radix))
    outcome = run(block, transactions_of(block, np.random.default_rng(bits + radix), 30), stall=stall)
    assert block.latency == 1 + math.ceil(bits / 2 / math.log2(radix))
    if not stall:
        taken, given = outcome.cycles["i"], outcome.cycles["o"]
        assert [after - before for before, after in zip(taken, given, strict=True)] == [block.latency] * len(taken)
        assert set(np.diff(taken)) == {block.cycles_per_beat}


@pytest.mark.parametrize("radix", (2, 4))
def test_every_value_of_eight_bits(radix: int) -> None:
    """Against Python's own root."""
    block = SquareRoot(SquareRootParameters(bits=8, radix=radix))
    inputs = [{"value": value} for value in range(256)]
    outputs = [{"root": math.isqrt(value), "remainder": value - math.isqrt(value) ** 2} for value in range(256)]
    run(block, Transactions({"i": inputs}, {"o": outputs}))


@pytest.mark.parametrize("bits", (8, 32, 62))
@pytest.mark.parametrize("radix", (2, 4))
def test_corners(bits: int, radix: int) -> None:
    """Nothing, one, full scale, and both sides of the largest square."""
    square = ((1 << (bits // 2)) - 1) ** 2
    values = [0, 1, 2, 3, (1 << bits) - 1, square, square - 1, square + 1, 1 << (bits - 1), 1 << (bits - 2)]
    outputs = [{"root": math.isqrt(value), "remainder": value - math.isqrt(value) ** 2} for value in values]
    block = SquareRoot(SquareRootParameters(bits=bits, radix=radix))
    run(block, Transactions({"i": [{"value": value} for value in values]}, {"o": outputs}))


@pytest.mark.parametrize("cycles", (1, 2, 5, 30))
def test_reset_in_mid_root(cycles: int) -> None:
    block = SquareRoot(SquareRootParameters(bits=32))
    run(block, transactions_of(block, np.random.default_rng(cycles), 5), reset_after=cycles)


@pytest.mark.parametrize("refused", ({"bits": 31}, {"bits": 64}, {"radix": 8}))
def test_refused_parameters(refused: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=next(iter(refused))):
        SquareRootParameters(**refused)
