"""`bound_management`: whether a finished read is repeated with the input halved once more, or accepted.

    repeat = saturated and halvings < limit;  halvings + 1 after a repeat, 0 after an accepted read

Model: emulator/periphery/bound_management.py. ``i``: one word per finished read, whether an output saturated,
and the limit that holds for it. ``o``: for every one of them whether to read again; ``halvings`` are those to read with,
or those of the read that was accepted. The halvings so far are state of the block, so a read is repeated at most ``limit``
times. One word per cycle.
"""

from __future__ import annotations

from typing import Literal

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In, Out
from pydantic import Field

from emulator.config import Stage
from hdl.block import Block, Parameters
from hdl.pipeline import pipeline
from hdl.shapes import record, stream_of, width_for

#: Largest limit that the config accepts; the word of the halvings is the same for all limits.
LARGEST_LIMIT = 12


class BoundManagementParameters(Parameters):
    limit: int = Field(
        12, ge=0, le=LARGEST_LIMIT, description="largest limit: most halvings of the input; 0: every read is accepted"
    )

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> BoundManagementParameters:
        """Those of backward reads."""
        return cls.of_read(stage, "backward")

    @classmethod
    def of_read(cls, stage: Stage, direction: Literal["forward", "backward"]) -> BoundManagementParameters:
        return cls(limit=(stage.forward if direction == "forward" else stage.backward).bound_management)


class BoundManagement(Block[BoundManagementParameters]):
    def __init__(self, parameters: BoundManagementParameters) -> None:
        super().__init__(
            parameters,
            {
                "i": In(stream_of(record(saturated=1, limit=width_for(parameters.limit)))),
                "o": Out(stream_of(record(repeat=1, halvings=width_for(LARGEST_LIMIT)))),
            },
        )

    @property
    def latency(self) -> int:
        return 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, _ = pipeline(m, self.i, self.o, self.latency)
        halvings = Signal(width_for(LARGEST_LIMIT))
        repeat, more = Signal(), Signal.like(halvings)
        m.d.comb += [
            repeat.eq(self.i.payload.saturated & (halvings < self.i.payload.limit)),
            more.eq(halvings + repeat),
        ]
        with m.If(advance & self.i.valid):
            m.d.sync += [
                halvings.eq(Mux(repeat, more, 0)),
                self.o.payload.repeat.eq(repeat),
                self.o.payload.halvings.eq(more),
            ]
        return m
