"""`average`: the mean over the devices of a weight: the copies of a vector added up, times a constant reciprocal.

    mean_k = rs(total_k * recip, 16 - g),  total_k = sum of the copies' i_k;   recip = 2^16 / d, rounded;  g = bl(d - 1)

Model: emulator/periphery/average.py, for vectors of arrays with any ``d`` among ``replications``. ``i``: ``copies * beats``
beats of signed codes, copy by copy, ``last`` on the final one, with ``beats``, ``copies``, ``reciprocal`` and ``guard_bits``
of their vector; ``copies`` = d where the sensed side is replicated, else 1, the analog sum holding all copies already.
``o``: ``beats`` beats of means with g more fraction bits, while the last copy comes in. A ``sideband`` travels along where
it has bits. A beat per cycle; ``latency`` cycles.

Where every d is a power of two, shift and reciprocal cancel: totals are means. Else a `scaler` that cannot saturate makes
them. With one d only, reciprocal and guard bits are constants, and the words that come in are not looked at.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed, unsigned
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
from hdl.shapes import beat, index_for, signed_for, stream_of, width_for

#: Of the most devices for a weight that the config accepts.
MOST_GUARD_BITS = 6


def guard_bits_of(replication: int) -> int:
    """As Stage.average_guard_bits."""
    return (replication - 1).bit_length()


def reciprocal_of(replication: int) -> int:
    """As Stage.average_reciprocal."""
    return ((2 << AVERAGE_BITS) + replication) // (2 * replication)


class AverageParameters(Parameters):
    lanes: int = Field(8, ge=1, le=64, description="elements per beat")
    magnitude_bits: int = Field(18, ge=1, le=46, description="bits of a code's magnitude, sign excluded")
    fewest_beats: int = Field(4, ge=1, le=65536, description="beats of one copy of the shortest vector")
    beats: int = Field(4, ge=1, le=65536, description="beats of one copy of the longest vector")
    copies: int = Field(1, ge=1, le=64, description="most copies that come in: 1, or the largest replication")
    replications: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (1,), min_length=1, description="devices per weight, of every array"
    )
    sideband_bits: int = Field(0, ge=0, le=64, description="bits that travel along with a beat; 0: no such field")

    @model_validator(mode="after")
    def _consistent(self) -> AverageParameters:
        most = max(self.replications)
        if self.copies not in (1, most):
            raise ValueError(f"copies = {self.copies}: accepted: 1, or the largest replication, {most}")
        if self.fewest_beats > self.beats:
            raise ValueError(f"fewest_beats = {self.fewest_beats}: accepted: at most beats = {self.beats}")
        return self

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> AverageParameters:
        """Of reads that sense the replicated side: forward if the rows are replicated, else backward."""
        read = stage.forward if stage.replicate_rows else stage.backward
        beats = replicated_side(stage, lanes).beats
        return cls(
            lanes=lanes,
            magnitude_bits=(read.limit << read.bound_management).bit_length(),
            fewest_beats=beats,
            beats=beats,
            copies=stage.array.replication,
            replications=(stage.array.replication,),
        )

    @property
    def scales(self) -> bool:
        """Whether means differ from totals."""
        return any(d != 1 << guard_bits_of(d) for d in self.replications)

    @property
    def shifts(self) -> tuple[int, int]:
        """Lowest and highest shift behind the reciprocal."""
        guards = [guard_bits_of(d) for d in self.replications]
        return AVERAGE_BITS - max(guards), AVERAGE_BITS - min(guards)

    def largest_total_of(self, replication: int) -> int:
        return min(self.copies, replication) * ((1 << self.magnitude_bits) - 1)

    @property
    def largest_total(self) -> int:
        return self.largest_total_of(max(self.replications))

    @property
    def mean_magnitude_bits(self) -> int:
        """Of the largest mean, rounding included: it has a ``signed(mean_magnitude_bits + 1)``."""
        means = []
        for d in self.replications:
            shift = AVERAGE_BITS - guard_bits_of(d)
            means.append(self.largest_total_of(d) * reciprocal_of(d) + (1 << shift >> 1) >> shift)
        return max(means).bit_length()

    @property
    def scaler(self) -> ScalerParameters:
        """Its limit is that of all words of its factors, so that it has none to check; means need fewer bits."""
        lowest, highest = self.shifts
        total_bits = self.largest_total.bit_length()
        reciprocal_bits = reciprocal_of(min(self.replications)).bit_length()
        return ScalerParameters(
            lanes=self.lanes,
            magnitude_bits=total_bits,
            multiplier_bits=reciprocal_bits,
            lowest_shift=lowest,
            highest_shift=highest,
            limit=1 << (total_bits + reciprocal_bits - lowest),
            sideband_bits=self.sideband_bits,
        )


class Average(Block[AverageParameters]):
    #: Registers from a beat to its sum: the input, the memory's output, the sum. A copy of one beat more finds in the
    #: memory what the copy before it wrote; the sums of a shorter one stay in registers.
    MEMORY_STAGES = 3
    REGISTER_STAGES = 2

    def __init__(self, parameters: AverageParameters) -> None:
        p = parameters
        self._sideband = {"sideband": unsigned(p.sideband_bits)} if p.sideband_bits else {}
        # What holds for a vector; `delayed` where it is needed.
        self._constants = {
            "reciprocal": unsigned(width_for(reciprocal_of(min(p.replications)))),
            "guard_bits": unsigned(width_for(MOST_GUARD_BITS)),
        }
        self._total = beat(signed_for(p.largest_total), p.lanes, **self._sideband, **self._constants)
        self._scaler = Scaler(p.scaler) if p.scales else None
        super().__init__(
            p,
            {
                "i": In(
                    stream_of(
                        beat(
                            signed(p.magnitude_bits + 1),
                            p.lanes,
                            **self._sideband,
                            beats=width_for(p.beats),
                            copies=width_for(p.copies),
                            **self._constants,
                        )
                    )
                ),
                "o": Out(stream_of(beat(signed(p.mean_magnitude_bits + 1), p.lanes, **self._sideband))),
            },
        )

    @property
    def in_memory(self) -> bool:
        """Whether the sums of the longest vectors lie in a memory."""
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
            m.d.comb += [totals.valid.eq(self.i.valid), self.i.ready.eq(totals.ready)]
            self._copy_with_constants(m, self.i.payload, totals.payload)
        else:
            self._register(m, totals)
        if self._scaler:
            m.submodules.scaler = scaler = self._scaler
            self._pass(m, totals, scaler.i)
            reciprocal, shift = self._factors(totals.payload)
            m.d.comb += [scaler.i.payload.multiplier.eq(reciprocal), scaler.i.payload.shift.eq(shift)]
            self._pass(m, scaler.o, self.o)
        else:
            self._pass(m, totals, self.o)
        return m

    def _factors(self, total: data.View) -> tuple[Value, Value]:
        """Reciprocal and shift of a vector."""
        p = self.parameters
        if len(p.replications) == 1:
            return Const(reciprocal_of(p.replications[0])), Const(p.shifts[0])
        return total.reciprocal, AVERAGE_BITS - total.guard_bits

    def _pass(self, m: Module, source: wiring.PureInterface, target: wiring.PureInterface) -> None:
        m.d.comb += [target.valid.eq(source.valid), source.ready.eq(target.ready)]
        self._copy(m, source.payload, target.payload)

    def _copy(self, m: Module, source: data.View, target: data.View) -> None:
        """Words differ in width, not in value: signs are extended, or surplus copies of them dropped."""
        for lane in range(self.parameters.lanes):
            m.d.comb += target.elements[lane].eq(source.elements[lane])
        for name in ("mask", "last", *self._sideband):
            m.d.comb += target[name].eq(source[name])

    def _copy_with_constants(self, m: Module, source: data.View, target: data.View) -> None:
        self._copy(m, source, target)
        m.d.comb += [target[name].eq(source[name]) for name in self._constants]

    def _register(self, m: Module, totals: wiring.PureInterface) -> None:
        """One copy: its codes are the totals."""
        advance, _ = pipeline(m, self.i, totals, 1)
        self._copy(m, delayed(m, advance, self.i.payload, 1, "code")[-1], totals.payload)

    def _add(self, m: Module, totals: wiring.PureInterface) -> None:
        """Every beat is added to the sum of the same beat of the copy before; the sums of the last copy are given."""
        p = self.parameters
        work = self.i.payload
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
        last_copy = copy == work.copies - 1
        with m.If(taken):
            m.d.sync += address.eq(address + 1)
            with m.If(address == work.beats - 1):
                m.d.sync += [address.eq(0), copy.eq(Mux(last_copy, 0, copy + 1))]

        valid = delayed(m, advance, self.i.valid, stages, "valid")
        complete = delayed(m, advance, last_copy, stages, "complete")
        first = delayed(m, advance, copy == 0, stages, "first")[stages - 1]
        code = delayed(m, advance, work, stages, "code")
        m.d.comb += totals.valid.eq(valid[-1] & complete[-1])
        for name in ("mask", "last", *self._sideband, *self._constants):
            m.d.comb += totals.payload[name].eq(code[-1][name])

        row = data.ArrayLayout(signed_for(p.largest_total), p.lanes)
        before, total = Signal(row), Signal(row)
        add = Signal()
        m.d.comb += add.eq(advance & valid[stages - 1])
        for lane in range(p.lanes):
            with m.If(add):
                m.d.sync += total[lane].eq(code[stages - 1].elements[lane] + Mux(first, 0, before[lane]))
            m.d.comb += totals.payload.elements[lane].eq(total[lane])

        # The sums of the last few beats, the latest in `total`: of a vector of k beats the k-th is that of the same beat.
        recent = []
        if p.fewest_beats <= self.MEMORY_STAGES:
            recent = [total, *(Signal(row, name=f"sum_{age}") for age in range(1, min(p.beats, self.MEMORY_STAGES)))]
        with m.If(add):
            for newer, older in pairwise(recent):
                m.d.sync += older.eq(newer)
        if self.in_memory:
            m.submodules.memory = memory = Memory(shape=row, depth=max(2, p.beats), init=[])
            write, read = memory.write_port(), memory.read_port()
            stored = Signal(row)
            m.d.comb += [
                read.addr.eq(address),
                read.en.eq(advance),
                write.addr.eq(delayed(m, advance, address, stages, "address")[-1]),
                write.data.eq(total),
                write.en.eq(advance & valid[-1]),
                before.eq(stored),
            ]
            with m.If(advance):
                m.d.sync += stored.eq(read.data)
        for beats, kept in enumerate(recent, start=1):
            with m.If(code[stages - 1].beats == beats):
                m.d.comb += before.eq(kept)
