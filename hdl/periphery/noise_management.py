"""`noise_management`: how to drive a vector into the DAC, and how to read the answer, from the vector's maximum.

    code = rs(v * multiplier, shift);  output = ADC code * scale, with `fraction` further fraction bits

With mx the maximum, f its fraction bits, L its bit length, P ``magnitude_bits``, D ``dac_fraction``, E the constant
exponent:

    mode           multiplier              shift       scale              fraction
    none           1                       f - D       1                  0
    constant       1                       f - D - E   1                  E
    power_of_two   1                       L - D       2^L, 0 for mx = 0  f
    exact          2^(L+D+4) // mx, or 0   L + 4       mx                 f

Model: emulator/periphery/noise_management.py, whose quotient ``2^(P+D+4) // (mx << (P-L))`` is the same number: shifting
the one bit of the numerator is cheaper than shifting the denominator. ``i``: one maximum per vector with its fraction,
0 .. 40, its mode, one of ``modes``, and the exponent of mode constant, 0 with all others; ``o``: one scaling per vector.
With ``exact`` among the modes there is a divider, and one vector at a time; else a word per cycle. Of a single mode the
word is not looked at.
"""

from __future__ import annotations

from typing import Annotated, Literal

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, enum
from amaranth.lib.wiring import In, Out
from pydantic import Field

from emulator.config import Stage
from emulator.config.schema import IntegerChoice
from emulator.fixed import LARGEST_EXPONENT, RECIPROCAL_GUARD_BITS
from hdl.block import Block, Parameters
from hdl.fixed import bit_length, power_of_two
from hdl.periphery.divider import Divider, DividerParameters
from hdl.pipeline import pipeline
from hdl.shapes import record, stream_of, width_for

#: Shifts and numbers of fraction bits are words of this shape.
SHIFT = signed(8)
#: Constant exponents, -8 .. 24, are words of this shape.
EXPONENT = signed(6)


class Mode(enum.Enum, shape=unsigned(2)):
    """Of noise management and of update management."""

    NONE = 0
    CONSTANT = 1
    POWER_OF_TWO = 2
    EXACT = 3


def mode_of(name: str) -> Mode:
    """By its name in the config."""
    return Mode[name.upper()]


NoiseMode = Literal["none", "constant", "power_of_two", "exact"]


class NoiseManagementParameters(Parameters):
    modes: tuple[NoiseMode, ...] = Field(
        ("exact",), min_length=1, description="what divides the vector: all that occur"
    )
    magnitude_bits: int = Field(15, ge=1, le=30, description="bits of the maximum")
    dac_fraction: int = Field(9, ge=1, le=14, description="fraction bits of a DAC code")
    radix: Annotated[Literal[2, 4, 8, 16], IntegerChoice] = Field(
        2, description="of the divider's quotient digits, for mode exact"
    )

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
            modes=(read.noise_management,),
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
                "i": In(
                    stream_of(
                        record(
                            maximum=parameters.magnitude_bits,
                            fraction=width_for(LARGEST_EXPONENT),
                            mode=Mode,
                            exponent=EXPONENT,
                        )
                    )
                ),
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
        self._divider = Divider(parameters.divider) if "exact" in parameters.modes else None

    @property
    def latency(self) -> int:
        """Of the slowest mode; of one mode the same for every maximum."""
        return max(self.latency_of(mode) for mode in self.parameters.modes)

    def latency_of(self, mode: NoiseMode) -> int:
        """Without divider: a pipeline. With it: a register, in front of the divider or, of the other modes, alone."""
        if self._divider is None:
            return self.PIPELINE_STAGES
        return 1 + self._divider.latency if mode == "exact" else 1

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

    def _looked_up(self, length: Value, work: data.View) -> dict[str, Value]:
        """The result of the modes whose multiplier is 1, from the bit length of the maximum."""
        parameters = self.parameters
        exponent = work.exponent if "constant" in parameters.modes else Const(0)
        constant = {
            "multiplier": Const(1),
            "shift": work.fraction - (exponent + parameters.dac_fraction),
            "scale": Const(1),
            "fraction": exponent,
        }
        relative = {
            "multiplier": Const(1),
            "shift": length - parameters.dac_fraction,
            "scale": Mux(length == 0, 0, power_of_two(length)),
            "fraction": work.fraction,
        }
        if "power_of_two" not in parameters.modes:
            return constant
        if not {"none", "constant"} & set(parameters.modes):
            return relative
        chosen = work.mode == Mode.POWER_OF_TWO
        return {name: Mux(chosen, relative[name], constant[name]) for name in relative}

    def _look_up(self, m: Module) -> None:
        """No mode divides: what they shift by is known after the bit length."""
        advance, _ = pipeline(m, self.i, self.o, self.PIPELINE_STAGES)
        length = Signal(range(self.parameters.magnitude_bits + 1))
        work = Signal(self.i.payload.shape())
        with m.If(advance):
            m.d.sync += [length.eq(bit_length(m, self.i.payload.maximum)), work.eq(self.i.payload)]
            m.d.sync += [self.o.payload[name].eq(value) for name, value in self._looked_up(length, work).items()]

    def _divide(self, m: Module, divider: Divider) -> None:
        """A maximum is held while its reciprocal is found; the result is the divider's and those held. Of other modes it
        is known at once."""
        parameters = self.parameters
        work = Signal(self.i.payload.shape())
        length = Signal(range(parameters.magnitude_bits + 1))
        busy, waiting = Signal(), Signal()  # a maximum is held; it has not yet gone into the divider
        exact: Value = Const(1)
        result = {
            "multiplier": divider.o.payload.quotient,
            "shift": length + RECIPROCAL_GUARD_BITS,
            "scale": work.maximum,
            "fraction": work.fraction,
        }
        if len(parameters.modes) > 1:
            exact = work.mode == Mode.EXACT
            others = self._looked_up(length, work)
            result = {name: Mux(exact, value, others[name]) for name, value in result.items()}

        m.d.comb += [
            self.i.ready.eq(~busy),
            divider.i.valid.eq(waiting & exact),
            divider.i.payload.numerator.eq(power_of_two(length + (parameters.dac_fraction + RECIPROCAL_GUARD_BITS))),
            divider.i.payload.denominator.eq(work.maximum),
            divider.o.ready.eq(self.o.ready),
            self.o.valid.eq(Mux(exact, divider.o.valid, busy)),
            *(self.o.payload[name].eq(value) for name, value in result.items()),
        ]
        with m.If(divider.i.valid & divider.i.ready):
            m.d.sync += waiting.eq(0)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += busy.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                work.eq(self.i.payload),
                length.eq(bit_length(m, self.i.payload.maximum)),
                busy.eq(1),
                waiting.eq(1),
            ]
