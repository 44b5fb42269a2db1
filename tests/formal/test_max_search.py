"""The maximum is the largest magnitude: no enabled lane exceeds it, and one has it, or it is 0."""

from __future__ import annotations

import pytest
from amaranth.hdl import Module, Mux, Signal

from hdl.block import Block
from hdl.periphery.max_search import MaxSearch, MaxSearchParameters
from sim.formal import Harness, Proof, bounded
from sim.mutation import Fault, faulty_module

#: Vectors are numbered by so many bits; the claims look at any one of them.
NUMBER_BITS = 3
DEPTH = 9


class MaximumHarness(Harness):
    """Free beats of free vectors. ``size`` is any magnitude, ``chosen`` any vector: was this size in it?"""

    resets = False

    def __init__(self, block: Block) -> None:
        self.block = block

    def build(self, m: Module) -> None:
        m.submodules.block = block = self.block
        bits, lanes = block.parameters.magnitude_bits, block.parameters.lanes
        size, chosen = self.constant(bits, "size"), self.constant(NUMBER_BITS, "chosen")
        flat = block.i.payload.as_value()
        m.d.comb += [
            flat.eq(self.free(len(flat), "beat")),
            block.i.valid.eq(self.free(1, "i_valid")),
            block.o.ready.eq(self.free(1, "o_ready")),
        ]
        self.watch(block.o.payload.maximum, bits, "maximum")
        going_in, coming_out = Signal(NUMBER_BITS), Signal(NUMBER_BITS)
        seen = Signal()
        here = 0
        for lane in range(lanes):
            element = block.i.payload.elements[lane]
            self.suppose(element != -(1 << bits))
            magnitude = Mux(element < 0, -element, element)
            here = here | (block.i.payload.mask[lane] & (magnitude == size))
        with m.If(block.i.valid & block.i.ready):
            m.d.sync += going_in.eq(going_in + block.i.payload.last)
            with m.If((going_in == chosen) & here):
                m.d.sync += seen.eq(1)
        with m.If(block.o.valid & block.o.ready):
            m.d.sync += coming_out.eq(coming_out + 1)
        # Within the depth of the proof the numbers do not wrap around.
        result = block.o.valid & (coming_out == chosen)
        self.claim("no_lane_exceeds", ~result | ~seen | (size <= block.o.payload.maximum))
        self.claim("a_lane_has_it", ~result | (size != block.o.payload.maximum) | seen | (size == 0))


def maximum_of(block: Block) -> Proof:
    assert DEPTH - 1 <= 1 << NUMBER_BITS, "vector numbers would wrap around"
    return bounded(MaximumHarness(block), DEPTH)


@pytest.mark.parametrize(("lanes", "bits"), ((1, 3), (2, 2), (3, 2), (5, 2)))
def test_maximum(lanes: int, bits: int) -> None:
    proof = maximum_of(MaxSearch(MaxSearchParameters(lanes=lanes, magnitude_bits=bits)))
    assert proof, proof


@pytest.mark.parametrize(
    ("old", "new", "failing"),
    (
        ("running.eq(Mux(last, 0, maximum))", "running.eq(maximum)", "a_lane_has_it"),
        ("larger(row[k], row[k + 1]) if", "row[k] if", "no_lane_exceeds"),
    ),
)
def test_fails(old: str, new: str, failing: str) -> None:
    with faulty_module(Fault("hdl/periphery/max_search.py", old, new, "")) as module:
        proof = maximum_of(module.MaxSearch(module.MaxSearchParameters(lanes=3, magnitude_bits=2)))
    assert proof.failing == failing, proof
