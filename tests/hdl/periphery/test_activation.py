"""Activations and derivatives, against the model."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from emulator.config import load
from hdl.block import Block
from hdl.periphery.activation import Activation, ActivationBack, ActivationBackParameters, ActivationParameters
from sim.pysim import run
from sim.transactions import transactions_of

#: Input bits, A, Q, P: the paper's; more, equal and fewer fraction bits in than out; a table wider than its input.
WIDTHS = ((16, 7, 12, 15), (12, 9, 5, 8), (14, 6, 6, 9), (40, 4, 14, 15), (5, 7, 3, 4))


def check(block: Block, vectors: int, stall: float) -> None:
    outcome = run(block, transactions_of(block, np.random.default_rng(vectors), vectors), stall=stall)
    if not stall:
        taken = outcome.cycles["i"]
        assert taken == list(range(taken[0], taken[0] + block.cycles_per_beat * len(taken), block.cycles_per_beat))
        assert outcome.cycles["o"] == [cycle + block.latency for cycle in taken]


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("kind", ("tanh", "identity"))
@pytest.mark.parametrize("widths", WIDTHS)
def test_equals_the_model(widths: tuple[int, int, int, int], kind: str, stall: float) -> None:
    names = ("input_bits", "input_fraction", "output_fraction", "magnitude_bits")
    check(Activation(ActivationParameters(lanes=3, kind=kind, **dict(zip(names, widths, strict=True)))), 20, stall)


@pytest.mark.parametrize("lanes", (1, 8, 32))
@pytest.mark.parametrize("kind", ("tanh", "identity"))
def test_lanes(lanes: int, kind: str) -> None:
    check(Activation(ActivationParameters(lanes=lanes, kind=kind)), 10, 0.0)
    check(ActivationBack(ActivationBackParameters(lanes=lanes, kind=kind)), 10, 0.0)


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("kind", ("tanh", "identity"))
@pytest.mark.parametrize("widths", ((15, 15, 12), (15, 15, 14), (8, 4, 3), (1, 3, 1)))
def test_back_equals_the_model(widths: tuple[int, int, int], kind: str, stall: float) -> None:
    names = ("magnitude_bits", "activation_bits", "fraction")
    check(
        ActivationBack(ActivationBackParameters(lanes=3, kind=kind, **dict(zip(names, widths, strict=True)))), 20, stall
    )


@pytest.mark.parametrize("cycles", (1, 2, 5, 9))
@pytest.mark.parametrize("block", (Activation, ActivationBack))
def test_reset_in_mid_vector(block: type[Block], cycles: int) -> None:
    component = block(block.parameters_class())
    run(component, transactions_of(component, np.random.default_rng(cycles), 5), reset_after=cycles)


def test_parameters_of_a_stage() -> None:
    stages = load("tiny").stages
    parameters = [ActivationParameters.of(stage, 8) for stage in stages]
    assert [p.kind for p in parameters] == ["tanh", "tanh", "identity"]
    assert (parameters[0].input_fraction, parameters[0].output_fraction, parameters[0].magnitude_bits) == (7, 12, 15)
    back = ActivationBackParameters.of(stages[0], 8)
    assert (back.kind, back.magnitude_bits, back.activation_bits, back.fraction) == ("tanh", 15, 15, 12)


def test_refused_parameters() -> None:
    with pytest.raises(ValidationError, match="output_fraction = 8: accepted: below magnitude_bits = 8"):
        ActivationParameters(output_fraction=8, magnitude_bits=8)
    with pytest.raises(ValidationError, match="fraction = 9: accepted: below activation_bits = 9"):
        ActivationBackParameters(fraction=9, activation_bits=9)
