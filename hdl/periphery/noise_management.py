"""`noise_management`: how to drive a vector into the DAC, and how to read the answer, from the vector's maximum.

    code = rs(v * multiplier, shift);  output = ADC code * scale, with `fraction` further fraction bits

With mx the maximum, f its fraction bits, L its bit length, P ``magnitude_bits``, D ``dac_fraction``, E
``constant_exponent``:

    mode           multiplier              shift       scale              fraction
    none           1                       f - D       1                  0
    constant       1                       f - D - E   1                  E
    power_of_two   1                       L - D       2^L, 0 for mx = 0  f
    exact          2^(L+D+4) // mx, or 0   L + 4       mx                 f

Model: emulator/periphery/noise_management.py, whose quotient ``2^(P+D+4) // (mx << (P-L))`` is the same number: shifting
the one bit of the numerator is cheaper than shifting the denominator. ``i``: one maximum per vector with its fraction,
0 .. 40; ``o``: one scaling per vector. ``exact`` holds a divider and one vector at a time; the other modes take a word
per cycle.
"""

from __future__ import annotations

from typing import Literal

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out
from pydantic import Field, model_validator

from emulator.config import Stage
from emulator.fixed import LARGEST_EXPONENT, RECIPROCAL_GUARD_BITS
from hdl.block import Block, Parameters
from hdl.fixed import bit_length, power_of_two
from hdl.periphery.divider import Divider, DividerParameters
from hdl.pipeline import pipeline
from hdl.shapes import record, stream_of, width_for

#: Shifts and numbers of fraction bits are words of this shape.
SHIFT = signed(8)


class NoiseManagementParameters(Parameters):
    mode: Literal["none", "constant", "power_of_two", "exact"] = Field("exact", description="what divides the vector")
    constant_exponent: int = Field(0, ge=-8, le=24, description="of mode constant: divide by 2**-constant_exponent")
    magnitude_bits: int = Field(15, ge=1, le=30, description="bits of the maximum")
    dac_fraction: int = Field(9, ge=1, le=14, description="fraction bits of a DAC code")
    radix: Literal[2, 4, 8, 16] = Field(2, description="of the divider's quotient digits, for mode exact")

    @model_validator(mode="after")
    def _consistent(self) -> NoiseManagementParameters:
        if self.constant_exponent and self.mode != "constant":
            raise ValueError(
                f"constant_exponent = {self.constant_exponent}: accepted: 0 with mode {self.mode}, others with constant"
            )
        return self

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> NoiseManagementParameters:
        """Those of backward reads."""
        return cls.of_read(stage, "backward")

    @classmethod
    def of_read(
        cls, stage: Stage, direction: Literal["forward", "backward"], radix: Literal[2, 4, 8, 16] = 2
    ) -> NoiseManagementParameters:
        forward = direction == "forward"
        read = stage.forward if forward else stage.backward
        return cls(
            mode=read.noise_management,
            constant_exponent=read.constant_exponent,
            magnitude_bits=stage.activation_magnitude_bits if forward else stage.error_magnitude_bits,
            dac_fraction=stage.dac_fraction,
            radix=radix,
        )

    @property
    def multiplier_bits(self) -> int:
        """The largest reciprocal is ``2**(dac_fraction + RECIPROCAL_GUARD_BITS + 1)``."""
        return self.dac_fraction + RECIPROCAL_GUARD_BITS + 2

    @property
    def divider(self) -> DividerParameters:
        return DividerParameters(
            numerator_bits=self.magnitude_bits + self.dac_fraction + RECIPROCAL_GUARD_BITS + 1,
            denominator_bits=self.magnitude_bits,
            radix=self.radix,
        )


class NoiseManagement(Block[NoiseManagementParameters]):
    #: Registers of the modes without divider: the bit length, then the results.
    PIPELINE_STAGES = 2

    def __init__(self, parameters: NoiseManagementParameters) -> None:
        super().__init__(
            parameters,
            {
                "i": In(stream_of(record(maximum=parameters.magnitude_bits, fraction=width_for(LARGEST_EXPONENT)))),
                "o": Out(
                    stream_of(
                        record(
                            multiplier=parameters.multiplier_bits,
                            shift=SHIFT,
                            scale=parameters.magnitude_bits + 1,
                            fraction=SHIFT,
                        )
                    )
                ),
            },
        )
        self._divider = Divider(parameters.divider) if parameters.mode == "exact" else None

    @property
    def latency(self) -> int:
        """Exact: a register in front of the divider. Of all modes the same for every maximum."""
        return self.PIPELINE_STAGES if self._divider is None else 1 + self._divider.latency

    @property
    def cycles_per_beat(self) -> int:
        return 1 if self._divider is None else self.latency + 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._divider is None:
            self._look_up(m)
        else:
            m.submodules.divider = self._divider
            self._divide(m, self._divider)
        return m

    def _look_up(self, m: Module) -> None:
        """Modes whose multiplier is 1: what they shift by is known after the bit length."""
        parameters, result = self.parameters, self.o.payload
        advance, _ = pipeline(m, self.i, self.o, self.PIPELINE_STAGES)
        length = Signal(range(parameters.magnitude_bits + 1))
        fraction = Signal.like(self.i.payload.fraction)
        with m.If(advance):
            m.d.sync += [
                length.eq(bit_length(m, self.i.payload.maximum)),
                fraction.eq(self.i.payload.fraction),
                result.multiplier.eq(1),
            ]
            if parameters.mode == "power_of_two":
                m.d.sync += [
                    result.shift.eq(length - parameters.dac_fraction),
                    result.scale.eq(Mux(length == 0, 0, power_of_two(length))),
                    result.fraction.eq(fraction),
                ]
            else:
                m.d.sync += [
                    result.shift.eq(fraction - (parameters.dac_fraction + parameters.constant_exponent)),
                    result.scale.eq(1),
                    result.fraction.eq(parameters.constant_exponent),
                ]

    def _divide(self, m: Module, divider: Divider) -> None:
        """Mode exact: a maximum is held while its reciprocal is found; the result is the divider's and those held."""
        parameters, result = self.parameters, self.o.payload
        maximum = Signal(parameters.magnitude_bits)
        length = Signal(range(parameters.magnitude_bits + 1))
        fraction = Signal.like(self.i.payload.fraction)
        busy, waiting = Signal(), Signal()  # a maximum is held; it has not yet gone into the divider

        m.d.comb += [
            self.i.ready.eq(~busy),
            divider.i.valid.eq(waiting),
            divider.i.payload.numerator.eq(power_of_two(length + (parameters.dac_fraction + RECIPROCAL_GUARD_BITS))),
            divider.i.payload.denominator.eq(maximum),
            divider.o.ready.eq(self.o.ready),
            self.o.valid.eq(divider.o.valid),
            result.multiplier.eq(divider.o.payload.quotient),
            result.shift.eq(length + RECIPROCAL_GUARD_BITS),
            result.scale.eq(maximum),
            result.fraction.eq(fraction),
        ]
        with m.If(divider.i.valid & divider.i.ready):
            m.d.sync += waiting.eq(0)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += busy.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                maximum.eq(self.i.payload.maximum),
                length.eq(bit_length(m, self.i.payload.maximum)),
                fraction.eq(self.i.payload.fraction),
                busy.eq(1),
                waiting.eq(1),
            ]
