"""The divider's defining equation, for all operands."""

from __future__ import annotations

import pytest
from amaranth.hdl import Value
from amaranth.lib import data

from hdl.periphery.divider import Divider, DividerParameters
from sim.formal import bounded
from sim.mutation import Fault, faulty_module
from tests.formal.equation import EquationHarness, results_in


def claims(word: data.View, result: data.View) -> dict[str, Value]:
    whole = result.quotient * word.denominator + result.remainder
    zero = word.denominator == 0
    return {
        "equation": zero | (whole == word.numerator),
        "remainder": zero | (result.remainder < word.denominator),
        "zero_denominator": ~zero | ((result.quotient == 0) & (result.remainder == word.numerator)),
    }


@pytest.mark.parametrize("radix", (2, 4, 8, 16))
def test_quotient_and_remainder(radix: int) -> None:
    block = Divider(DividerParameters(numerator_bits=4, denominator_bits=3, radix=radix))
    proof = bounded(EquationHarness(block, claims), results_in(block))
    assert proof, proof


def test_fails_where_equal_does_not_fit() -> None:
    fault = Fault("hdl/periphery/divider.py", "(shifted >= denominator)", "(shifted > denominator)", "off by one")
    with faulty_module(fault) as module:
        block = module.Divider(module.DividerParameters(numerator_bits=4, denominator_bits=3, radix=4))
        proof = bounded(EquationHarness(block, claims), results_in(block))
    assert proof.failing == "remainder", proof
