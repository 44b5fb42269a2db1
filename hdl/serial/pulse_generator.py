"""The pulse generators of the smallest FPGAs: what `PulseGenerator` is made of where ``serial``, with one lane.

The same trains and states as hdl/periphery/pulse_generator.py has them. A beat stays at ``i`` while its state is read, then
drawn from once per slot and written back, and until its train is taken; so nothing of it is held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring

from emulator.fixed import WORD_BITS
from hdl.memory import exclusive_memory
from hdl.periphery.lfsr import next_state
from hdl.shapes import index_for

if TYPE_CHECKING:
    from hdl.periphery.pulse_generator import PulseGeneratorParameters

#: Cycles of a beat beside its slots: its state read, the train offered.
BEAT_CYCLES = 2


class SerialPulseGenerator(wiring.Component):
    """``streams``: shapes of the payloads, by the names of the streams."""

    def __init__(self, parameters: PulseGeneratorParameters, streams: dict[str, wiring.Member]) -> None:
        self.parameters = parameters
        super().__init__(streams)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        width = p.generator_width
        m.submodules.states = states = exclusive_memory(width, p.beats, [1] * p.beats)
        write, read = states.write_port(), states.read_port()
        between, following = Signal(init=1), Signal(index_for(p.beats))
        slot, given, request = Signal(index_for(p.desired_bl)), self.i.payload, self.access.payload
        address = Mux(between, given.base, following)
        accessing = Signal()
        state = read.data
        if p.desired_bl > 1:
            held = Signal(width)
            state = Mux(slot == 0, read.data, held)
        drawn = next_state(state, width)
        if p.desired_bl > 1:
            m.d.sync += held.eq(drawn)
        last_slot = slot == given.desired_bl - 1 if p.desired_bl > 1 else Const(1)
        train = Signal(p.desired_bl)
        fires = drawn[WORD_BITS - p.probability_bits : WORD_BITS] < given.elements[0]
        written = Cat(request.state[0] | ~request.state.any(), request.state[1:])
        m.d.comb += [
            read.addr.eq(Mux(accessing, request.beat, address)),
            read.en.eq(0),
            write.addr.eq(read.addr),
            write.data.eq(Mux(accessing, written, drawn)),
            self.answer.payload.state.eq(read.data),
            self.o.payload.elements[0].eq(train),
            *(self.o.payload[name].eq(given[name]) for name, _ in self.o.payload.shape() if name != "elements"),
        ]
        with m.FSM():
            with m.State("idle"):
                m.d.sync += slot.eq(0)
                m.d.comb += read.en.eq(1)
                with m.If(between & self.access.valid):
                    m.d.comb += [accessing.eq(1), self.access.ready.eq(1), write.en.eq(request.write)]
                    with m.If(~request.write):
                        m.next = "answer"
                with m.Elif(self.i.valid):
                    m.next = "draw"
            with m.State("draw"):
                m.d.sync += [train.bit_select(slot, 1).eq(fires), slot.eq(slot + 1)]
                m.d.comb += write.en.eq(last_slot)
                with m.If(last_slot):
                    m.next = "offer"
            with m.State("offer"):
                m.d.comb += [self.o.valid.eq(1), self.i.ready.eq(self.o.ready)]
                with m.If(self.o.ready):
                    m.d.sync += [following.eq(address + 1), between.eq(given.end), train.eq(0)]
                    m.next = "idle"
            with m.State("answer"):
                m.d.comb += self.answer.valid.eq(1)
                with m.If(self.answer.ready):
                    m.next = "idle"
        return m
