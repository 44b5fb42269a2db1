"""`softmax`: the error of softmax and cross-entropy, one class after another.

    t = max(y) - y,  e = rs(coarse[t // 2^(A-1)] * fine[t mod 2^(A-1)], 18), 0 if t >= 16 * 2^A
    p = (e << 24) // (sum of e),  delta = -p, at the label the sum of the others' p

Model: emulator/periphery/softmax.py. ``i``: beats of logits with A fraction bits, and the label; ``o``: beats of errors with 24
fraction bits. One image at a time. `latency` is fixed: the logits are searched for their maximum as they come in, a lane
per cycle; then a cycle per class for the exponentials, a division per class, and a lane per cycle out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory, ReadPort, WritePort
from amaranth.lib.wiring import In, Out
from pydantic import Field, model_validator

from emulator.config import Stage
from emulator.config.schema import IntegerChoice
from emulator.config.tables import EXPONENTIAL_RANGE, FINE_FRACTION_BITS, exponential_tables
from emulator.fixed import PATH_BITS, SOFTMAX_FRACTION_BITS
from hdl.block import Block, Parameters
from hdl.fixed import rounded
from hdl.memory import exclusive_memory
from hdl.periphery.divider import Divider, DividerParameters
from hdl.pipeline import delayed
from hdl.serial.softmax import POWER_CYCLES, QUOTIENT_CYCLES, WORD, SerialSoftmax
from hdl.shapes import beat, stream_of, width_for

#: Memory, distance, its limit, tables, their registers, product, rounding.
POWER_STAGES = 7


class SoftmaxParameters(Parameters):
    lanes: int = Field(8, ge=1, le=64, description="elements per beat")
    classes: int = Field(10, ge=2, le=256, description="elements of a vector")
    adc_fraction: int = Field(7, ge=1, le=14, description="A, fraction bits of a logit")
    magnitude_bits: int = Field(16, ge=1, le=PATH_BITS, description="bits of a logit's magnitude, sign excluded")
    radix: Annotated[Literal[2, 4, 8, 16], IntegerChoice] = Field(2, description="of the divider")
    serial: bool = Field(False, description="products and quotients bit by bit, of 1 lane: small and slow")

    @model_validator(mode="after")
    def _one_lane(self) -> SoftmaxParameters:
        if self.serial and self.lanes > 1:
            raise ValueError(f"serial: accepted: with lanes = 1, not {self.lanes}")
        return self

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> SoftmaxParameters:
        """Logits are at most the ADC's limit, halvings undone, times the largest scale."""
        read = stage.forward
        gain = max(0, stage.activation_magnitude_bits - stage.activation_fraction, -read.constant_exponent)
        return cls(
            lanes=lanes,
            classes=stage.rows,
            adc_fraction=stage.adc_fraction,
            magnitude_bits=read.limit.bit_length() + read.bound_management + gain + 1,
        )

    @property
    def beats(self) -> int:
        return -(-self.classes // self.lanes)

    @property
    def divider(self) -> DividerParameters:
        one = 1 << SOFTMAX_FRACTION_BITS
        return DividerParameters(
            numerator_bits=(one << SOFTMAX_FRACTION_BITS).bit_length(),
            denominator_bits=(self.classes * one).bit_length(),
            radix=self.radix,
        )


@dataclass(frozen=True)
class _Work:
    """What the steps of an image share: the class in turn, the label, the largest logit, sums, memory ports."""

    number: Signal
    label: Signal
    largest: Signal
    total: Signal
    others: Signal
    write_logit: WritePort
    write_power: WritePort
    power: ReadPort


class _Turn:
    """Which lane's turn it is: 0 .. ``lanes - 1``. A lane alone needs no register, and Verilog knows none without bits."""

    def __init__(self, lanes: int, name: str) -> None:
        self._alone = lanes == 1
        self.number = Const(0, 1) if self._alone else Signal(range(lanes), name=name)
        self.is_last = self.number == lanes - 1

    def restart(self, m: Module) -> None:
        if not self._alone:
            m.d.sync += self.number.eq(0)

    def pass_on(self, m: Module) -> None:
        if not self._alone:
            m.d.sync += self.number.eq(self.number + 1)


class Softmax(Block[SoftmaxParameters]):
    def __init__(self, parameters: SoftmaxParameters) -> None:
        p = parameters
        if not p.serial:
            self.divider = Divider(p.divider)
        super().__init__(
            p,
            {
                "i": In(stream_of(beat(signed(p.magnitude_bits + 1), p.lanes, label=width_for(p.classes - 1)))),
                "o": Out(stream_of(beat(signed(WORD + 1), p.lanes))),
            },
        )

    @property
    def cycles_per_beat(self) -> int:
        """Of the beats of one image: the beat, then its lanes one by one. Serial: the beat."""
        return 1 if self.parameters.serial else 1 + self.parameters.lanes

    @property
    def power_cycles(self) -> int:
        return self.parameters.classes + POWER_STAGES

    @property
    def division_cycles(self) -> int:
        """Of a class: the exponential from its memory, the division."""
        return 1 + self.divider.cycles_per_beat

    @property
    def latency(self) -> int:
        """The lanes of the last beat, the exponentials, the divisions, the first beat filled."""
        p = self.parameters
        if p.serial:
            return 1 + p.classes * (POWER_CYCLES + QUOTIENT_CYCLES) + 1
        filling = min(p.lanes, p.classes)
        return p.lanes + 1 + self.power_cycles + p.classes * self.division_cycles + filling + 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        if p.serial:
            m.submodules.serial = serial = SerialSoftmax(p)
            wiring.connect(m, wiring.flipped(self.i), serial.i)
            wiring.connect(m, serial.o, wiring.flipped(self.o))
            return m
        m.submodules.divider = self.divider
        m.submodules.logits = logits = exclusive_memory(signed(p.magnitude_bits + 1), p.classes)
        m.submodules.powers = powers = exclusive_memory(WORD, p.classes)
        work = _Work(
            number=Signal(range(p.classes + 1)),
            label=Signal(range(p.classes)),
            largest=Signal(signed(p.magnitude_bits + 1)),
            total=Signal(p.divider.denominator_bits),
            others=Signal(WORD),
            write_logit=logits.write_port(),
            write_power=powers.write_port(),
            power=powers.read_port(),
        )
        logit = logits.read_port()
        m.d.comb += [logit.addr.eq(work.number), work.power.addr.eq(work.number)]
        entering = Signal()
        power = self._power(m, entering, work.number, work.largest, logit.data)
        with m.FSM():
            self._take(m, work)
            self._exponentials(m, work, entering, power)
            self._divide(m, work)
            self._give(m, work)
        return m

    def _take(self, m: Module, work: _Work) -> None:
        """A beat, then its lanes one by one into the memory; their maximum."""
        p = self.parameters
        elements = Signal(self.i.payload.elements.shape())
        mask, ends, lane = Signal(p.lanes), Signal(), _Turn(p.lanes, "lane")
        width = p.magnitude_bits + 1
        m.d.comb += [work.write_logit.addr.eq(work.number), work.write_logit.data.eq(elements[0])]
        with m.State("beat"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(self.i.valid):
                m.d.sync += [
                    elements.eq(self.i.payload.elements),
                    mask.eq(self.i.payload.mask),
                    ends.eq(self.i.payload.last),
                    work.label.eq(self.i.payload.label),
                ]
                lane.restart(m)
                m.next = "lanes"
        with m.State("lanes"):
            m.d.comb += work.write_logit.en.eq(mask[0])
            m.d.sync += [elements.as_value().eq(elements.as_value()[width:]), mask.eq(mask[1:])]
            lane.pass_on(m)
            with m.If(mask[0]):
                m.d.sync += work.number.eq(work.number + 1)
                with m.If((work.number == 0) | (elements[0] > work.largest)):
                    m.d.sync += work.largest.eq(elements[0])
            with m.If(lane.is_last):
                m.next = "beat"
                with m.If(ends):
                    m.d.sync += [work.number.eq(0), work.total.eq(0), work.others.eq(0)]
                    m.next = "exponentials"

    def _exponentials(self, m: Module, work: _Work, entering: Signal, result: tuple[Value, Value, Value]) -> None:
        """All exponentials into the second memory; their sum."""
        power, valid, number = result
        with m.State("exponentials"):
            m.d.comb += [
                entering.eq(work.number != self.parameters.classes),
                work.write_power.addr.eq(number),
                work.write_power.data.eq(power),
                work.write_power.en.eq(valid),
            ]
            with m.If(entering):
                m.d.sync += work.number.eq(work.number + 1)
            with m.If(valid):
                m.d.sync += work.total.eq(work.total + power)
            with m.If(valid & (number == self.parameters.classes - 1)):
                m.d.sync += work.number.eq(0)
                m.next = "exponential"

    def _divide(self, m: Module, work: _Work) -> None:
        """Every exponential becomes a probability, in its place; the sum of those beside the label."""
        i, o = self.divider.i, self.divider.o
        m.d.comb += [
            i.payload.numerator.eq(Cat(Const(0, SOFTMAX_FRACTION_BITS), work.power.data)),
            i.payload.denominator.eq(work.total),
        ]
        with m.State("exponential"):
            m.next = "divide"
        with m.State("divide"):
            m.d.comb += i.valid.eq(1)
            with m.If(i.ready):
                m.next = "quotient"
        with m.State("quotient"):
            m.d.comb += [
                o.ready.eq(1),
                work.write_power.addr.eq(work.number),
                work.write_power.data.eq(o.payload.quotient),
                work.write_power.en.eq(o.valid),
            ]
            with m.If(o.valid):
                with m.If(work.number != work.label):
                    m.d.sync += work.others.eq(work.others + o.payload.quotient)
                m.d.sync += work.number.eq(work.number + 1)
                m.next = "exponential"
                with m.If(work.number == self.parameters.classes - 1):
                    m.d.sync += work.number.eq(0)
                    m.next = "gather"

    def _give(self, m: Module, work: _Work) -> None:
        """Beats of errors, filled lane by lane: a probability read in one cycle is put into its lane in the next."""
        p, result = self.parameters, self.o.payload
        place, gathered, full, ends = _Turn(p.lanes, "place"), Signal(), Signal(), Signal()
        previous = Signal.like(work.number)
        m.d.sync += previous.eq(work.number)
        m.d.comb += [
            ends.eq(previous == p.classes - 1),
            full.eq(gathered & (place.is_last | ends)),
        ]
        with m.State("gather"):
            with m.If(full):
                m.d.sync += [gathered.eq(0), work.number.eq(previous + 1), self.o.valid.eq(1), result.last.eq(ends)]
                m.next = "offer"
            with m.Else():
                m.d.sync += [gathered.eq(1), work.number.eq(work.number + 1)]
            with m.If(gathered):
                m.d.sync += [
                    result.elements[place.number].eq(Mux(previous == work.label, work.others, -work.power.data)),
                    result.mask.bit_select(place.number, 1).eq(1),
                ]
                place.pass_on(m)
        with m.State("offer"), m.If(self.o.ready):
            m.d.sync += [self.o.valid.eq(0), result.mask.eq(0)]
            place.restart(m)
            m.next = "gather"
            with m.If(result.last):
                m.d.sync += work.number.eq(0)
                m.next = "beat"

    def _power(
        self, m: Module, entering: Value, number: Value, largest: Value, logit: Value
    ) -> tuple[Signal, Value, Value]:
        """The exponential of the logit that is read from the memory, with the number of its class."""
        p = self.parameters
        half = p.adc_fraction - 1
        coarse_table, fine_table = exponential_tables(p.adc_fraction)
        m.submodules.coarse = coarse = Memory(shape=WORD, depth=len(coarse_table), init=coarse_table.tolist())
        m.submodules.fine = fine = Memory(
            shape=FINE_FRACTION_BITS + 1, depth=max(2, len(fine_table)), init=fine_table.tolist()
        )
        coarse_entry, fine_entry = coarse.read_port(), fine.read_port()
        always = Const(1)
        distance = Signal(p.magnitude_bits + 1)
        address = Signal(half + len(coarse_entry.addr))
        inside = Signal()
        product = Signal(WORD + FINE_FRACTION_BITS + 1)
        power = Signal(WORD)
        valid = delayed(m, always, entering, POWER_STAGES, "power_valid")[-1]
        numbers = delayed(m, always, number, POWER_STAGES, "power_number")[-1]
        coarse_factor = delayed(m, always, coarse_entry.data, 1, "coarse_factor")[-1]
        fine_factor = delayed(m, always, fine_entry.data, 1, "fine_factor")[-1]
        inside_late = delayed(m, always, inside, 3, "inside")[-1]
        m.d.sync += [
            distance.eq(largest - logit),
            address.eq(distance),
            inside.eq(distance < EXPONENTIAL_RANGE << p.adc_fraction),
            product.eq(coarse_factor * fine_factor),
            power.eq(Mux(inside_late, rounded(product[FINE_FRACTION_BITS - 1 :]), 0)),
        ]
        m.d.comb += [coarse_entry.addr.eq(address[half:]), fine_entry.addr.eq(address[:half])]
        return power, valid, numbers
