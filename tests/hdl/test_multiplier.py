"""The multiplier with registers around it, and as ECP5's cell with its own: products two cycles later, at the corners and at random."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import signed

from hdl.export import to_verilog
from hdl.multiplier import OPERAND_BITS, Multiplier
from hdl.part import ECP5_85K, ICE40_UP5K, Part
from sim.native import Native
from tests.sim.test_post_synthesis import around

A_BITS, B_BITS = 18, 13
CELL = "MULT18X18D"
BODY = """
  reg once, there;
  always @(posedge clk) {once, there} <= {i__valid & ~rst, once & ~rst};
  assign o__valid = there;
  multiplier multiplier (.clk(clk), .rst(rst), .a(a), .b(b), .product(p));
"""


def words(bits: int) -> np.ndarray:
    largest = 1 << bits - 1
    corners = [0, 1, -1, largest - 1, -largest]
    return np.array([*corners, *np.random.default_rng(bits).integers(-largest, largest, 20)], np.int64)


@pytest.mark.parametrize(("part", "cells"), [(None, 0), (ICE40_UP5K, 0), (ECP5_85K, 1)])
def test_products(part: Part | None, cells: int) -> None:
    """A pair of operands every cycle, so that one late or early by a cycle gives another's product."""
    text = to_verilog("multiplier", Multiplier(signed(A_BITS), signed(B_BITS)), part)
    assert len(re.findall(rf"^ +{CELL} ", text, re.MULTILINE)) == cells
    design = around(BODY, {"a": A_BITS, "b": B_BITS}, {"p": A_BITS + B_BITS})
    native = Native(replace(design, verilog=design.verilog + text))
    a, b = (each.ravel() for each in np.meshgrid(words(A_BITS), words(B_BITS)))
    native.send("i", a=a & (1 << A_BITS) - 1, b=b & (1 << B_BITS) - 1)
    native.run({"o": len(a)}, limit=2 * len(a))
    assert native.receive("o")["p"].tolist() == (a * b & (1 << A_BITS + B_BITS) - 1).tolist()


def test_an_operand_too_wide_for_the_cell() -> None:
    text = to_verilog("multiplier", Multiplier(signed(OPERAND_BITS + 1), signed(B_BITS)), ECP5_85K)
    assert CELL not in text
