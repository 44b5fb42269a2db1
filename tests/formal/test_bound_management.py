"""Repeats end: never more than ``limit`` in a row, and none without saturation."""

from __future__ import annotations

import pytest
from amaranth.hdl import Module, Signal

from hdl.block import Block
from hdl.periphery.bound_management import BoundManagement, BoundManagementParameters
from hdl.shapes import width_for
from sim.formal import Harness, bounded
from sim.mutation import Fault, faulty_module


class RepeatsHarness(Harness):
    """Any saturations, with any limit that is the same for all. ``row`` counts the repeats since the last accepted read."""

    def __init__(self, block: Block) -> None:
        self.block = block

    def build(self, m: Module) -> None:
        m.submodules.block = block = self.block
        largest = block.parameters.limit
        limit = self.constant(width_for(largest), "limit")
        self.suppose(limit <= largest)
        m.d.comb += [
            block.i.payload.limit.eq(limit),
            block.i.payload.saturated.eq(self.free(1, "saturated")),
            block.i.valid.eq(self.free(1, "i_valid")),
            block.o.ready.eq(self.free(1, "o_ready")),
        ]
        row = Signal(range(largest + 2))
        result = block.o.payload
        self.watch(result.repeat, 1, "repeat")
        self.watch(row, len(row), "row")
        with m.If(block.o.valid & block.o.ready):
            m.d.sync += row.eq(0)
            with m.If(result.repeat & (row <= limit)):
                m.d.sync += row.eq(row + 1)
        self.claim("ends", row <= limit)
        self.claim("halvings", ~block.o.valid | (result.halvings == row + result.repeat))
        taken = block.i.valid & block.i.ready
        held = Signal()
        with m.If(taken):
            m.d.sync += held.eq(block.i.payload.saturated)
        self.claim("saturated", ~block.o.valid | (result.repeat == (held & (row < limit))))


def cycles(limit: int) -> int:
    """Reset, a full row of repeats, the read that ends it, and the next one."""
    return limit + 5


@pytest.mark.parametrize("limit", (0, 1, 3, 6))
def test_ends(limit: int) -> None:
    proof = bounded(RepeatsHarness(BoundManagement(BoundManagementParameters(limit=limit))), cycles(limit))
    assert proof, proof


def test_fails_at_the_limit() -> None:
    fault = Fault(
        "hdl/periphery/bound_management.py", "halvings < self.i.payload", "halvings <= self.i.payload", "off by one"
    )
    with faulty_module(fault) as module:
        block = module.BoundManagement(module.BoundManagementParameters(limit=2))
        proof = bounded(RepeatsHarness(block), cycles(2))
    assert proof.failing == "saturated", proof
