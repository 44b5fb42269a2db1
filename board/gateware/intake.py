"""What comes from the host: headers of frames are told, and data goes into the input ring.

The header of a frame counts only once its CRC has been found right, at the frame's end. Until then data is written to
free places of the ring, which do not count either; so there is no other buffer for a frame. The CRC itself is written
behind the data, which costs the ring four places.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
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
from hdl.shapes import record, stream_of


class Intake(wiring.Component):
    """``i``: words of a FrameReceiver, taken at once; ``o``: the host's stream.

    ``session``: the session that holds, 0: none. For one cycle, in which ``field`` holds the new session or what the host
    has *acknowledged*: ``hello``, ``data`` (of this session, with ``repeat``), ``stranger`` (data of another session).
    ``taken``: position up to which data has come in order; ``out``: up to which it has left the ring. The ring holds ``ring``
    bytes, a power of two. A reset between frames forgets all data, and positions begin at 0 again.
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
                "out": Out(POSITION_BITS),
            }
        )

    @property
    def capacity(self) -> int:
        """Bytes of data that the ring takes."""
        return self.ring - CRC_BYTES

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=BYTE_BITS, depth=self.ring, init=[])
        self._receive(m, memory)
        self._give(m, memory)
        return m

    def _receive(self, m: Module, memory: Memory) -> None:
        """Frames, as far as they have come: a count of bytes, and what has been found wrong."""
        value, write = self.i.payload.value, memory.write_port()
        largest = HOST_HEADER_BYTES + LARGEST_HOST_DATA + CRC_BYTES
        count = Signal(range(largest + 1))
        is_hello, is_data, too_long, full = Signal(), Signal(), Signal(), Signal()
        ours, in_order = Signal(init=1), Signal(init=1)
        free = Signal(POSITION_BITS)  # the position behind all that was written
        m.d.comb += [
            self.i.ready.eq(1),
            write.addr.eq(free),
            write.data.eq(value),
        ]
        byte = self.i.valid & ~self.i.payload.end
        with m.If(byte):
            with m.If(count == largest):
                m.d.sync += too_long.eq(1)
            with m.Else():
                m.d.sync += count.eq(count + 1)
            with m.Switch(count):
                with m.Case(0):
                    m.d.sync += [is_hello.eq(value == HostFrame.HELLO), is_data.eq(value == HostFrame.DATA)]
                for low, register, same in ((1, self.session, ours), (3, self.taken, in_order)):
                    for number in range(2):
                        with m.Case(low + number):
                            m.d.sync += same.eq(same & (value == register.word_select(number, BYTE_BITS)))
                with m.Case(5, 6):
                    pass
                with m.Case(7):
                    m.d.sync += self.repeat.eq(value[REPEAT_BIT])
                with m.Default():
                    is_full = (free - self.out)[self.ring.bit_length() - 1]
                    m.d.comb += write.en.eq(~is_full)
                    m.d.sync += full.eq(full | is_full)
                    with m.If(~is_full):
                        m.d.sync += free.eq(free + 1)
            with m.If((count == 1) | (count == 2) | (is_data & ((count == 5) | (count == 6)))):
                m.d.sync += self.field.eq(Cat(self.field[BYTE_BITS:], value))
        with m.If(self.i.valid & self.i.payload.end):
            good = self.i.payload.good & ~too_long
            good_data = good & is_data & (count >= HOST_HEADER_BYTES + CRC_BYTES)
            known = ours & self.session.any()
            m.d.comb += [
                self.hello.eq(good & is_hello & (count == HOST_HELLO_BYTES + CRC_BYTES) & self.field.any()),
                self.data.eq(good_data & known),
                self.stranger.eq(good_data & ~known),
            ]
            m.d.sync += [count.eq(0), too_long.eq(0), full.eq(0), ours.eq(1), in_order.eq(1)]
            m.d.sync += free.eq(self.taken)
            with m.If(self.data & in_order & ~full):
                m.d.sync += [self.taken.eq(free - CRC_BYTES), free.eq(free - CRC_BYTES)]

    def _give(self, m: Module, memory: Memory) -> None:
        """The ring's bytes, in order."""
        read = memory.read_port()
        advance = ~self.o.valid | self.o.ready
        some = self.out != self.taken
        m.d.comb += [read.addr.eq(self.out), read.en.eq(advance), self.o.payload.value.eq(read.data)]
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(some), self.out.eq(self.out + some)]
