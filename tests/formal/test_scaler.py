"""Results of the scaler lie within half an LSB of the exact value, halves away from zero, or at the limit."""

from __future__ import annotations

from amaranth.hdl import Mux, Value
from amaranth.lib import data

from hdl.periphery.scaler import Scaler, ScalerParameters
from sim.formal import bounded
from sim.mutation import Fault, faulty_module
from tests.formal.equation import EquationHarness, results_in

SIZES = {"lanes": 1, "magnitude_bits": 3, "multiplier_bits": 2, "lowest_shift": -2, "highest_shift": 7, "limit": 5}
LOWEST, HIGHEST = SIZES["lowest_shift"], SIZES["highest_shift"]


def claims(word: data.View, result: data.View) -> dict[str, Value]:
    """On magnitudes, all in units of 2**LOWEST LSB: exact = |v| m 2**-shift, unit = one LSB of the result."""
    element, out = word.elements[0], result.elements[0]
    size, found = Mux(element < 0, -element, element)[:3], Mux(out < 0, -out, out)[:4]
    places = (word.shift - LOWEST)[:4]
    twice = (size * word.multiplier) << (1 - LOWEST)  # twice the exact value, times 2**(shift - LOWEST)
    lsb = 1 << places
    half_below, half_above = (2 * found - 1) * lsb, (2 * found + 1) * lsb
    limit = SIZES["limit"]
    return {
        "sign": (found == 0) | ((out < 0) == (element < 0)),
        "limit": found <= limit,
        "not_too_large": (found == 0) | (half_below <= twice),
        "not_too_small": (found == limit) | (twice < half_above),
    }


def legal(word: data.View) -> Value:
    return (word.shift >= LOWEST) & (word.shift <= HIGHEST) & (word.elements[0] != -8) & word.mask[0]


def test_nearest_or_saturated() -> None:
    block = Scaler(ScalerParameters(**SIZES))
    proof = bounded(EquationHarness(block, claims, legal), results_in(block))
    assert proof, proof


def test_fails_without_the_round_bit() -> None:
    fault = Fault(
        "hdl/periphery/scaler.py", "rounded(Cat(word, Const(0, 1)))", "Cat(word, Const(0, 1))[1:]", "no rounding"
    )
    with faulty_module(fault) as module:
        block = module.Scaler(module.ScalerParameters(**SIZES))
        proof = bounded(EquationHarness(block, claims, legal), results_in(block))
    assert proof.failing == "not_too_small", proof
