"""`host` for the smallest FPGAs: the same words of the bus (hdl/network/host.py), of which next to nothing is copied.

A word of ``bus`` stays at the port until what it is for has taken it, and what is read stays where it comes from until the
reply is taken; in between only the kind of the read is kept, so that nobody has to take a reply to have a read taken. No word
is wider than the bus, so there is no register *high*. Cycles, images and errors are words of the counters' memory (hdl/network/compact_counters.py).
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring

from hdl.network.compact_counters import FIRST_OF_HOST
from hdl.network.host import BUS_BITS, LANE_BITS, SPACE_BIT, HostPorts, Register, Space


class CompactHost(wiring.Component):
    """As Host; ``pixel_bits``: of the number of the last pixel."""

    def __init__(self, identity: int, ports: HostPorts, *, pixel_bits: int) -> None:
        self.identity = identity
        super().__init__(ports.members(pixel_bits))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request = self.bus.payload
        offset, space = request.address[:SPACE_BIT], request.address[SPACE_BIT:]
        number = offset[: Register.as_shape().width]
        registers = {Register.LAST_LAYER: self.last_layer, Register.LAST_PIXEL: self.last_pixel}
        is_register, is_descriptor = space == Space.REGISTERS.value, space == Space.DESCRIPTORS.value
        is_count = (space == Space.COUNTERS.value) | (
            is_register & (number >= Register.CYCLES.value) & (number <= Register.ERRORS.value) & ~offset[3:].any()
        )
        to_tile, to_crossbar = space == Space.GENERATORS.value, space >= Space.CROSSBAR.value
        access, serve = Signal(), Signal()
        tile, crossbar = self.tile_access.payload, self.crossbar_access.payload
        m.d.comb += [
            self.busy.eq(access | serve),
            *(port.address.eq(offset) for port in (self.descriptors_read, self.descriptors_write)),
            *(
                port.address.eq(Mux(is_register, FIRST_OF_HOST - Register.CYCLES.value + number, offset))
                for port in (self.counters_read, self.counters_write)
            ),
            *(port.data.eq(request.data) for port in (self.descriptors_write, self.counters_write)),
            self.descriptors_read.enable.eq(access & is_descriptor),
            self.descriptors_write.enable.eq(access & is_descriptor & request.write),
            self.counters_read.enable.eq(access & is_count),
            self.counters_write.enable.eq(access & is_count & request.write),
            tile.beat.eq(offset[LANE_BITS:]),
            tile.generator.eq(offset[:LANE_BITS]),
            tile.write.eq(request.write),
            tile.state.eq(request.data),
            crossbar.space.eq(space - Space.CROSSBAR.value),
            crossbar.address.eq(offset[LANE_BITS:]),
            crossbar.lane.eq(offset[:LANE_BITS]),
            crossbar.write.eq(request.write),
            crossbar.data.eq(request.data),
            self.tile_access.valid.eq(access & to_tile),
            self.crossbar_access.valid.eq(access & to_crossbar),
        ]
        with m.Switch(offset):
            for which, register in registers.items():
                with m.Case(which.value), m.If(access & is_register & request.write):
                    m.d.sync += register.eq(request.data)
        # Of the read that is answered: what it is of, none of them for a register that there is not; and which register.
        of_register = is_register & ~offset[len(number) :].any()
        asked = Cat(is_count, of_register & ~is_count, is_descriptor, to_tile, to_crossbar)
        kinds, kept = Signal(len(asked)), Signal.like(number)
        with m.If(access):
            m.d.sync += [kinds.eq(asked), kept.eq(number)]
        plain = Signal(BUS_BITS)
        with m.Switch(kept):
            for which, register in registers.items():
                with m.Case(which.value):
                    m.d.comb += plain.eq(register)
            with m.Case(Register.IDENTITY.value):
                m.d.comb += plain.eq(self.identity)
        there = Signal(init=1)
        sources = (
            (1, self.counters_read.data),
            (1, plain),
            (1, self.descriptors_read.data),
            (self.tile_answer.valid, self.tile_answer.payload.state),
            (self.crossbar_answer.valid, self.crossbar_answer.payload.data),
        )
        for kind, (valid, word) in zip(kinds, sources, strict=True):
            with m.If(kind):
                m.d.comb += [there.eq(valid), self.reply.payload.data.eq(word)]
        *_, of_tile, of_crossbar = kinds
        taken = serve & there & self.reply.ready
        m.d.comb += [
            self.reply.valid.eq(serve & there),
            self.tile_answer.ready.eq(taken & of_tile),
            self.crossbar_answer.ready.eq(taken & of_crossbar),
        ]
        with m.FSM():
            with m.State("idle"):
                with m.If(self.bus.valid & self.allowed):
                    m.next = "access"
            with m.State("access"):
                m.d.comb += access.eq(1)
                with m.If(Mux(to_tile, self.tile_access.ready, Mux(to_crossbar, self.crossbar_access.ready, 1))):
                    m.d.comb += self.bus.ready.eq(1)
                    m.next = "idle"
                    with m.If(~request.write):
                        m.next = "serve"
            with m.State("serve"):
                m.d.comb += serve.eq(1)
                with m.If(taken):
                    m.next = "idle"
        return m
