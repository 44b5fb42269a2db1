"""Patches and their transpose, against the model."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from emulator.config import load
from hdl.block import Block
from hdl.periphery.im2col import Im2col, Im2colBack, Im2colBackParameters, Im2colParameters
from sim.pysim import Outcome, run
from sim.transactions import transactions_of

#: Lanes, kernel, height, width, channels. A pixel comes again after 2 beats (one column of positions, kernel 2), after 3
#: (kernel 2) and after more; never with kernel 1.
SHAPES = (
    (1, 2, 4, 2, 1),
    (1, 2, 3, 4, 1),
    (3, 2, 4, 4, 4),
    (8, 3, 5, 6, 3),
    (2, 3, 3, 3, 5),
    (4, 1, 2, 3, 4),
    (2, 1, 1, 1, 2),
    (32, 3, 4, 5, 33),
)  # fmt: skip
VOLUMES = 3


def block_of(block: type[Block], shape: tuple[int, int, int, int, int], **others: int) -> Block:
    names = ("lanes", "kernel", "height", "width", "channels")
    return block(block.parameters_class(**dict(zip(names, shape, strict=True)), **others))


def check_cycles(block: Block, outcome: Outcome) -> None:
    """A beat per cycle in and out, and the time of a volume."""
    taken, given = (np.array(outcome.cycles[port]).reshape(VOLUMES, -1) for port in ("i", "o"))
    assert (np.diff(taken) == 1).all()
    assert (np.diff(given) == 1).all()
    assert (given[:, 0] == taken[:, -1] + block.latency).all()
    assert (np.diff(taken[:, 0]) == block.cycles_per_volume).all()


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("bias", (True, False))
@pytest.mark.parametrize("shape", SHAPES)
def test_im2col_equals_the_model(shape: tuple[int, int, int, int, int], bias: bool, stall: float) -> None:
    block = block_of(Im2col, shape, bias=bias)
    outcome = run(block, transactions_of(block, np.random.default_rng(sum(shape)), VOLUMES), stall=stall)
    if not stall:
        check_cycles(block, outcome)


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("shape", SHAPES)
def test_im2col_back_equals_the_model(shape: tuple[int, int, int, int, int], stall: float) -> None:
    block = block_of(Im2colBack, shape)
    outcome = run(block, transactions_of(block, np.random.default_rng(sum(shape)), VOLUMES), stall=stall)
    if not stall:
        check_cycles(block, outcome)


@pytest.mark.parametrize("bits", (1, 52))
def test_sums_of_full_scale(bits: int) -> None:
    block = block_of(Im2colBack, (3, 2, 4, 4, 4), magnitude_bits=bits)
    run(block, transactions_of(block, np.random.default_rng(bits), VOLUMES))


@pytest.mark.parametrize("cycles", (1, 7, 40, 90))
@pytest.mark.parametrize("block", (Im2col, Im2colBack))
def test_reset_in_mid_volume(block: type[Block], cycles: int) -> None:
    component = block_of(block, (3, 2, 4, 4, 4))
    run(component, transactions_of(component, np.random.default_rng(cycles), 2), reset_after=cycles)


def test_parameters_of_a_stage() -> None:
    stage = load("tiny").stages[0]
    forward, back = Im2colParameters.of(stage, 8), Im2colBackParameters.of(stage, 8)
    assert (forward.kernel, forward.height, forward.width, forward.channels) == (3, 6, 6, 1)
    assert (forward.bias, forward.one, forward.magnitude_bits) == (True, 4096, 15)
    assert (back.kernel, back.height, back.width, back.channels) == (3, 6, 6, 1)
    assert back.sum_bits == back.magnitude_bits + 4


def test_refused_parameters() -> None:
    with pytest.raises(ValidationError, match="kernel = 5: accepted: at most 4"):
        Im2colBackParameters(kernel=5, height=4, width=8)
    with pytest.raises(ValidationError, match="one = 256: accepted: below 2"):
        Im2colParameters(one=256, magnitude_bits=8)
