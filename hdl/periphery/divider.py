"""`divider`: exact integer division with remainder, restoring, a few quotient bits per cycle.

    numerator = quotient * denominator + remainder,  0 <= remainder < denominator;  quotient 0 for a denominator of 0

Model: emulator/periphery/divider.py. ``i``: numerator and denominator; ``o``: quotient and remainder. One division at a
time, ``latency`` cycles each; the result may wait for its taker.
"""

from __future__ import annotations

from typing import Annotated, Literal

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.wiring import In, Out
from pydantic import Field

from emulator.config import Stage
from emulator.config.schema import IntegerChoice
from emulator.fixed import RECIPROCAL_GUARD_BITS
from hdl.block import Block, Parameters
from hdl.shapes import record, stream_of


class DividerParameters(Parameters):
    numerator_bits: int = Field(29, ge=1, le=62, description="bits of numerator, quotient and remainder")
    denominator_bits: int = Field(15, ge=1, le=62, description="bits of the denominator")
    radix: Annotated[Literal[2, 4, 8, 16], IntegerChoice] = Field(
        2, description="quotient digits are of this radix: log2 bits per cycle"
    )

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> DividerParameters:
        """Noise management's reciprocal of a maximum."""
        bits = max(stage.activation_magnitude_bits, stage.error_magnitude_bits)
        return cls(numerator_bits=bits + stage.dac_fraction + RECIPROCAL_GUARD_BITS + 1, denominator_bits=bits)


class Divider(Block[DividerParameters]):
    def __init__(self, parameters: DividerParameters) -> None:
        n, d = parameters.numerator_bits, parameters.denominator_bits
        super().__init__(
            parameters,
            {
                "i": In(stream_of(record(numerator=n, denominator=d))),
                "o": Out(stream_of(record(quotient=n, remainder=n))),
            },
        )

    @property
    def bits_per_cycle(self) -> int:
        return self.parameters.radix.bit_length() - 1

    @property
    def steps(self) -> int:
        return -(-self.parameters.numerator_bits // self.bits_per_cycle)

    @property
    def latency(self) -> int:
        return 1 + self.steps

    @property
    def cycles_per_beat(self) -> int:
        """The result is handed over in one further cycle."""
        return self.latency + 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        n = self.parameters.numerator_bits
        padded = self.steps * self.bits_per_cycle
        # Numerator bits leave `quotient` at its top while quotient bits enter below. A quotient bit is taken only when the
        # denominator fits, so `rest` stays below the denominator, or, if that is 0, holds the numerator so far.
        quotient = Signal(padded)
        rest = Signal(n)
        denominator = Signal(self.parameters.denominator_bits)
        left = Signal(range(self.steps + 1))

        next_quotient, next_rest = quotient, rest
        for _ in range(self.bits_per_cycle):
            shifted = Cat(next_quotient[-1], next_rest)
            fits = (shifted >= denominator) & (denominator != 0)
            next_rest = Mux(fits, shifted - denominator, shifted)[:n]
            next_quotient = Cat(fits, next_quotient[:-1])

        m.d.comb += [
            self.i.ready.eq((left == 0) & ~self.o.valid),
            self.o.payload.quotient.eq(quotient),
            self.o.payload.remainder.eq(rest),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                quotient.eq(self.i.payload.numerator),
                denominator.eq(self.i.payload.denominator),
                rest.eq(0),
                left.eq(self.steps),
            ]
        with m.If(left != 0):
            m.d.sync += [quotient.eq(next_quotient), rest.eq(next_rest), left.eq(left - 1)]
            with m.If(left == 1):
                m.d.sync += self.o.valid.eq(1)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m
