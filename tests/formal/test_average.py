"""Means of one sum: the nearest of sum times reciprocal, halves away from zero; of one device, the code itself."""

from __future__ import annotations

import pytest
from amaranth.hdl import Const, Mux, Value
from amaranth.lib import data

from emulator.fixed import AVERAGE_BITS
from hdl.periphery.average import Average, AverageParameters
from sim.formal import bounded
from sim.mutation import Fault, faulty_module
from tests.formal.equation import Claims, EquationHarness, results_in

BITS = 3


def claims_of(parameters: AverageParameters) -> Claims:
    shift = AVERAGE_BITS - parameters.guard_bits

    def claims(word: data.View, result: data.View) -> dict[str, Value]:
        element, out = word.elements[0], result.elements[0]
        size, found = Mux(element < 0, -element, element)[:BITS], Mux(out < 0, -out, out)[: len(out) - 1]
        twice = size * Const(2 * parameters.reciprocal)
        return {
            "sign": (found == 0) | ((out < 0) == (element < 0)),
            "not_too_large": (found == 0) | ((2 * found - 1) << shift <= twice),
            "not_too_small": twice < (2 * found + 1) << shift,
        }

    return claims


def legal(word: data.View) -> Value:
    return (word.elements[0] != -(1 << BITS)) & word.mask[0]


@pytest.mark.parametrize("replication", (1, 3, 4))
def test_nearest_mean(replication: int) -> None:
    parameters = AverageParameters(lanes=1, magnitude_bits=BITS, beats=1, replication=replication)
    block = Average(parameters)
    proof = bounded(EquationHarness(block, claims_of(parameters), legal), results_in(block))
    assert proof, proof


def test_fails_without_its_reciprocal() -> None:
    fault = Fault(
        "hdl/periphery/average.py", "payload.multiplier.eq(p.reciprocal)", "payload.multiplier.eq(0)", "no gain"
    )
    with faulty_module(fault) as module:
        parameters = module.AverageParameters(lanes=1, magnitude_bits=BITS, beats=1, replication=3)
        block = module.Average(parameters)
        proof = bounded(EquationHarness(block, claims_of(parameters), legal), results_in(block))
    assert proof.failing == "not_too_small", proof
