"""The square root's defining equation, for all values."""

from __future__ import annotations

import pytest
from amaranth.hdl import Value
from amaranth.lib import data

from hdl.periphery.square_root import SquareRoot, SquareRootParameters
from sim.formal import bounded
from sim.mutation import Fault, faulty_module
from tests.formal.equation import EquationHarness, results_in


def claims(word: data.View, result: data.View) -> dict[str, Value]:
    return {
        "equation": result.root * result.root + result.remainder == word.value,
        "remainder": result.remainder <= 2 * result.root,
    }


@pytest.mark.parametrize("bits", (2, 6, 8))
@pytest.mark.parametrize("radix", (2, 4))
def test_root_and_remainder(radix: int, bits: int) -> None:
    block = SquareRoot(SquareRootParameters(bits=bits, radix=radix))
    proof = bounded(EquationHarness(block, claims), results_in(block))
    assert proof, proof


def test_fails_with_a_wrong_trial() -> None:
    fault = Fault("hdl/periphery/square_root.py", "Cat(Const(1, 2), next_root)", "Cat(Const(3, 2), next_root)", "trial")
    with faulty_module(fault) as module:
        block = module.SquareRoot(module.SquareRootParameters(bits=6))
        proof = bounded(EquationHarness(block, claims), results_in(block))
    assert proof.failing, proof
