"""Pooling and its way back, against the model."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from emulator.config import load
from hdl.block import Block
from hdl.periphery.pooling import Pooling, PoolingBack, PoolingBackParameters, PoolingParameters
from sim.pysim import run
from sim.transactions import transactions_of

#: Lanes, height, width, channels: one and more beats to a pixel, odd sides, the smallest volume.
SHAPES = ((1, 4, 4, 1), (3, 5, 4, 7), (8, 4, 7, 8), (8, 5, 5, 3), (4, 2, 2, 4), (2, 2, 3, 5), (32, 4, 4, 40))


def parameters_of(block: type[Block], shape: tuple[int, int, int, int], bits: int = 15) -> Block:
    names = ("lanes", "height", "width", "channels")
    return block(block.parameters_class(**dict(zip(names, shape, strict=True)), magnitude_bits=bits))


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("shape", SHAPES)
def test_pooling_equals_the_model(shape: tuple[int, int, int, int], stall: float) -> None:
    block = parameters_of(Pooling, shape)
    outcome = run(block, transactions_of(block, np.random.default_rng(sum(shape)), 4), stall=stall)
    if not stall:
        taken, given = outcome.cycles["i"], outcome.cycles["o"]
        assert taken == list(range(taken[0], taken[0] + len(taken)))
        _, height, width, _ = shape
        windows = np.array(taken).reshape(-1, height, width, block.parameters.beats)
        ends = windows[:, 1 : 2 * (height // 2) : 2, 1 : 2 * (width // 2) : 2]
        assert given == (ends.ravel() + block.latency).tolist()


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("shape", SHAPES)
def test_pooling_back_equals_the_model(shape: tuple[int, int, int, int], stall: float) -> None:
    block = parameters_of(PoolingBack, shape)
    outcome = run(block, transactions_of(block, np.random.default_rng(sum(shape)), 4), stall=stall)
    if not stall:
        given = outcome.cycles["o"]
        assert given == list(range(given[0], given[0] + len(given)))
        assert given[0] == outcome.cycles["i"][0] + block.latency


@pytest.mark.parametrize("bits", (1, 40))
@pytest.mark.parametrize("block", (Pooling, PoolingBack))
def test_widths(block: type[Block], bits: int) -> None:
    component = parameters_of(block, (3, 4, 5, 4), bits)
    run(component, transactions_of(component, np.random.default_rng(bits), 4))


@pytest.mark.parametrize("cycles", (1, 5, 17, 40))
@pytest.mark.parametrize("block", (Pooling, PoolingBack))
def test_reset_in_mid_volume(block: type[Block], cycles: int) -> None:
    component = parameters_of(block, (3, 4, 4, 4))
    run(component, transactions_of(component, np.random.default_rng(cycles), 2), reset_after=cycles)


def test_parameters_of_a_stage() -> None:
    stage = load("tiny").stages[0]
    forward, back = PoolingParameters.of(stage, 8), PoolingBackParameters.of(stage, 8)
    assert (forward.height, forward.width, forward.channels, forward.magnitude_bits) == (4, 4, 3, 15)
    assert (back.height, back.width, back.channels, back.magnitude_bits) == (4, 4, 3, 15)


def test_refused_parameters() -> None:
    with pytest.raises(ValidationError, match="height"):
        PoolingParameters(height=1)
