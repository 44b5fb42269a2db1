"""`scaler`: multiply, shift, round, saturate: how a gain found once per vector is applied to its elements.

    o_k = sat(rs(i_k * multiplier, shift), -limit, limit)

Model: emulator/periphery/scaler.py. ``i``: beats of signed elements with the multiplier (unsigned; absent if it has no
bits, then 1) and the shift of their vector, within ``lowest_shift .. highest_shift``; ``o``: beats of results. A negative
shift multiplies. A ``sideband`` travels along where it has bits. A beat per cycle; ``latency`` cycles.

Sign and magnitude go separate ways from the first register to the last. The shift keeps no more bits than the levels
left may still bring into the result, and notes ones that it drops above them: those saturate. Shifts at which every
product saturates, or gives 0, are all alike, so the shift is limited to those in between first.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib.wiring import In, Out
from pydantic import Field, model_validator

from emulator.config import Stage
from emulator.fixed import LARGEST_EXPONENT, RECIPROCAL_GUARD_BITS
from hdl.block import Block, Parameters
from hdl.fixed import limited, magnitude, rounded, shift_window, sum_at, with_sign
from hdl.periphery.noise_management import NoiseManagementParameters
from hdl.pipeline import delayed, pipeline
from hdl.shapes import beat, signed_for, stream_of

SHIFT = signed(8)
#: Operands of a multiplier of the FPGA; wider ones are cut into such parts.
FACTOR_BITS = 18
LEVELS_PER_STAGE = 2


class ScalerParameters(Parameters):
    lanes: int = Field(8, ge=1, le=64, description="elements per beat")
    magnitude_bits: int = Field(15, ge=1, le=62, description="bits of an element's magnitude, sign excluded")
    multiplier_bits: int = Field(15, ge=0, le=62, description="bits of the multiplier; 0: there is none")
    lowest_shift: int = Field(-15, ge=-128, le=127, description="the shift input is not below")
    highest_shift: int = Field(40, ge=-128, le=127, description="the shift input is not above")
    limit: int = Field(512, ge=1, lt=1 << 128, description="largest magnitude of a result")
    sideband_bits: int = Field(0, ge=0, le=4096, description="bits that travel along with a beat; 0: no such field")
    serial: bool = Field(False, description="a place of the shift per cycle, a beat at a time: small and slow")

    @model_validator(mode="after")
    def _ordered(self) -> ScalerParameters:
        if self.lowest_shift > self.highest_shift:
            raise ValueError(
                f"lowest_shift = {self.lowest_shift}: accepted: at most highest_shift, {self.highest_shift}"
            )
        return self

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> ScalerParameters:
        """The scaler in front of the DAC, for both directions, all modes of noise management and all halvings."""
        reads = (stage.forward, stage.backward)
        constant = [read.constant_exponent for read in reads]
        magnitude_bits = max(stage.activation_magnitude_bits, stage.error_magnitude_bits)
        largest_fraction = max(stage.activation_fraction, LARGEST_EXPONENT, magnitude_bits + RECIPROCAL_GUARD_BITS)
        return cls(
            lanes=lanes,
            magnitude_bits=magnitude_bits,
            multiplier_bits=NoiseManagementParameters.of(stage, lanes).multiplier_bits,
            lowest_shift=-stage.dac_fraction - max(0, *constant),
            highest_shift=largest_fraction - min(0, *constant) + max(read.bound_management for read in reads),
            limit=1 << stage.dac_fraction,
        )

    @property
    def product_bits(self) -> int:
        return self.magnitude_bits + self.multiplier_bits

    @property
    def result_bits(self) -> int:
        """Bits of a result's magnitude."""
        return self.limit.bit_length()

    def _limited_shift(self, shift: int) -> int:
        """From ``-result_bits`` down everything but 0 saturates; from ``product_bits + 1`` up everything is 0."""
        return min(max(shift, -self.result_bits), self.product_bits + 1)

    @property
    def shifts(self) -> tuple[int, int]:
        """Lowest and highest shift that are done."""
        return self._limited_shift(self.lowest_shift), self._limited_shift(self.highest_shift)

    @property
    def shift_levels(self) -> int:
        low, high = self.shifts
        return (high - low).bit_length()

    @property
    def rounds(self) -> bool:
        return self.shifts[1] > 0

    @property
    def saturates(self) -> bool:
        """Whether a result can leave the limit."""
        largest = ((1 << self.magnitude_bits) - 1) * ((1 << self.multiplier_bits) - 1 if self.multiplier_bits else 1)
        low = self.lowest_shift
        return (largest + ((1 << low) >> 1) >> low if low > 0 else largest << -low) > self.limit


