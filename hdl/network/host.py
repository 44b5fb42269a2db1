"""`host`: the registers and memories of the network, as the words of a bus.

    address = space << 28 | offset

| space | offset |
|---|---|
| 0 registers | 0 last layer, 1 last pixel, 2 cycles, 3 images, 4 errors, 5 identity (read only), 6 high |
| 1 descriptors | layer * parts + part |
| 2 counters | layer * 16 + number |
| 3 pulse generators | beat << 8 \\| generator |
| 4 + n, the crossbar's space n | word << 8 \\| lane |

Accesses are taken while ``allowed``. A read gives one word of ``reply``. Words of the crossbar that are wider than the bus
have their upper bits in the register *high*, which is written before they are; none of those can be read.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hdl.network.memory_ports import reading, writing
from hdl.shapes import record, stream_of

SPACE_BIT = 28
#: Bits of a lane or of a generator, in offsets.
LANE_BITS = 8
BUS_BITS = 64


class Space(enum.Enum, shape=unsigned(4)):
    REGISTERS = 0
    DESCRIPTORS = 1
    COUNTERS = 2
    GENERATORS = 3
    CROSSBAR = 4


class Register(enum.Enum, shape=unsigned(3)):
    LAST_LAYER = 0
    LAST_PIXEL = 1
    CYCLES = 2
    IMAGES = 3
    ERRORS = 4
    IDENTITY = 5
    HIGH = 6


def address_of(space: int, offset: int) -> int:
    return space << SPACE_BIT | offset


def lane_offset(word: int, lane: int) -> int:
    return word << LANE_BITS | lane


@dataclass(frozen=True)
class HostPorts:
    """What a host leads to: numbers of bits of the addresses of descriptors and counters and of a generator's state, and the
    payloads of the tile's and the crossbar's ``access`` and of the crossbar's ``answer``."""

    descriptor_bits: int
    counter_bits: int
    generator_bits: int
    tile_access: data.StructLayout
    crossbar_access: data.StructLayout
    crossbar_answer: data.StructLayout

    def members(self, pixel_bits: int) -> dict[str, wiring.Member]:
        """``pixel_bits``: of the number of the last pixel."""
        return {
            "bus": In(stream_of(record(write=1, address=32, data=BUS_BITS))),
            "reply": Out(stream_of(record(data=BUS_BITS))),
            "allowed": In(1),
            "busy": Out(1),
            "last_layer": Out(8),
            "last_pixel": Out(pixel_bits),
            "descriptors_read": Out(reading(self.descriptor_bits, unsigned(BUS_BITS))),
            "descriptors_write": Out(writing(self.descriptor_bits, unsigned(BUS_BITS))),
            "counters_read": Out(reading(self.counter_bits, unsigned(BUS_BITS))),
            "counters_write": Out(writing(self.counter_bits, unsigned(BUS_BITS))),
            "tile_access": Out(stream_of(self.tile_access)),
            "tile_answer": In(stream_of(record(state=self.generator_bits))),
            "crossbar_access": Out(stream_of(self.crossbar_access)),
            "crossbar_answer": In(stream_of(self.crossbar_answer)),
        }


