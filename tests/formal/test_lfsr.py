"""The generator never locks up: no state but zero leads to zero."""

from __future__ import annotations

import pytest
from amaranth.hdl import Value
from amaranth.lib import data

from hdl.periphery.lfsr import Lfsr, LfsrParameters
from sim.formal import bounded
from sim.mutation import Fault, faulty_module
from tests.formal.equation import EquationHarness, results_in


def claims(word: data.View, result: data.View) -> dict[str, Value]:
    return {"not_zero": result.next_state != 0}


def legal(word: data.View) -> Value:
    return word.state != 0


@pytest.mark.parametrize("width", (32, 48, 64))
def test_never_zero(width: int) -> None:
    """All states: the map from state to next state is a single register, so that two results show every case."""
    block = Lfsr(LfsrParameters(width=width))
    proof = bounded(EquationHarness(block, claims, legal), results_in(block))
    assert proof, proof


def test_fails_without_the_longest_tap() -> None:
    fault = Fault("hdl/periphery/lfsr.py", "for tap in TAPS[width])", "for tap in TAPS[width][1:])", "a tap is missing")
    with faulty_module(fault) as module:
        block = module.Lfsr(module.LfsrParameters(width=32))
        proof = bounded(EquationHarness(block, claims, legal), results_in(block))
    assert proof.failing == "not_zero", proof