class Scaler(Block[ScalerParameters]):
    def __init__(self, parameters: ScalerParameters) -> None:
        p = parameters
        sideband = {"sideband": unsigned(p.sideband_bits)} if p.sideband_bits else {}
        multiplier = {"multiplier": unsigned(p.multiplier_bits)} if p.multiplier_bits else {}
        element = signed(p.magnitude_bits + 1)
        super().__init__(
            p,
            {
                "i": In(stream_of(beat(element, p.lanes, **multiplier, shift=SHIFT, **sideband))),
                "o": Out(stream_of(beat(signed_for(p.limit), p.lanes, **sideband))),
            },
        )

    @property
    def multiplier_stages(self) -> int:
        """Partial products, and a tree that adds them."""
        if not self.parameters.multiplier_bits:
            return 0
        return 1 + sum((len(_parts(bits)) - 1).bit_length() for bits in self._factors)

    @property
    def _factors(self) -> tuple[int, int]:
        return self.parameters.magnitude_bits, self.parameters.multiplier_bits

    @property
    def shift_stages(self) -> int:
        return -(-self.parameters.shift_levels // LEVELS_PER_STAGE)

    @property
    def latency(self) -> int:
        """Magnitude, product, shift, rounding, limit, sign. Serial: a beat is taken as its result is."""
        p = self.parameters
        if p.serial:
            return 0
        return 1 + self.multiplier_stages + self.shift_stages + p.rounds + p.saturates + 1

    @property
    def cycles_per_beat(self) -> int:
        """Serial, of the longest shift: the product held, its places, the result offered."""
        p = self.parameters
        return p.shifts[1] - p.shifts[0] + 2 if p.serial and p.shift_levels else 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        if p.serial:
            self._shift_in_turns(m)
            return m
        stages = self.latency
        advance, _ = pipeline(m, self.i, self.o, stages)
        lane_results = [self.o.payload.elements[lane] for lane in range(p.lanes)]

        def register(value: Value, shape: Shape | int, name: str) -> Signal:
            held = Signal(shape, name=name)
            with m.If(advance):
                m.d.sync += held.eq(value)
            return held

        for name in ("mask", "last", *(["sideband"] if p.sideband_bits else [])):
            m.d.comb += self.o.payload[name].eq(delayed(m, advance, self.i.payload[name], stages, name)[-1])
        places = register(self._places(self.i.payload.shift), max(1, p.shift_levels), "places")
        places = delayed(m, advance, places, self.multiplier_stages + self.shift_stages, "places_product")
        if p.multiplier_bits:
            multiplier = register(self.i.payload.multiplier, p.multiplier_bits, "multiplier")

        for lane, result in enumerate(lane_results):
            element = self.i.payload.elements[lane]
            negative = delayed(m, advance, element < 0, stages - 1, f"negative_{lane}")[-1]
            word: Value = register(magnitude(element), p.magnitude_bits, f"magnitude_{lane}")
            if p.multiplier_bits:
                word = self._product(register, word, multiplier, f"product_{lane}")
            word, beyond = self._shifted(register, word, places[self.multiplier_stages :], lane)
            if p.rounds:
                word = register(rounded(Cat(word, Const(0, 1))), p.result_bits + 1, f"rounded_{lane}")
                beyond = register(beyond, 1, f"beyond_rounded_{lane}")
            else:
                word = word[1:]
            if p.saturates:
                word = register(Mux(beyond, p.limit, limited(word, p.limit)), p.result_bits, f"limited_{lane}")
            m.d.comb += result.eq(
                register(with_sign(negative, word[: p.result_bits]), result.shape(), f"result_{lane}")
            )
        return m

    def _shift_in_turns(self, m: Module) -> None:
        """Products are held with their point as far to the left as the lowest shift asks, and move to the right a place per
        cycle. The beat stays at ``i`` meanwhile, so nothing else of it is held."""
        p = self.parameters
        below = 1 - p.shifts[0]
        left, busy, offered = Signal(max(1, p.shift_levels)), Signal(), Signal()
        load = Signal()
        m.d.comb += [
            load.eq(self.i.valid & ~busy),
            offered.eq(busy & (left == 0)) if p.shift_levels else offered.eq(self.i.valid),
            self.o.valid.eq(offered),
            self.i.ready.eq(offered & self.o.ready),
        ]
        for name in ("mask", "last", *(["sideband"] if p.sideband_bits else [])):
            m.d.comb += self.o.payload[name].eq(self.i.payload[name])
        with m.If(load):
            m.d.sync += [busy.eq(1), left.eq(self._places(self.i.payload.shift))]
        with m.Elif(offered):
            with m.If(self.o.ready):
                m.d.sync += busy.eq(0)
        with m.Else():
            m.d.sync += left.eq(left - 1)
        for lane in range(p.lanes):
            element = self.i.payload.elements[lane]
            product = magnitude(element) * (self.i.payload.multiplier if p.multiplier_bits else 1)
            placed = Cat(Const(0, below), product[: p.product_bits]) if below >= 0 else product[-below:]
            word: Value = Cat(placed, Const(0, 1)) if not len(placed) else placed
            if p.shift_levels:
                held = Signal(len(placed), name=f"held_{lane}")
                with m.If(load):
                    m.d.sync += held.eq(placed)
                with m.Elif(~offered):
                    m.d.sync += held.eq(held[1:])
                word = held
            m.d.comb += self.o.payload.elements[lane].eq(self._rounded_with_sign(word, element < 0))

    def _rounded_with_sign(self, word: Value, negative: Value) -> Value:
        """Of a magnitude with one bit below its LSB: ``-(x + r) = ~x + (1 - r)``, so that one adder rounds and negates."""
        p = self.parameters
        size, half = word[1 : 1 + p.result_bits], word[0]
        plain = Cat(size, Const(0, 1 + p.result_bits))[: p.result_bits + 1]
        signed_size = (plain ^ negative.replicate(len(plain))) + (half ^ negative)
        result = signed_size[: p.result_bits + 1]
        if p.saturates:
            above = word[1 + p.result_bits :]
            beyond = (above.any() if len(above) else Const(0)) | ((size == p.limit) & half)
            if p.limit.bit_count() < p.result_bits:
                beyond |= size > p.limit
            result = Mux(beyond, Mux(negative, -p.limit, p.limit), result)[: p.result_bits + 1]
        return result.as_signed()

    def _places(self, shift: Value) -> Value:
        """How far the shift that is done lies above the lowest one."""
        p = self.parameters
        low, high = p.shifts
        if p.highest_shift > high:
            shift = Mux(shift > high, high, shift)
        if p.lowest_shift < low:
            shift = Mux(shift < low, low, shift)
        return (shift - low)[: p.shift_levels] if p.shift_levels else Const(0, 1)

    def _product(self, register, word: Signal, multiplier: Signal, name: str) -> Value:
        """Products of parts of both factors, added in pairs: those of a part of the multiplier first, then these."""
        rows = []
        for row, (start, stop) in enumerate(_parts(len(multiplier))):
            terms = []
            for column, (first, end) in enumerate(_parts(len(word))):
                part = word[first:end] * multiplier[start:stop]
                terms.append((first, register(part, len(part), f"{name}_{row}_{column}")))
            rows.append((start, _sum(register, terms, f"{name}_{row}")))
        return _sum(register, rows, name)[: self.parameters.product_bits]

    def _shifted(self, register, word: Value, places: list, lane: int) -> tuple[Value, Value]:
        """The result with one bit below its LSB, and whether it is too large for its bits."""
        p = self.parameters
        below = p.shifts[0] - 1
        word = Cat(Const(0, -below), word) if below < 0 else word[below:]
        kept = p.result_bits + 1
        widest = kept + (1 << p.shift_levels) - 1
        beyond: Value = word[widest:].any() if len(word) > widest else Const(0, 1)
        word = word[:widest]
        for stage in range(self.shift_stages):
            top = p.shift_levels - stage * LEVELS_PER_STAGE
            for level in reversed(range(max(0, top - LEVELS_PER_STAGE), top)):
                width = kept + (1 << level) - 1
                word, lost = shift_window(word, places[stage][level], 1 << level, width)
                beyond = beyond | lost
            word = register(word, len(word), f"shifted_{lane}_{stage}")
            beyond = register(beyond, 1, f"beyond_{lane}_{stage}")
        return Cat(word, Const(0, kept))[:kept], beyond


def _parts(bits: int) -> list[tuple[int, int]]:
    """A word of ``bits`` bits cut into factors: first bit and end of each."""
    return [(start, min(start + FACTOR_BITS, bits)) for start in range(0, bits, FACTOR_BITS)]


def _sum(register, terms: list[tuple[int, Value]], name: str) -> Value:
    """The sum of words that begin at ``terms[k][0]``, in a tree with a register per level."""
    level = 0
    while len(terms) > 1:
        pairs = [terms[k : k + 2] for k in range(0, len(terms), 2)]
        terms = []
        for k, pair in enumerate(pairs):
            (place, word), *others = pair
            for other_place, other in others:
                word = sum_at(word, other, other_place - place)
            terms.append((place, register(word, len(word), f"{name}_sum_{level}_{k}")))
        level += 1
    return terms[0][1]
