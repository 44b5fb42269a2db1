"""`update_management`: the gains that turn x and delta of an update cycle into pulse probabilities.

    p = min(rs(|v| * multiplier, shift), 2^probability_bits), with a multiplier and a shift for each side

Equations: docs/arithmetic.md, section 13. Model: emulator/periphery/update_management.py. ``i``: the maxima of both
vectors, the exponent of delta, 0 .. 40, the mode, one of ``modes``, and the constants of the array; ``o``: the gains of both
sides. ``none`` and ``power_of_two`` alone are a pipeline. With ``exact`` one update cycle is held at a time: products and
alignment, a square root, and one divider used for x, then for delta. No mode's time depends on the data.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out
from pydantic import Field

from emulator.config import Stage
from emulator.config.schema import IntegerChoice
from emulator.fixed import GAIN_BITS, LARGEST_EXPONENT
from hdl.block import Block, Parameters
from hdl.fixed import bit_length, halved, without_leading_zeros
from hdl.periphery.divider import Divider, DividerParameters
from hdl.periphery.noise_management import Mode
from hdl.periphery.square_root import SquareRoot, SquareRootParameters
from hdl.pipeline import delayed, pipeline
from hdl.shapes import record, stream_of, width_for

#: Shifts are words of this shape; the exponent of a product is twice that of its root, with room for what is added.
SHIFT = signed(8)
EXPONENT = signed(SHIFT.width + 2)
#: Levels of the alignment between two registers.
LEVELS_PER_STAGE = 2


UpdateMode = Literal["none", "power_of_two", "exact"]


class UpdateManagementParameters(Parameters):
    modes: tuple[UpdateMode, ...] = Field(
        ("exact",), min_length=1, description="how m = sqrt(d_max / x_max) is found: all that occur"
    )
    x_magnitude_bits: int = Field(15, ge=1, le=15, description="bits of the maximum of x")
    delta_magnitude_bits: int = Field(15, ge=1, le=15, description="bits of the maximum of delta")
    x_fraction: int = Field(12, ge=0, le=14, description="fraction bits of x")
    probability_bits: int = Field(24, ge=2, le=24, description="fraction bits of a probability word")
    radix: Annotated[Literal[2, 4], IntegerChoice] = Field(
        2, description="of the digits of root and quotients: log2 bits per cycle, for exact"
    )

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> UpdateManagementParameters:
        return cls(
            modes=(stage.array.update.management,),
            x_magnitude_bits=stage.activation_magnitude_bits,
            delta_magnitude_bits=stage.error_magnitude_bits,
            x_fraction=stage.activation_fraction,
            probability_bits=stage.array.update.probability_bits,
        )

    @property
    def product_bits(self) -> int:
        """Bits of ``x_max * delta_max * mantissa``, and no fewer than the root takes."""
        return max(self.x_magnitude_bits + self.delta_magnitude_bits + GAIN_BITS, 2 * GAIN_BITS)

    def shift_range(self, mode: UpdateMode, gain: tuple[int, int], power: tuple[int, int]) -> tuple[int, int]:
        """Bounds of all shifts that can come out, of both sides, for C = ``gain`` and C**2 = ``power``, each as mantissa
        and shift. Raises ValueError if one could leave its word, or for a mantissa without its highest bit."""
        for name, (mantissa, _) in (("gain", gain), ("power", power)):
            if mantissa.bit_length() != GAIN_BITS or mantissa < 0:
                raise ValueError(f"{name} mantissa = {mantissa}: accepted: {GAIN_BITS} bits, the highest of them set")
        if mode == "exact":
            # exponent of the product + 32 - its bit length, halved; then the bit length of a maximum is added
            base = self.x_fraction + power[1] + 2 * GAIN_BITS
            longest = max(self.x_magnitude_bits, self.delta_magnitude_bits)
            low, high = (base - self.product_bits) >> 1, ((base + LARGEST_EXPONENT) >> 1) + longest
        else:
            fractions = (self.x_fraction, 0, LARGEST_EXPONENT)
            low, high = min(fractions) + gain[1], max(fractions) + gain[1]
            if mode == "power_of_two":
                # x_fraction - delta exponent + difference of the bit lengths, halved
                most = max(self.delta_magnitude_bits + self.x_fraction, self.x_magnitude_bits + LARGEST_EXPONENT)
                low, high = low - (most + 1) // 2, high + (most + 1) // 2
        low, high = low - self.probability_bits, high - self.probability_bits
        word = range(-(1 << (SHIFT.width - 1)), 1 << (SHIFT.width - 1))
        if low not in word or high not in word:
            name, (_, shift) = ("power", power) if mode == "exact" else ("gain", gain)
            raise ValueError(
                f"{name} shift = {shift}: gives shifts of {low} .. {high}: accepted: within {word.start} .. {word.stop - 1}"
            )
        return low, high


class UpdateManagement(Block[UpdateManagementParameters]):
    #: Registers of the modes without root: bit lengths, half their difference, the results.
    PIPELINE_STAGES = 3

    def __init__(self, parameters: UpdateManagementParameters) -> None:
        super().__init__(
            parameters,
            {
                "i": In(
                    stream_of(
                        record(
                            x_maximum=parameters.x_magnitude_bits,
                            delta_maximum=parameters.delta_magnitude_bits,
                            delta_exponent=width_for(LARGEST_EXPONENT),
                            mode=Mode,
                            gain_mantissa=GAIN_BITS,
                            gain_shift=SHIFT,
                            power_mantissa=GAIN_BITS,
                            power_shift=SHIFT,
                        )
                    )
                ),
                "o": Out(
                    stream_of(
                        record(
                            x_multiplier=GAIN_BITS + 1,
                            x_shift=SHIFT,
                            delta_multiplier=GAIN_BITS + 1,
                            delta_shift=SHIFT,
                        )
                    )
                ),
            },
        )
        if self.exact:
            self._root = SquareRoot(SquareRootParameters(bits=2 * GAIN_BITS, radix=parameters.radix))
            self._divider = Divider(
                DividerParameters(numerator_bits=2 * GAIN_BITS, denominator_bits=GAIN_BITS, radix=parameters.radix)
            )

    @property
    def exact(self) -> bool:
        """Whether exact is among the modes."""
        return "exact" in self.parameters.modes

    @property
    def preparation(self) -> int:
        """Registers between the maxima and the root of mode exact: two factors, their sum, alignment, exponent."""
        return 3 + _alignment_stages(self.parameters.product_bits) + 1

    @property
    def latency(self) -> int:
        """Of the slowest mode."""
        return max(self.latency_of(mode) for mode in self.parameters.modes)

    def latency_of(self, mode: UpdateMode) -> int:
        """Exact: maxima held, preparation, the root and two divisions, the second following the first. The other modes
        are a pipeline, or, beside exact, wait for its preparation."""
        if not self.exact:
            return self.PIPELINE_STAGES
        if mode != "exact":
            return 1 + self.preparation
        return 1 + self.preparation + self._root.latency + self._divider.cycles_per_beat + self._divider.latency

    @property
    def cycles_per_beat(self) -> int:
        return self.latency + 1 if self.exact else 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.exact:
            m.submodules.root = self._root
            m.submodules.divider = self._divider
            self._root_and_divide(m)
        else:
            self._look_up(m)
        return m

    def _looked_up_shifts(self, work: data.View, halves: Value) -> tuple[Value, Value]:
        """Of x and delta where the multiplier is the constant C: ``halves`` places are moved from one to the other."""
        parameters = self.parameters
        return (
            work.gain_shift + (parameters.x_fraction - parameters.probability_bits) - halves,
            work.gain_shift + (work.delta_exponent - parameters.probability_bits) + halves,
        )

    def _halves(self, work: data.View, x_length: Value, delta_length: Value) -> Value:
        """Half the difference of the bit lengths, of mode power_of_two."""
        difference = (delta_length + self.parameters.x_fraction) - (work.delta_exponent + x_length)
        if set(self.parameters.modes) <= {"power_of_two", "exact"}:
            return halved(difference)
        return Mux(work.mode == Mode.POWER_OF_TWO, halved(difference), 0)

    def _look_up(self, m: Module) -> None:
        """Only modes whose multiplier is the constant C."""
        parameters, result = self.parameters, self.o.payload
        advance, _ = pipeline(m, self.i, self.o, self.PIPELINE_STAGES)
        _, work, later = delayed(m, advance, self.i.payload, 2, "work")
        halves = Signal(SHIFT)
        x_shift, delta_shift = self._looked_up_shifts(later, halves)
        with m.If(advance):
            m.d.sync += [
                result.x_multiplier.eq(later.gain_mantissa),
                result.delta_multiplier.eq(later.gain_mantissa),
                result.x_shift.eq(x_shift),
                result.delta_shift.eq(delta_shift),
            ]
            if "power_of_two" in parameters.modes:
                x_length = Signal(range(parameters.x_magnitude_bits + 1))
                delta_length = Signal(range(parameters.delta_magnitude_bits + 1))
                m.d.sync += [
                    x_length.eq(bit_length(m, self.i.payload.x_maximum)),
                    delta_length.eq(bit_length(m, self.i.payload.delta_maximum)),
                    halves.eq(self._halves(work, x_length, delta_length)),
                ]

    def _root_and_divide(self, m: Module) -> None:
        """Exact among the modes. The maxima are held from input to output, and the registers behind them simply follow; a
        count says when they have settled."""
        parameters, result, root, divider = self.parameters, self.o.payload, self._root, self._divider
        held = Signal(self.i.payload.shape())
        busy, waiting = Signal(), Signal()  # maxima are held; what comes of them has not yet gone on
        left = Signal(range(self.preparation + 1))
        x_taken = Signal()  # the divider works for x or has done so; delta is next
        exact = held.mode == Mode.EXACT if len(parameters.modes) > 1 else Const(1)

        power, root_exponent, odd = self._aligned_power(m, held)
        x_aligned, x_length = _aligned(m, held.x_maximum, GAIN_BITS, "x")
        delta_aligned, delta_length = _aligned(m, held.delta_maximum, GAIN_BITS, "delta")
        shifts: tuple[Value, ...] = tuple(
            root_exponent + length - parameters.probability_bits for length in (x_length, delta_length)
        )
        if len(parameters.modes) > 1:
            halves = Signal(SHIFT)
            if "power_of_two" in parameters.modes:
                m.d.sync += halves.eq(self._halves(held, x_length, delta_length))
            shifts = tuple(map(partial(Mux, exact), shifts, self._looked_up_shifts(held, halves)))
        m.d.sync += [result.x_shift.eq(shifts[0]), result.delta_shift.eq(shifts[1])]
        settled = waiting & (left == 0)
        m.d.comb += [
            self.i.ready.eq(~busy),
            root.i.valid.eq(settled & exact),
            root.i.payload.value.eq(Mux(odd, power[1:], power)),
            # The root stays offered until the divider has taken it for both sides.
            root.o.ready.eq(divider.i.ready & x_taken),
            divider.i.valid.eq(root.o.valid),
            divider.i.payload.numerator.eq(Cat(Const(0, GAIN_BITS), root.o.payload.root)),
            divider.i.payload.denominator.eq(Mux(x_taken, delta_aligned, x_aligned)),
            divider.o.ready.eq(x_taken | self.o.ready),
            self.o.valid.eq(Mux(exact, divider.o.valid & ~x_taken, settled)),
            result.delta_multiplier.eq(Mux(exact, divider.o.payload.quotient, held.gain_mantissa)),
        ]
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(root.i.valid & root.i.ready):
            m.d.sync += waiting.eq(0)
        with m.If(divider.i.valid & divider.i.ready):
            m.d.sync += x_taken.eq(~x_taken)
        with m.If(~exact):
            m.d.sync += result.x_multiplier.eq(held.gain_mantissa)
        with m.Elif(divider.o.valid & x_taken):
            m.d.sync += result.x_multiplier.eq(divider.o.payload.quotient)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [busy.eq(0), waiting.eq(0)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [held.eq(self.i.payload), busy.eq(1), waiting.eq(1), left.eq(self.preparation)]

    def _aligned_power(self, m: Module, held: data.View) -> tuple[Value, Value, Signal]:
        """``U = x_max * delta_max * mantissa`` without leading zeros, its 32 highest bits; the exponent of its root; and
        whether one bit less of it makes its own exponent even."""
        parameters = self.parameters
        product = Signal(parameters.x_magnitude_bits + parameters.delta_magnitude_bits)
        # The second product in two pieces, each of which fits a hardware multiplier.
        half = (len(product) + 1) // 2
        lower, upper = Signal(half + GAIN_BITS), Signal(len(product) - half + GAIN_BITS)
        power = Signal(parameters.product_bits)
        m.d.sync += [
            product.eq(held.x_maximum * held.delta_maximum),
            lower.eq(product[:half] * held.power_mantissa),
            upper.eq(product[half:] * held.power_mantissa),
            power.eq(lower + Cat(Const(0, half), upper)),
        ]
        aligned, length = _aligned(m, power, parameters.product_bits, "power")
        offset, exponent = Signal(EXPONENT), Signal(EXPONENT)
        m.d.sync += [
            offset.eq(held.delta_exponent + held.power_shift + (parameters.x_fraction + 2 * GAIN_BITS)),
            exponent.eq(offset - length),
        ]
        return aligned[-2 * GAIN_BITS :], halved(exponent), exponent[0]


def _aligned(m: Module, value: Value, width: int, name: str) -> tuple[Signal, Value]:
    """A value of at most ``width`` bits shifted until the highest of them is set, and its bit length, after
    ``_alignment_stages(width)`` registers. Of 0: 0 and 0."""
    word: Value = Cat(value, Const(0, width - len(value)))
    zeros: list[Value] = []  # the number of leading zeros, highest bit first
    levels = _alignment_levels(width)
    for stage in range(_alignment_stages(width)):
        for places in levels[stage * LEVELS_PER_STAGE : (stage + 1) * LEVELS_PER_STAGE]:
            empty, word = without_leading_zeros(word, places)
            zeros.append(empty)
        held, held_zeros = Signal(width, name=f"{name}_{stage}"), Signal(len(zeros), name=f"{name}_zeros_{stage}")
        m.d.sync += [held.eq(word), held_zeros.eq(Cat(zeros))]
        word, zeros = held, list(held_zeros)
    return held, Mux(held[-1], width - Cat(reversed(zeros)), 0)


def _alignment_levels(width: int) -> list[int]:
    """Powers of two whose sum is at least ``width - 1``, the largest first."""
    return [1 << level for level in reversed(range((width - 1).bit_length()))]


def _alignment_stages(width: int) -> int:
    return -(-len(_alignment_levels(width)) // LEVELS_PER_STAGE)
