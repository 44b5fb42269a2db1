"""`square_root`: exact integer square root with remainder, digit by digit, one or two root bits per cycle.

    value = root^2 + remainder,  0 <= remainder <= 2 root

Model: emulator/periphery/square_root.py. ``i``: the value; ``o``: root and remainder. One root at a time, ``latency``
cycles each; the result may wait for its taker.
"""

from __future__ import annotations

from typing import Annotated, Literal

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import In, Out
from pydantic import Field

from emulator.config import Stage
from emulator.config.schema import IntegerChoice
from emulator.fixed import GAIN_BITS
from hdl.block import Block, Parameters
from hdl.shapes import record, stream_of


class SquareRootParameters(Parameters):
    bits: int = Field(2 * GAIN_BITS, ge=2, le=62, multiple_of=2, description="bits of the value; the root has half")
    radix: Annotated[Literal[2, 4], IntegerChoice] = Field(
        2, description="root digits are of this radix: log2 root bits per cycle"
    )

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> SquareRootParameters:
        """Update management's root: its width is the same for all stages."""
        return cls()


class SquareRoot(Block[SquareRootParameters]):
    def __init__(self, parameters: SquareRootParameters) -> None:
        root_bits = parameters.bits // 2
        super().__init__(
            parameters,
            {
                "i": In(stream_of(record(value=parameters.bits))),
                "o": Out(stream_of(record(root=root_bits, remainder=root_bits + 1))),
            },
        )

    @property
    def bits_per_cycle(self) -> int:
        return self.parameters.radix.bit_length() - 1

    @property
    def steps(self) -> int:
        return -(-self.parameters.bits // (2 * self.bits_per_cycle))

    @property
    def latency(self) -> int:
        return 1 + self.steps

    @property
    def cycles_per_beat(self) -> int:
        """The result is handed over in one further cycle."""
        return self.latency + 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        root_bits = self.parameters.bits // 2
        # Two bits of the value move into `rest` for every root bit. `rest` never exceeds twice the root so far, which
        # is why it needs one bit more than the root.
        value = Signal(2 * self.steps * self.bits_per_cycle)
        rest = Signal(root_bits + 1)
        root = Signal(root_bits)
        left = Signal(range(self.steps + 1))

        next_value, next_rest, next_root = value, rest, root
        for _ in range(self.bits_per_cycle):
            # Is there room for one more root bit b = 1? (2r + b)^2 = 4r^2 + b(4r + b).
            grown = Cat(next_value[-2:], next_rest)
            difference = grown - Cat(Const(1, 2), next_root)
            fits = ~difference[-1]
            next_rest = Mux(fits, difference, grown)[: root_bits + 1]
            next_root = Cat(fits, next_root)[:root_bits]
            next_value = Cat(Const(0, 2), next_value[:-2])

        m.d.comb += [
            self.i.ready.eq((left == 0) & ~self.o.valid),
            self.o.payload.root.eq(root),
            self.o.payload.remainder.eq(rest),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [value.eq(self.i.payload.value), rest.eq(0), root.eq(0), left.eq(self.steps)]
        with m.If(left != 0):
            m.d.sync += [value.eq(next_value), rest.eq(next_rest), root.eq(next_root), left.eq(left - 1)]
            with m.If(left == 1):
                m.d.sync += self.o.valid.eq(1)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m
