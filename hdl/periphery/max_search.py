"""`max_search`: the largest magnitude of a vector: a tree over the lanes, running over the beats.

    maximum = max_i |v_i|

Model: emulator/periphery/max_search.py. ``i``: beats of signed elements; ``o``: one maximum per vector, 0 if no lane is
enabled. Takes a beat per cycle; the maximum follows the last beat by ``latency`` cycles. The tree has a register
after every two levels.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out
from pydantic import Field

from emulator.config import Stage
from hdl.block import Block, Parameters
from hdl.fixed import magnitude
from hdl.pipeline import delayed
from hdl.shapes import beat, record, stream_of

LEVELS_PER_STAGE = 2


class MaxSearchParameters(Parameters):
    lanes: int = Field(8, ge=1, le=64, description="elements per beat")
    magnitude_bits: int = Field(15, ge=1, le=60, description="bits of an element's magnitude, sign excluded")

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> MaxSearchParameters:
        return cls(lanes=lanes, magnitude_bits=max(stage.activation_magnitude_bits, stage.error_magnitude_bits))


class MaxSearch(Block[MaxSearchParameters]):
    def __init__(self, parameters: MaxSearchParameters) -> None:
        bits = parameters.magnitude_bits
        super().__init__(
            parameters,
            {
                "i": In(stream_of(beat(signed(bits + 1), parameters.lanes))),
                "o": Out(stream_of(record(maximum=bits))),
            },
        )

    @property
    def tree_stages(self) -> int:
        levels = (self.parameters.lanes - 1).bit_length()
        return -(-levels // LEVELS_PER_STAGE)

    @property
    def latency(self) -> int:
        """Magnitudes, the tree, the running maximum."""
        return 1 + self.tree_stages + 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.parameters.magnitude_bits
        stages = self.latency - 1
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        valid = delayed(m, advance, self.i.valid, stages, "valid")[-1]
        last = delayed(m, advance, self.i.payload.last, stages, "last")[-1]

        def register(value: Signal, name: str) -> Signal:
            held = Signal(bits, name=name)
            with m.If(advance):
                m.d.sync += held.eq(value)
            return held

        row = [
            register(Mux(self.i.payload.mask[lane], magnitude(self.i.payload.elements[lane]), 0), f"magnitude_{lane}")
            for lane in range(self.parameters.lanes)
        ]
        for stage in range(self.tree_stages):
            for _ in range(LEVELS_PER_STAGE):
                row = [larger(row[k], row[k + 1]) if k + 1 < len(row) else row[k] for k in range(0, len(row), 2)]
            row = [register(value, f"tree_{stage}_{k}") for k, value in enumerate(row)]

        running = Signal(bits)
        maximum = Signal(bits)
        m.d.comb += maximum.eq(larger(row[0], running))
        with m.If(advance):
            m.d.sync += self.o.valid.eq(valid & last)
            with m.If(valid):
                m.d.sync += [self.o.payload.maximum.eq(maximum), running.eq(Mux(last, 0, maximum))]
        return m


def larger(left: Signal, right: Signal) -> Signal:
    return Mux(left > right, left, right)
