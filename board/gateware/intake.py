"""What comes from the host: headers of frames are told, and data goes into the input ring.

A frame counts only once its CRC has been found right, at its end. Until then its data lies in free places of the ring, so
that no other memory is needed for it. The CRC itself is written behind the data, which costs the ring four places.

Bytes of a frame are numbered so that the number at its end is the length of its data: the header begins at -12, the data
at -4. The byte of position p lies at p - 4 in the ring, so the sum of position and number is the place of a byte, and at the
frame's end the position that is reached.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from board.gateware.crc import CRC_BYTES
from board.gateware.uart import BYTE_BITS, BYTES
from board.gateware.wire import (
    HOST_HEADER_BYTES,
    HOST_HELLO_BYTES,
    LARGEST_HOST_DATA,
    POSITION_BITS,
    REPEAT_BIT,
    HostFrame,
)
from hdl.memory import exclusive_memory
from hdl.pipeline import registered
from hdl.shapes import record, stream_of

KIND = -HOST_HEADER_BYTES - CRC_BYTES
SESSION, POSITION, ACKNOWLEDGED, FLAGS = KIND + 1, KIND + 3, KIND + 5, KIND + 7
#: The number at the end of a hello.
HELLO_END = KIND + HOST_HELLO_BYTES + CRC_BYTES


class Intake(wiring.Component):
    """``i``: words of a FrameReceiver, taken at once; ``o``: the host's stream.

    ``session``: the session that holds, 0: none. For one cycle, in which ``field`` holds the new session or what the host
    has *acknowledged*: ``hello``, ``data`` (of this session, with ``repeat``), ``stranger`` (data of another session).
    ``taken``: position up to which data has come in order; ``limit``: position up to which there is room. The ring has
    ``ring`` places, a power of two. A reset between frames forgets all data, and positions begin at 0 again.
    """

    def __init__(self, ring: int) -> None:
        self.ring = ring
        super().__init__(
            {
                "i": In(stream_of(record(value=BYTE_BITS, end=1, good=1))),
                "o": Out(BYTES),
                "session": In(POSITION_BITS),
                "hello": Out(1),
                "data": Out(1),
                "stranger": Out(1),
                "repeat": Out(1),
                "field": Out(POSITION_BITS),
                "taken": Out(POSITION_BITS),
                "limit": Out(POSITION_BITS, init=self.capacity),
            }
        )

    @property
    def capacity(self) -> int:
        """Bytes of data that the ring takes."""
        return self.ring - CRC_BYTES

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = exclusive_memory(BYTE_BITS, self.ring)
        self._receive(m, memory)
        self._give(m, memory)
        return m

    def _receive(self, m: Module, memory: Memory) -> None:
        given, write = self.i.payload, memory.write_port()
        number = Signal(signed(BYTE_BITS + 1), init=KIND)
        is_hello, is_data = Signal(), Signal()
        ours, fits = Signal(init=1), Signal(init=1)  # as far as has been seen of the frame
        place = Signal(POSITION_BITS)
        differs, full = Signal(), Signal()
        expected = Cat(self.session, self.taken).word_select((number - SESSION)[:2], BYTE_BITS)
        m.d.comb += [
            self.i.ready.eq(1),
            place.eq(self.taken + number),
            differs.eq(given.value != expected),
            full.eq((place ^ self.limit)[: self.ring.bit_length()] == 0),
            write.addr.eq(place),
            write.data.eq(given.value),
        ]
        with m.If(self.i.valid & ~given.end):
            m.d.sync += number.eq(number + 1)
            with m.Switch(number):
                with m.Case(KIND):
                    m.d.sync += [is_hello.eq(given.value == HostFrame.HELLO), is_data.eq(given.value == HostFrame.DATA)]
                with m.Case(SESSION, SESSION + 1):
                    m.d.sync += ours.eq(ours & ~differs)
                with m.Case(POSITION, POSITION + 1):
                    m.d.sync += fits.eq(fits & ~differs)
                with m.Case(FLAGS):
                    m.d.sync += self.repeat.eq(given.value[REPEAT_BIT])
                with m.Case(ACKNOWLEDGED, ACKNOWLEDGED + 1):
                    pass
                with m.Case(LARGEST_HOST_DATA):  # too long
                    m.d.sync += [number.eq(number), is_hello.eq(0), is_data.eq(0)]
                with m.Default():
                    m.d.comb += write.en.eq(fits & ~full)
                    m.d.sync += fits.eq(fits & ~full)
            with m.Switch(number):
                with m.Case(SESSION, SESSION + 1):
                    m.d.sync += self.field.eq(Cat(self.field, given.value)[BYTE_BITS:])
                with m.Case(ACKNOWLEDGED, ACKNOWLEDGED + 1), m.If(is_data):
                    m.d.sync += self.field.eq(Cat(self.field, given.value)[BYTE_BITS:])
        with m.If(self.i.valid & given.end):
            known = ours & self.session.any()
            good_data = given.good & is_data & (number >= 0)
            m.d.comb += [
                self.hello.eq(given.good & is_hello & (number == HELLO_END) & self.field.any()),
                self.data.eq(good_data & known),
                self.stranger.eq(good_data & ~known),
            ]
            m.d.sync += [number.eq(KIND), ours.eq(1), fits.eq(1)]
            with m.If(self.data & fits):
                m.d.sync += self.taken.eq(place)

    def _give(self, m: Module, memory: Memory) -> None:
        """The ring's bytes, in order. They come from a register: a block memory is slow, and what takes them lies far away."""
        read = memory.read_port()
        address_bits = len(read.addr)
        given = BYTES.create(path=("given",))
        advance, some = Signal(), Signal()
        m.d.comb += [
            advance.eq(~given.valid | given.ready),
            some.eq((self.limit + CRC_BYTES)[:address_bits] != self.taken[:address_bits]),
            read.addr.eq(self.limit),
            read.en.eq(advance),
            given.payload.value.eq(read.data),
        ]
        with m.If(advance):
            m.d.sync += [given.valid.eq(some), self.limit.eq(self.limit + some)]
        wiring.connect(m, registered(m, given, "registered"), wiring.flipped(self.o))
