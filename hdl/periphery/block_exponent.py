"""`block_exponent`: the shared exponent of an error tensor, and the shift that makes mantissas of its sums.

    exponent = sat(fraction - (bl(maximum) - P), 0, 40),  shift = fraction - exponent,  P = error_magnitude_bits

Model: emulator/periphery/block_exponent.py, whose mantissas are the sums rounded by ``shift`` and saturated: what
`scaler` does without a multiplier. ``i``: the largest magnitude of the tensor and the fraction bits of its sums; ``o``:
one pair per tensor. One word per cycle. The bit length is searched for from the top, two halvings to a register.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import In, Out
from pydantic import Field

from emulator.config import Stage
from emulator.fixed import LARGEST_EXPONENT, PATH_BITS
from hdl.block import Block, Parameters
from hdl.fixed import leading_half
from hdl.pipeline import delayed, pipeline
from hdl.shapes import record, stream_of, width_for

SHIFT = signed(8)
LEVELS_PER_STAGE = 2


class BlockExponentParameters(Parameters):
    sum_bits: int = Field(PATH_BITS, ge=1, le=62, description="bits of the largest magnitude of the sums")
    error_magnitude_bits: int = Field(15, ge=1, le=15, description="P, bits of a mantissa, sign excluded")

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> BlockExponentParameters:
        return cls(error_magnitude_bits=stage.error_magnitude_bits)


def exponent_and_shift(length: Value, fraction: Value, error_magnitude_bits: int) -> tuple[Value, Value]:
    """Of a bit length, as logic without registers."""
    ideal = (fraction + error_magnitude_bits) - length
    below, above = ideal < 0, ideal > LARGEST_EXPONENT
    exponent = Mux(below, 0, Mux(above, LARGEST_EXPONENT, ideal))
    shift = Mux(below, fraction, Mux(above, fraction - LARGEST_EXPONENT, length - error_magnitude_bits))
    return exponent, shift


class BlockExponent(Block[BlockExponentParameters]):
    def __init__(self, parameters: BlockExponentParameters) -> None:
        super().__init__(
            parameters,
            {
                "i": In(stream_of(record(maximum=parameters.sum_bits, fraction=SHIFT))),
                "o": Out(stream_of(record(shift=SHIFT, exponent=width_for(LARGEST_EXPONENT)))),
            },
        )

    @property
    def search_levels(self) -> int:
        """Halvings until one bit is left, of the maximum and a bit below it."""
        return self.parameters.sum_bits.bit_length()

    @property
    def search_stages(self) -> int:
        return -(-self.search_levels // LEVELS_PER_STAGE)

    @property
    def latency(self) -> int:
        """The search, the ideal exponent, its saturation."""
        return self.search_stages + 2

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, _ = pipeline(m, self.i, self.o, self.latency)
        length = self._bit_length(m, advance)
        fraction = delayed(m, advance, self.i.payload.fraction, self.search_stages, "fraction")[-1]
        ideal_shift, least_shift, next_fraction = Signal(SHIFT), Signal(SHIFT), Signal(SHIFT)
        ideal_exponent = Signal(signed(SHIFT.width + 1))
        result = self.o.payload
        with m.If(advance):
            m.d.sync += [
                ideal_shift.eq(length - self.parameters.error_magnitude_bits),
                ideal_exponent.eq((fraction + self.parameters.error_magnitude_bits) - length),
                least_shift.eq(fraction - LARGEST_EXPONENT),
                next_fraction.eq(fraction),
            ]
            with m.If(ideal_exponent < 0):
                m.d.sync += [result.exponent.eq(0), result.shift.eq(next_fraction)]
            with m.Elif(ideal_exponent > LARGEST_EXPONENT):
                m.d.sync += [result.exponent.eq(LARGEST_EXPONENT), result.shift.eq(least_shift)]
            with m.Else():
                m.d.sync += [result.exponent.eq(ideal_exponent), result.shift.eq(ideal_shift)]
        return m

    def _bit_length(self, m: Module, advance: Signal) -> Value:
        """The place of the leading one of the maximum with a 1 below it is the maximum's bit length, 0 included."""
        maximum = self.i.payload.maximum
        word: Value = Cat(Const(1), maximum, Const(0, (1 << self.search_levels) - 1 - len(maximum)))
        place: list[Value] = []  # highest bit first
        for stage in range(self.search_stages):
            for _ in range(min(LEVELS_PER_STAGE, self.search_levels - stage * LEVELS_PER_STAGE)):
                upper, word = leading_half(word)
                place.append(upper)
            held, held_place = Signal(len(word), name=f"word_{stage}"), Signal(len(place), name=f"place_{stage}")
            with m.If(advance):
                m.d.sync += [held.eq(word), held_place.eq(Cat(place))]
            word, place = held, list(held_place)
        return Cat(reversed(place))
