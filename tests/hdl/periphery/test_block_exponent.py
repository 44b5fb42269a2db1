"""Shared exponents and their shifts, against the model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from emulator.config import load
from emulator.fixed import PATH_BITS, round_shift, saturate
from emulator.periphery.block_exponent import block_exponent
from emulator.periphery.max_search import max_search
from hdl.periphery.block_exponent import BlockExponent, BlockExponentParameters
from sim.pysim import run
from sim.transactions import transactions_of
from sim.transactions.base import Transactions, draw


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("widths", ((52, 15), (62, 3), (31, 11), (32, 15), (8, 15), (1, 1)))
def test_equals_the_model(widths: tuple[int, int], stall: float) -> None:
    block = BlockExponent(BlockExponentParameters(sum_bits=widths[0], error_magnitude_bits=widths[1]))
    assert block.latency == math.ceil(widths[0].bit_length() / 2) + 2
    outcome = run(block, transactions_of(block, np.random.default_rng(sum(widths)), 100), stall=stall)
    if not stall:
        taken = outcome.cycles["i"]
        assert taken == list(range(taken[0], taken[0] + block.cycles_per_beat * len(taken), block.cycles_per_beat))
        assert outcome.cycles["o"] == [cycle + block.latency for cycle in taken]


@pytest.mark.parametrize("fraction", (-100, -16, -15, 0, 23, 24, 25, 40, 60, 100))
def test_every_bit_length(fraction: int) -> None:
    """Zero, and both ends of every bit length; exponents of 0, of 40 and in between."""
    block = BlockExponent(BlockExponentParameters())
    maxima = sorted({0} | {(1 << k) - 1 for k in range(PATH_BITS + 1)} | {1 << k for k in range(PATH_BITS)})
    exponents = [block_exponent(np.array([maximum]), fraction, 15)[1] for maximum in maxima]
    inputs = [{"maximum": maximum, "fraction": fraction} for maximum in maxima]
    outputs = [{"shift": fraction - exponent, "exponent": exponent} for exponent in exponents]
    run(block, Transactions({"i": inputs}, {"o": outputs}))


@pytest.mark.parametrize("bits", (3, 15))
def test_shift_makes_the_mantissas_of_the_model(bits: int) -> None:
    """Tensors of every size, the largest magnitude and one that rounds past the word among them: rounding by the shift
    and saturation give the model's mantissas."""
    generator = np.random.default_rng(bits)
    tensors = [np.array(draw(generator, 6, -reach, reach)) for reach in ((1 << k) - 1 for k in range(1, PATH_BITS + 1))]
    tensors += [np.append(tensor, sign * ((1 << k) - 1)) for k, tensor in enumerate(tensors, 1) for sign in (1, -1)]
    fractions = generator.integers(-8, 61, size=len(tensors)).tolist()
    maxima = [int(max_search(tensor)) for tensor in tensors]
    models = [block_exponent(tensor, fraction, bits) for tensor, fraction in zip(tensors, fractions, strict=True)]

    inputs = [{"maximum": maximum, "fraction": fraction} for maximum, fraction in zip(maxima, fractions, strict=True)]
    outputs = [{"shift": None, "exponent": exponent} for _, exponent in models]
    block = BlockExponent(BlockExponentParameters(error_magnitude_bits=bits))
    outcome = run(block, Transactions({"i": inputs}, {"o": outputs}))

    limit = (1 << bits) - 1
    for tensor, word, (mantissas, _) in zip(tensors, outcome.words["o"], models, strict=True):
        seen = saturate(round_shift(tensor, word["shift"]), -limit, limit)
        assert seen.tolist() == mantissas.tolist()


@pytest.mark.parametrize("cycles", (1, 2, 4, 9))
def test_reset_in_mid_work(cycles: int) -> None:
    block = BlockExponent(BlockExponentParameters())
    run(block, transactions_of(block, np.random.default_rng(cycles), 5), reset_after=cycles)


def test_parameters_of_a_stage() -> None:
    parameters = BlockExponentParameters.of(load("tiny", ["formats.error_bits=12"]).stages[0], 8)
    assert (parameters.sum_bits, parameters.error_magnitude_bits) == (PATH_BITS, 11)


@pytest.mark.parametrize("refused", ({"sum_bits": 63}, {"error_magnitude_bits": 16}))
def test_refused_parameters(refused: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=next(iter(refused))):
        BlockExponentParameters(**refused)
