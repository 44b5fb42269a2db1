"""`average`: the mean over the devices of a weight: the copies of a vector added up, times a constant reciprocal.

    mean_k = rs(total_k * recip, 16 - g),  total_k = sum of the copies' i_k;   recip = 2^16 / d, rounded;  g = bl(d - 1)

Model: emulator/periphery/average.py, with d the ``replication``. ``i``: ``copies * beats`` beats of signed codes, copy by
copy, ``last`` on the final one; ``copies`` = d where the sensed side is replicated, else 1, the analog sum holding all
copies already. ``o``: ``beats`` beats of means with g more fraction bits, while the last copy comes in. A ``sideband``
travels along where it has bits. A beat per cycle; ``latency`` cycles.

For a power of two, shift and reciprocal cancel: totals are means. Else a `scaler` that cannot saturate makes them.
"""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pydantic import Field, model_validator

from emulator.config import Stage
from emulator.fixed import AVERAGE_BITS
from hdl.block import Block, Parameters
from hdl.periphery.replicate import replicated_side
from hdl.periphery.scaler import Scaler, ScalerParameters
from hdl.pipeline import delayed, pipeline
from hdl.shapes import beat, index_for, signed_for, stream_of


class AverageParameters(Parameters):
    lanes: int = Field(8, ge=1, le=64, description="elements per beat")
    magnitude_bits: int = Field(18, ge=1, le=46, description="bits of a code's magnitude, sign excluded")
    beats: int = Field(4, ge=1, le=65536, description="beats of one copy")
    copies: int = Field(1, ge=1, le=64, description="copies that come in: 1, or as many as replication")
    replication: int = Field(1, ge=1, le=64, description="devices per weight")
    sideband_bits: int = Field(0, ge=0, le=64, description="bits that travel along with a beat; 0: no such field")

    @model_validator(mode="after")
    def _consistent(self) -> AverageParameters:
        if self.copies not in (1, self.replication):
            raise ValueError(f"copies = {self.copies}: accepted: 1, or replication = {self.replication}")
        return self

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> AverageParameters:
        """Of reads that sense the replicated side: forward if the rows are replicated, else backward."""
        read = stage.forward if stage.replicate_rows else stage.backward
        return cls(
            lanes=lanes,
            magnitude_bits=(read.limit << read.bound_management).bit_length(),
            beats=replicated_side(stage, lanes).beats,
            copies=stage.array.replication,
            replication=stage.array.replication,
        )

    @property
    def guard_bits(self) -> int:
        return (self.replication - 1).bit_length()

    @property
    def reciprocal(self) -> int:
        """As Stage.average_reciprocal."""
        return ((2 << AVERAGE_BITS) + self.replication) // (2 * self.replication)

    @property
    def scales(self) -> bool:
        """Whether means differ from totals."""
        return self.replication != 1 << self.guard_bits

    @property
    def largest_total(self) -> int:
        return self.copies * ((1 << self.magnitude_bits) - 1)

    @property
    def mean_magnitude_bits(self) -> int:
        """Of the largest mean, rounding included: it has a ``signed(mean_magnitude_bits + 1)``."""
        shift = AVERAGE_BITS - self.guard_bits
        return (self.largest_total * self.reciprocal + (1 << shift >> 1) >> shift).bit_length()

    @property
    def scaler(self) -> ScalerParameters:
        """Its limit is that of all words of its factors, so that it has none to check; means need fewer bits."""
        shift = AVERAGE_BITS - self.guard_bits
        total_bits, reciprocal_bits = self.largest_total.bit_length(), self.reciprocal.bit_length()
        return ScalerParameters(
            lanes=self.lanes,
            magnitude_bits=total_bits,
            multiplier_bits=reciprocal_bits,
            lowest_shift=shift,
            highest_shift=shift,
            limit=1 << (total_bits + reciprocal_bits - shift),
            sideband_bits=self.sideband_bits,
        )


