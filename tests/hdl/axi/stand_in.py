"""A small component with the streams of the network, and answers that are easy to know."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.network.host import Register, Space, address_of
from hdl.shapes import beat, record, stream_of

ADDRESS_BITS = 6
CLASSES = 10
LANES = 4
LOGIT_BITS = 20
#: Cycles between the logits and the end of an image, in which the bus has to wait.
UPDATE_CYCLES = 40
OFFSET_BITS = 5
#: What is different between the logits of one image.
STEP = 0x1357D


def logits(train: bool, label: int, pixels: bytes) -> list[int]:
    """Of an image: they depend on every byte of its packet and on the order of its pixels."""
    hashed = label | train << 4
    for pixel in pixels:
        hashed = (hashed * 5 + pixel + 1) % (1 << LOGIT_BITS)
    half = 1 << LOGIT_BITS - 1
    return [(hashed + number * STEP + half) % (1 << LOGIT_BITS) - half for number in range(CLASSES)]


class StandIn(wiring.Component):
    """Bus: a memory of the lowest offsets of every space; the register *last pixel* is also what images end by. Accesses
    take some cycles, and wait while an image is under way."""

    def __init__(self) -> None:
        super().__init__(
            {
                "bus": In(stream_of(record(write=1, address=32, data=64))),
                "reply": Out(stream_of(record(data=64))),
                "job": In(stream_of(record(train=1, label=4))),
                "pixel": In(stream_of(record(value=8))),
                "result": Out(stream_of(beat(signed(LOGIT_BITS), LANES))),
                "phase": Out(stream_of(record(layer=1, operation=2))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=64, depth=16 << OFFSET_BITS, init=[])
        write, read = memory.write_port(), memory.read_port()
        request, last_pixel = Signal.like(self.bus.payload), Signal(ADDRESS_BITS)
        hashed, count, label = (
            Signal(LOGIT_BITS),
            Signal(range(max(UPDATE_CYCLES, 1 << ADDRESS_BITS))),
            self.job.payload,
        )
        turn = Signal()  # pixels are taken in every other cycle
        m.d.sync += turn.eq(~turn)
        place = Cat(request.address[:OFFSET_BITS], request.address[28:])
        m.d.comb += [
            write.addr.eq(place),
            write.data.eq(request.data),
            read.addr.eq(place),
            self.reply.payload.data.eq(read.data),
        ]
        with m.FSM():
            with m.State("idle"):
                m.d.comb += [self.bus.ready.eq(1), self.job.ready.eq(~self.bus.valid)]
                m.d.sync += [request.eq(self.bus.payload), count.eq(0)]
                with m.If(self.bus.valid):
                    m.next = "bus"
                with m.Elif(self.job.valid):
                    m.d.sync += hashed.eq(Cat(label.label, label.train))
                    m.next = "image"
            with m.State("bus"):
                m.d.comb += write.en.eq(request.write)
                m.next = "reply"
                with m.If(request.write):
                    m.next = "idle"
                    with m.If(request.address == address_of(Space.REGISTERS.value, Register.LAST_PIXEL.value)):
                        m.d.sync += last_pixel.eq(request.data)
            with m.State("reply"):
                m.d.comb += self.reply.valid.eq(1)
                with m.If(self.reply.ready):
                    m.next = "idle"
            with m.State("image"):
                m.d.comb += self.pixel.ready.eq(turn)
                with m.If(self.pixel.valid & turn):
                    m.d.sync += [hashed.eq(hashed * 5 + self.pixel.payload.value + 1), count.eq(count + 1)]
                    with m.If(count == last_pixel):
                        m.d.sync += count.eq(0)
                        m.next = "result"
            with m.State("result"):
                self._offer(m, hashed, count)
                with m.If(self.result.ready):
                    m.d.sync += [hashed.eq(hashed + LANES * STEP), count.eq(count + 1)]
                    with m.If(self.result.payload.last):
                        m.d.sync += count.eq(0)
                        m.next = "update"
            with m.State("update"):
                m.d.sync += count.eq(count + 1)
                with m.If(count == UPDATE_CYCLES - 1):
                    m.d.comb += self.phase.valid.eq(1)
                    m.next = "update"
                    with m.If(self.phase.ready):
                        m.next = "idle"
        return m

    def _offer(self, m: Module, hashed: Signal, number: Signal) -> None:
        """Beat ``number`` of the logits; disabled lanes hold anything."""
        beats = -(-CLASSES // LANES)
        payload: data.View = self.result.payload
        last = number == beats - 1
        rest = CLASSES - (beats - 1) * LANES
        m.d.comb += [
            self.result.valid.eq(1),
            payload.last.eq(last),
            payload.mask.eq(Mux(last, Const((1 << rest) - 1, LANES), Const(~0, LANES))),
        ]
        m.d.comb += [
            payload.elements[lane].eq((hashed + lane * STEP)[:LOGIT_BITS].as_signed()) for lane in range(LANES)
        ]