class Host(wiring.Component):
    """``busy``: an access is under way. ``cycle``, ``image``, ``error``: to be counted, a cycle later. Both ``access``
    ports take the payloads of the tile and of the crossbar."""

    def __init__(self, identity: int, ports: HostPorts) -> None:
        self.identity = identity
        super().__init__({**ports.members(pixel_bits=32), "cycle": In(1), "image": In(1), "error": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request = Signal(self.bus.payload.shape())
        space, offset = request.address[SPACE_BIT:], request.address[:SPACE_BIT]
        high = Signal(max(1, len(self.crossbar_access.payload.data) - BUS_BITS))
        registers = [*self._registers(m), high]
        selected, chosen = self._select(m, registers, offset)
        self._lead(m, request, offset, high)
        m.d.comb += self.busy.eq(1)
        with m.If(self.reply.valid & self.reply.ready):
            m.d.sync += self.reply.valid.eq(0)
        with m.FSM():
            with m.State("idle"):
                m.d.comb += [self.busy.eq(0), self.bus.ready.eq(self.allowed & ~self.reply.valid)]
                with m.If(self.bus.valid & self.bus.ready):
                    m.d.sync += request.eq(self.bus.payload)
                    m.next = "select"
            with m.State("select"):
                m.next = "access"
            with m.State("access"):
                m.next = "idle"
                with m.If(space == Space.REGISTERS.value):
                    for number, register in enumerate(registers):
                        if isinstance(register, Signal):
                            with m.If(selected[number] & request.write):
                                m.d.sync += register.eq(request.data)
                    with m.If(~request.write):
                        m.next = "read"
                with m.Elif((space == Space.DESCRIPTORS.value) | (space == Space.COUNTERS.value)):
                    for number, (read, write) in self._memories.items():
                        with m.If(space == number):
                            m.d.comb += [read.enable.eq(1), write.enable.eq(request.write)]
                    with m.If(~request.write):
                        m.next = "read"
                with m.Elif(space == Space.GENERATORS.value):
                    self._pass_on(m, request, self.tile_access, "tile")
                with m.Else():
                    self._pass_on(m, request, self.crossbar_access, "crossbar")
            with m.State("read"):
                with m.If(space == Space.REGISTERS.value):
                    self._answer(m, 1, chosen)
                for number, (read, _) in self._memories.items():
                    with m.If(space == number):
                        self._answer(m, 1, read.data)
                m.next = "idle"
            for name, answer in (("tile", self.tile_answer), ("crossbar", self.crossbar_answer)):
                with m.State(name):
                    m.d.comb += answer.ready.eq(1)
                    with m.If(answer.valid):
                        self._answer(m, 1, answer.payload.as_value())
                        m.next = "idle"
        return m

    @property
    def _memories(self) -> dict[int, tuple[wiring.PureInterface, wiring.PureInterface]]:
        return {
            Space.DESCRIPTORS.value: (self.descriptors_read, self.descriptors_write),
            Space.COUNTERS.value: (self.counters_read, self.counters_write),
        }

    def _registers(self, m: Module) -> list[Value]:
        """In the order of Register, but for the last."""
        counts = [Signal(BUS_BITS, name=name) for name in ("cycles", "images", "errors")]
        for count, event in zip(counts, (self.cycle, self.image, self.error), strict=True):
            happened = Signal(name=f"{count.name}_happened")
            m.d.sync += [happened.eq(event), count.eq(count + happened)]
        return [self.last_layer, self.last_pixel, *counts, Value.cast(self.identity)]

    def _select(self, m: Module, registers: list[Value], offset: Value) -> tuple[Signal, Signal]:
        """A bit for each register, a cycle after the offset of one; and its word a cycle later. What does not exist reads as
        0, so that no reader waits for ever."""
        selected, chosen = Signal(len(registers)), Signal(BUS_BITS)
        m.d.sync += [selected.eq(Cat(offset == number for number in range(len(registers)))), chosen.eq(0)]
        for number, register in enumerate(registers):
            with m.If(selected[number]):
                m.d.sync += chosen.eq(register)
        return selected, chosen

    def _lead(self, m: Module, request: data.View, offset: Value, high: Value) -> None:
        """The request to all that it may be for."""
        for read, write in self._memories.values():
            m.d.comb += [read.address.eq(offset), write.address.eq(offset), write.data.eq(request.data)]
        tile, crossbar = self.tile_access.payload, self.crossbar_access.payload
        m.d.comb += [
            tile.beat.eq(offset[LANE_BITS:]),
            tile.generator.eq(offset[:LANE_BITS]),
            tile.write.eq(request.write),
            tile.state.eq(request.data),
            crossbar.space.eq(request.address[SPACE_BIT:] - Space.CROSSBAR.value),
            crossbar.address.eq(offset[LANE_BITS:]),
            crossbar.lane.eq(offset[:LANE_BITS]),
            crossbar.write.eq(request.write),
            crossbar.data.eq(Cat(request.data, high)),
        ]

    def _pass_on(self, m: Module, request: data.View, access: wiring.PureInterface, answer: str) -> None:
        m.d.comb += access.valid.eq(1)
        m.next = "access"
        with m.If(access.ready):
            m.next = "idle"
            with m.If(~request.write):
                m.next = answer

    def _answer(self, m: Module, condition: Value | int, word: Value) -> None:
        with m.If(condition):
            m.d.sync += [self.reply.valid.eq(1), self.reply.payload.data.eq(word)]