class Average(Block[AverageParameters]):
    #: Registers from a beat to its sum: the input, the memory's output, the sum. A copy of as many beats, and one more,
    #: finds in the memory what the copy before it wrote; the sums of a shorter one stay in registers.
    MEMORY_STAGES = 3
    REGISTER_STAGES = 2

    def __init__(self, parameters: AverageParameters) -> None:
        p = parameters
        self._sideband = {"sideband": unsigned(p.sideband_bits)} if p.sideband_bits else {}
        self._total = beat(signed_for(p.largest_total), p.lanes, **self._sideband)
        self._scaler = Scaler(p.scaler) if p.scales else None
        super().__init__(
            p,
            {
                "i": In(stream_of(beat(signed(p.magnitude_bits + 1), p.lanes, **self._sideband))),
                "o": Out(stream_of(beat(signed(p.mean_magnitude_bits + 1), p.lanes, **self._sideband))),
            },
        )

    @property
    def in_memory(self) -> bool:
        """Whether the sums lie in a memory."""
        return self.parameters.copies > 1 and self.parameters.beats > self.MEMORY_STAGES

    @property
    def adding_stages(self) -> int:
        if self.parameters.copies == 1:
            return 0 if self.parameters.scales else 1
        return self.MEMORY_STAGES if self.in_memory else self.REGISTER_STAGES

    @property
    def latency(self) -> int:
        """From a beat of the last copy to its means."""
        return self.adding_stages + (self._scaler.latency if self._scaler else 0)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        totals = stream_of(self._total).create()
        if p.copies > 1:
            self._add(m, totals)
        elif self._scaler:
            self._pass(m, self.i, totals)
        else:
            self._register(m, totals)
        if self._scaler:
            m.submodules.scaler = scaler = self._scaler
            self._pass(m, totals, scaler.i)
            m.d.comb += [
                scaler.i.payload.multiplier.eq(p.reciprocal),
                scaler.i.payload.shift.eq(p.scaler.lowest_shift),
            ]
            self._pass(m, scaler.o, self.o)
        else:
            self._pass(m, totals, self.o)
        return m

    def _pass(self, m: Module, source: wiring.PureInterface, target: wiring.PureInterface) -> None:
        m.d.comb += [target.valid.eq(source.valid), source.ready.eq(target.ready)]
        self._copy(m, source.payload, target.payload)

    def _copy(self, m: Module, source: data.View, target: data.View) -> None:
        """Words differ in width, not in value: signs are extended, or surplus copies of them dropped."""
        for lane in range(self.parameters.lanes):
            m.d.comb += target.elements[lane].eq(source.elements[lane])
        for name in ("mask", "last", *self._sideband):
            m.d.comb += target[name].eq(source[name])

    def _register(self, m: Module, totals: wiring.PureInterface) -> None:
        """One copy: its codes are the totals."""
        advance, _ = pipeline(m, self.i, totals, 1)
        self._copy(m, delayed(m, advance, self.i.payload, 1, "code")[-1], totals.payload)

    def _add(self, m: Module, totals: wiring.PureInterface) -> None:
        """Every beat is added to the sum of the same beat of the copy before; the sums of the last copy are given."""
        p = self.parameters
        stages = self.adding_stages
        address = Signal(index_for(p.beats))
        copy = Signal(index_for(p.copies))
        advance = Signal()
        taken = Signal()
        m.d.comb += [
            advance.eq(~totals.valid | totals.ready),
            self.i.ready.eq(advance),
            taken.eq(advance & self.i.valid),
        ]
        with m.If(taken):
            m.d.sync += address.eq(address + 1)
            with m.If(address == p.beats - 1):
                m.d.sync += [address.eq(0), copy.eq(Mux(copy == p.copies - 1, 0, copy + 1))]

        valid = delayed(m, advance, self.i.valid, stages, "valid")
        complete = delayed(m, advance, copy == p.copies - 1, stages, "complete")
        first = delayed(m, advance, copy == 0, stages, "first")[stages - 1]
        code = delayed(m, advance, self.i.payload, stages, "code")
        m.d.comb += totals.valid.eq(valid[-1] & complete[-1])
        for name in ("mask", "last", *self._sideband):
            m.d.comb += totals.payload[name].eq(code[-1][name])

        row = data.ArrayLayout(signed_for(p.largest_total), p.lanes)
        before, total = Signal(row), Signal(row)
        add = Signal()
        m.d.comb += add.eq(advance & valid[stages - 1])
        for lane in range(p.lanes):
            with m.If(add):
                m.d.sync += total[lane].eq(code[stages - 1].elements[lane] + Mux(first, 0, before[lane]))
            m.d.comb += totals.payload.elements[lane].eq(total[lane])

        if self.in_memory:
            m.submodules.memory = memory = Memory(shape=row, depth=max(2, p.beats), init=[])
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                read.addr.eq(address),
                read.en.eq(advance),
                write.addr.eq(delayed(m, advance, address, stages, "address")[-1]),
                write.data.eq(total),
                write.en.eq(advance & valid[-1]),
            ]
            with m.If(advance):
                m.d.sync += before.eq(read.data)
        else:
            # The sums of the last `beats` beats, the latest in `total`.
            sums = [total, *(Signal(row, name=f"sum_{age}") for age in range(1, p.beats))]
            with m.If(add):
                for newer, older in pairwise(sums):
                    m.d.sync += older.eq(newer)
            m.d.comb += before.eq(sums[-1])
