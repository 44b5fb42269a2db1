"""The exponent normalises the largest magnitude, or is at a bound."""

from __future__ import annotations

from amaranth.hdl import Value
from amaranth.lib import data

from emulator.fixed import LARGEST_EXPONENT
from hdl.periphery.block_exponent import BlockExponent, BlockExponentParameters
from sim.formal import bounded
from sim.mutation import Fault, faulty_module
from tests.formal.equation import EquationHarness, results_in

SUM_BITS, MANTISSA_BITS = 7, 3


def claims(word: data.View, result: data.View) -> dict[str, Value]:
    """Highest bit of the maximum at the mantissa's highest place: ``2^(P-1) <= maximum 2^-shift < 2^P``."""
    least, largest = result.exponent == 0, result.exponent == LARGEST_EXPONENT
    wide = word.maximum << MANTISSA_BITS  # so that shifts from -P on keep all bits
    places = (result.shift + MANTISSA_BITS).as_unsigned()
    below = (wide >> places) < (1 << MANTISSA_BITS)
    above = (wide >> places) >= (1 << (MANTISSA_BITS - 1))
    in_range = (word.fraction >= -LARGEST_EXPONENT) & (word.fraction <= LARGEST_EXPONENT + SUM_BITS)
    return {
        "sum": ~in_range | (result.exponent + result.shift == word.fraction),
        "bounds": result.exponent <= LARGEST_EXPONENT,
        "fits": ~in_range | least | largest | below,
        "normal": ~in_range | least | largest | above | (word.maximum == 0),
        "zero": ~in_range | least | largest | (word.maximum != 0) | (result.shift == -MANTISSA_BITS),
    }


def test_normalises() -> None:
    block = BlockExponent(BlockExponentParameters(sum_bits=SUM_BITS, error_magnitude_bits=MANTISSA_BITS))
    proof = bounded(EquationHarness(block, claims), results_in(block))
    assert proof, proof


def test_fails_without_the_upper_bound() -> None:
    fault = Fault(
        "hdl/periphery/block_exponent.py",
        "m.Elif(ideal_exponent > LARGEST_EXPONENT)",
        "m.Elif(ideal_exponent > LARGEST_EXPONENT + 1)",
        "off by one",
    )
    with faulty_module(fault) as module:
        block = module.BlockExponent(
            module.BlockExponentParameters(sum_bits=SUM_BITS, error_magnitude_bits=MANTISSA_BITS)
        )
        proof = bounded(EquationHarness(block, claims), results_in(block))
    assert proof.failing == "bounds", proof
