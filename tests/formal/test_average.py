"""Means of one sum: the nearest of sum times reciprocal, halves away from zero; of one device, the code itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from amaranth.hdl import Const, Mux, Value
from amaranth.lib import data

from emulator.fixed import AVERAGE_BITS
from hdl.periphery.average import Average, AverageParameters, guard_bits_of, reciprocal_of
from sim.formal import bounded
from sim.mutation import Fault, faulty_module
from tests.formal.equation import Claims, EquationHarness, results_in

BITS = 3


def claims_of(replication: int) -> Claims:
    shift = AVERAGE_BITS - guard_bits_of(replication)

    def claims(word: data.View, result: data.View) -> dict[str, Value]:
        element, out = word.elements[0], result.elements[0]
        size, found = Mux(element < 0, -element, element)[:BITS], Mux(out < 0, -out, out)[: len(out) - 1]
        twice = size * Const(2 * reciprocal_of(replication))
        return {
            "sign": (found == 0) | ((out < 0) == (element < 0)),
            "not_too_large": (found == 0) | ((2 * found - 1) << shift <= twice),
            "not_too_small": twice < (2 * found + 1) << shift,
        }

    return claims


def legal_of(replication: int) -> Callable[[data.View], Value]:
    """A beat of one copy of an array."""

    def legal(word: data.View) -> Value:
        code = (word.elements[0] != -(1 << BITS)) & word.mask[0]
        constants = (word.reciprocal == reciprocal_of(replication)) & (word.guard_bits == guard_bits_of(replication))
        return code & constants & (word.beats == 1) & (word.copies == 1)

    return legal


def parameters_of(replications: tuple[int, ...]) -> AverageParameters:
    return AverageParameters(lanes=1, magnitude_bits=BITS, fewest_beats=1, beats=1, replications=replications)


@pytest.mark.parametrize("replication", (1, 3, 4))
@pytest.mark.parametrize("others", ((), (5,)))
def test_nearest_mean(replication: int, others: tuple[int, ...]) -> None:
    """With constants of the hardware, and with those of the word where arrays differ."""
    block = Average(parameters_of((replication, *others)))
    harness = EquationHarness(block, claims_of(replication), legal_of(replication))
    proof = bounded(harness, results_in(block))
    assert proof, proof


def test_fails_without_its_reciprocal() -> None:
    fault = Fault(
        "hdl/periphery/average.py", "payload.multiplier.eq(reciprocal)", "payload.multiplier.eq(0)", "no gain"
    )
    with faulty_module(fault) as module:
        block = module.Average(module.AverageParameters(**parameters_of((3,)).model_dump()))
        proof = bounded(EquationHarness(block, claims_of(3), legal_of(3)), results_in(block))
    assert proof.failing == "not_too_small", proof
