"""`pulse_generator`: the stochastic translator of the lines, from probability words to trains of BL pulses.

In every slot a line fires if the highest bits of its generator's fresh word are below its probability:

    rotated word >> (24 - probability_bits) < probability,    rotated left by (lane mod k) * (24 // k), k lines a generator

Model: emulator/periphery/pulse_generator.py, docs/arithmetic.md section 13. ``i``: beats of probabilities ``0 ..
2**probability_bits`` with the lines' signs; ``o``: the same beats, every element a train, slot s in bit s. Beats up to one
with ``end`` are one update cycle, columns and rows together; ``last`` is passed along. ``desired_bl`` and ``base`` hold for a
cycle: its beat b uses word ``base + b`` of the generators' memories, and every generator of a beat draws BL words, whatever
mask and probability. Arrays have words of their own, and a cycle has at least ``fewest_beats``. A beat takes BL cycles.

``access`` reads and writes states between update cycles, ``answer`` gives the states read. An access that waits at the
end of a cycle goes before the next cycle. A written state of 0 is stored as 1, so no generator locks up; before the
first write all states are 1. Reset ends the update cycle under way and keeps the states.

Inside: *fetch* holds a beat while its states come out of the memories; *draw* holds it for BL cycles, in which the states
advance in registers and the words are compared; the trains grow in the output register. States return to the memories
with the last slot.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, enum, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pydantic import Field, model_validator

from emulator.config import Stage
from emulator.fixed import WORD_BITS
from hdl.block import Block, Parameters
from hdl.memory import exclusive_memory
from hdl.periphery.lfsr import LfsrParameters, next_state
from hdl.serial.pulse_generator import BEAT_CYCLES, SerialPulseGenerator
from hdl.shapes import Segments, beat, index_for, record, stream_of, width_for

#: With so few beats in a cycle a state is read in the cycle in which it is written.
BEATS_IN_FLIGHT = 2


class PulseGeneratorParameters(Parameters):
    lanes: int = Field(8, ge=1, le=64, description="lines per beat")
    beats: int = Field(4, ge=1, le=65536, description="beats whose states are kept: update cycles of all arrays")
    fewest_beats: int = Field(4, ge=1, le=65536, description="beats of the shortest update cycle")
    desired_bl: int = Field(10, ge=1, le=63, description="largest BL, slots of a train")
    probability_bits: int = Field(24, ge=2, le=WORD_BITS, description="fraction bits of a probability, 1.0 included")
    generator_width: int = Field(64, description="bits of a generator's state: 32, 48 or 64")
    generator_sharing: int = Field(1, ge=1, le=WORD_BITS, description="neighbouring lanes that share a generator")
    sideband_bits: int = Field(0, ge=0, le=64, description="bits passed along beside a beat; 0: no such field")
    serial: bool = Field(False, description="a beat at a time, of 1 lane: small and slow")

    @model_validator(mode="after")
    def _check(self) -> PulseGeneratorParameters:
        LfsrParameters(width=self.generator_width)
        if self.lanes % self.generator_sharing:
            divisors = [k for k in range(1, min(self.lanes, WORD_BITS) + 1) if self.lanes % k == 0]
            raise ValueError(
                f"generator_sharing = {self.generator_sharing}: must divide lanes = {self.lanes}; accepted: {divisors}"
            )
        if self.serial and self.lanes > 1:
            raise ValueError(f"serial: accepted: with lanes = 1, not {self.lanes}")
        if self.fewest_beats > self.beats:
            raise ValueError(f"fewest_beats = {self.fewest_beats}: accepted: at most beats = {self.beats}")
        return self

    @property
    def generators(self) -> int:
        """Generators of a beat."""
        return self.lanes // self.generator_sharing

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> PulseGeneratorParameters:
        """Every copy of a replicated line begins in a beat of its own."""
        update, copies = stage.array.update, stage.array.replication
        columns = Segments((stage.columns,) * (1 if stage.replicate_rows else copies), lanes)
        rows = Segments((stage.rows,) * (copies if stage.replicate_rows else 1), lanes)
        return cls(
            lanes=lanes,
            beats=columns.beats + rows.beats,
            fewest_beats=columns.beats + rows.beats,
            desired_bl=update.desired_bl,
            probability_bits=update.probability_bits,
            generator_width=stage.generator_width,
            generator_sharing=update.generator_sharing,
        )


class _Access(enum.Enum):
    IDLE = 0
    #: The memory is written, or its read port given the address.
    SERVE = 1
    #: The word read is chosen from those of all generators.
    CHOOSE = 2


class PulseGenerator(Block[PulseGeneratorParameters]):
    def __init__(self, parameters: PulseGeneratorParameters) -> None:
        lanes, width = parameters.lanes, parameters.generator_width
        side = {"negative": lanes} | ({"sideband": parameters.sideband_bits} if parameters.sideband_bits else {})
        cycle = {"desired_bl": width_for(parameters.desired_bl), "base": width_for(parameters.beats - 1)}
        request = record(
            beat=width_for(parameters.beats - 1), generator=width_for(parameters.generators - 1), write=1, state=width
        )
        super().__init__(
            parameters,
            {
                "i": In(stream_of(beat(parameters.probability_bits + 1, lanes, **side, end=1, **cycle))),
                "o": Out(stream_of(beat(parameters.desired_bl, lanes, **side))),
                "access": In(stream_of(request)),
                "answer": Out(stream_of(record(state=width))),
            },
        )

    @property
    def latency(self) -> int:
        """Fetch, the first draw, and a comparison per slot of the longest train. Serial: a beat is taken as its train is."""
        return 0 if self.parameters.serial else 2 + self.parameters.desired_bl

    @property
    def cycles_per_beat(self) -> int:
        return self.parameters.desired_bl + (BEAT_CYCLES if self.parameters.serial else 0)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        if p.serial:
            m.submodules.serial = serial = SerialPulseGenerator(p, dict(self.signature.members))
            for name, member in self.signature.members.items():
                outer, inner = wiring.flipped(getattr(self, name)), getattr(serial, name)
                wiring.connect(m, *((outer, inner) if member.flow is In else (inner, outer)))
            return m
        between = Signal(init=1)  # no update cycle is under way
        following, address = Signal(index_for(p.beats)), Signal(index_for(p.beats))
        fetched, drawing = Signal(), Signal()
        beat_in_fetch = Signal(self.i.payload.shape())
        beat_in_draw = Signal(self.i.payload.shape())
        number_in_fetch, number_in_draw = Signal.like(address), Signal.like(address)
        slot = Signal(index_for(p.desired_bl))

        # Flow: `advance` moves the trains, `load` takes a beat from fetch to draw, `take` a new one to fetch.
        advance, load, take, finish, hold = Signal(), Signal(), Signal(), Signal(), Signal()
        last_slot = slot == beat_in_draw.desired_bl - 1 if p.desired_bl > 1 else Const(1)
        m.d.comb += [
            address.eq(Mux(between, self.i.payload.base, following)),
            advance.eq(~self.o.valid | self.o.ready),
            finish.eq(advance & drawing & last_slot),
            load.eq(fetched & (finish | (advance & ~drawing))),
            self.i.ready.eq((~fetched | load) & ~hold),
            take.eq(self.i.valid & self.i.ready),
        ]
        with m.If(take):
            m.d.sync += [
                fetched.eq(1),
                beat_in_fetch.eq(self.i.payload),
                number_in_fetch.eq(address),
                following.eq(address + 1),
                between.eq(self.i.payload.end),
            ]
        with m.Elif(load):
            m.d.sync += fetched.eq(0)
        with m.If(load):
            m.d.sync += [drawing.eq(1), beat_in_draw.eq(beat_in_fetch), number_in_draw.eq(number_in_fetch), slot.eq(0)]
        with m.Elif(finish):
            m.d.sync += drawing.eq(0)
        with m.Elif(advance & drawing):
            m.d.sync += slot.eq(slot + 1)

        request, serve, read_states = self._accesses(m, between, ~fetched & ~drawing, hold)
        words = []
        for generator in range(p.generators):
            crowded = p.fewest_beats <= BEATS_IN_FLIGHT
            memory = (Memory if crowded else exclusive_memory)(
                shape=p.generator_width, depth=max(2, p.beats), init=[1] * p.beats
            )
            m.submodules[f"states_{generator}"] = memory
            write = memory.write_port()
            read = memory.read_port(transparent_for=[write] if crowded else [])
            state = Signal(p.generator_width, name=f"state_{generator}")
            # The only beat of a cycle may leave draw while its next one, read before that, enters.
            again = drawing & (number_in_draw == number_in_fetch)
            fresh = Mux(again, state, read.data) if p.fewest_beats == 1 else read.data
            m.d.comb += [
                read.en.eq(take | serve),
                read.addr.eq(Mux(serve, request.beat, address)),
                read_states[generator].eq(read.data),
                write.en.eq(finish | (serve & request.write & (request.generator == generator))),
                write.addr.eq(Mux(serve, request.beat, number_in_draw)),
                write.data.eq(Mux(serve, request.state, state)),
            ]
            with m.If(load):
                m.d.sync += state.eq(next_state(fresh, p.generator_width))
            with m.Elif(advance & drawing & ~finish):
                m.d.sync += state.eq(next_state(state, p.generator_width))
            words.append(state[:WORD_BITS])

        with m.If(advance):
            m.d.sync += self.o.valid.eq(finish)
            for lane in range(p.lanes):
                fires = self._line_word(words, lane)[WORD_BITS - p.probability_bits :] < beat_in_draw.elements[lane]
                train = self.o.payload.elements[lane]
                for place in range(p.desired_bl):
                    m.d.sync += train[place].eq(Mux(slot == place, fires, train[place] & (slot != 0)))
            for name, _ in self.o.payload.shape():
                if name != "elements":
                    m.d.sync += getattr(self.o.payload, name).eq(getattr(beat_in_draw, name))
        return m

    def _accesses(self, m: Module, between: Value, idle: Value, hold: Signal) -> tuple[data.View, Value, data.View]:
        """Accesses, one at a time, while no beat is on its way and none of a cycle is still to come. ``hold`` keeps beats out.

        Returns the request, whether the memories serve it in this cycle, and where their words read are expected.
        """
        p = self.parameters
        request = Signal(self.access.payload.shape())
        step = Signal(_Access)
        m.d.comb += [
            hold.eq(between & (self.access.valid | (step != _Access.IDLE))),
            self.access.ready.eq(between & idle & (step == _Access.IDLE) & ~self.answer.valid),
        ]
        with m.If(self.answer.ready):
            m.d.sync += self.answer.valid.eq(0)
        with m.Switch(step):
            with m.Case(_Access.IDLE):
                with m.If(self.access.valid & self.access.ready):
                    state = self.access.payload.state
                    m.d.sync += [
                        step.eq(_Access.SERVE),
                        request.eq(self.access.payload),
                        request.state.eq(Cat(state[0] | ~state.any(), state[1:])),
                    ]
            with m.Case(_Access.SERVE):
                m.d.sync += step.eq(Mux(request.write, _Access.IDLE, _Access.CHOOSE))
            with m.Case(_Access.CHOOSE):
                m.d.sync += [step.eq(_Access.IDLE), self.answer.valid.eq(1)]

        serve = step == _Access.SERVE
        read_states = Signal(data.ArrayLayout(p.generator_width, p.generators))
        with m.If(step == _Access.CHOOSE):
            m.d.sync += self.answer.payload.state.eq(read_states[request.generator])
        return request, serve, read_states

    def _line_word(self, words: list[Value], lane: int) -> Value:
        """The word of a lane's generator, rotated left."""
        sharing = self.parameters.generator_sharing
        return words[lane // sharing].rotate_left(lane % sharing * (WORD_BITS // sharing))
