"""What goes to the host: content of frames, from what is owed to it and from the output ring.

A frame is composed a byte at a time, header first; the bytes of the host's stream stay in the ring until it has them.
"""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory, ReadPort
from amaranth.lib.wiring import In, Out

from board.gateware.uart import BYTE_BITS, BYTES
from board.gateware.wire import LARGEST_BOARD_DATA, POSITION_BITS, PROTOCOL_VERSION, BoardFrame, Refusal
from hdl.memory import exclusive_memory
from hdl.shapes import record, stream_of

IDENTITY_BYTES, CAPACITY_BYTES = 8, 2
#: The bytes of a content are numbered from 1, so that all words of headers begin at even numbers.
FIRST, SESSION, POSITION, TAKEN, LIMIT, DATA = 1, 2, 4, 6, 8, 10
LAST_OF_REFUSAL = POSITION
LAST_OF_HELLO = POSITION + IDENTITY_BYTES + CAPACITY_BYTES
LAST_OF_HEADER = DATA - 1
LAST_OF_DATA = LAST_OF_HEADER + LARGEST_BOARD_DATA
#: A data frame is sent once so many bytes wait for it.
FULL_BIT = 8


class Outlet(wiring.Component):
    """``i``: the stream to the host; ``o``: content of frames, for a FrameSender.

    For one cycle each, something that is owed now: ``hello``; ``refuse`` with a ``reason``; ``answer``, a data frame. With
    ``acknowledge``, ``acknowledged`` is a position up to which the host has the stream; ``repeat``: send from there again.
    ``session``, ``taken``, ``limit``: what headers say. A data frame is sent without being owed if it can be full, if there
    is something to send and nothing came on ``i`` for ``wait`` cycles, and if ``limit`` has passed a multiple of ``step``.
    ``ring``, places of the ring, ``wait`` and ``step`` are powers of two. A reset forgets everything, and positions begin at
    0 again.
    """

    def __init__(self, *, ring: int, wait: int, step: int, capacity: int, identity: int) -> None:
        self.ring, self.wait, self.step = ring, wait, step
        self.capacity, self.identity = capacity, identity
        super().__init__(
            {
                "i": In(BYTES),
                "o": Out(stream_of(record(value=BYTE_BITS, last=1))),
                "session": In(POSITION_BITS),
                "taken": In(POSITION_BITS),
                "limit": In(POSITION_BITS),
                "hello": In(1),
                "refuse": In(1),
                "reason": In(Refusal),
                "answer": In(1),
                "acknowledge": In(1),
                "acknowledged": In(POSITION_BITS),
                "repeat": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = exclusive_memory(BYTE_BITS, self.ring)
        # Up to where the stream has been written, sent, and may be forgotten.
        self._written = Signal(range(2 * self.ring))
        self._sent, self._oldest = Signal(POSITION_BITS), Signal(POSITION_BITS)
        self._kind, self._number = Signal(BoardFrame), Signal(BYTE_BITS)
        self._all_sent = Signal()
        m.d.comb += self._all_sent.eq(self._sent[: len(self._written)] == self._written)
        self._collect(m, memory)
        self._acknowledge(m)
        self._send(m, memory)
        return m

    def _collect(self, m: Module, memory: Memory) -> None:
        """The stream into the ring. Whether there is room comes from a register, which knows it when nothing was written in the
        cycle before: the line is far slower than a byte every other cycle."""
        write, room = memory.write_port(), Signal()
        full = (self._written ^ self._oldest)[: len(self._written)] == self.ring
        m.d.sync += room.eq(~write.en & ~full)
        m.d.comb += [
            self.i.ready.eq(room),
            write.addr.eq(self._written),
            write.data.eq(self.i.payload.value),
            write.en.eq(self.i.valid & self.i.ready),
        ]
        with m.If(write.en):
            m.d.sync += self._written.eq(self._written + 1)

    def _acknowledge(self, m: Module) -> None:
        """What the host has may be forgotten, if it can have it."""
        held, back = Signal(range(self.ring + 1)), Signal(POSITION_BITS)
        m.d.comb += [held.eq(self._sent - self._oldest), back.eq(self._sent - self.acknowledged)]
        with m.If(self.acknowledge & (back <= held)):
            m.d.sync += self._oldest.eq(self.acknowledged)

    def _send(self, m: Module, memory: Memory) -> None:
        """What is owed and due, one content after the other: for each byte three states, to read it, to see what it is, and
        to offer it. An event in the cycle in which it is paid for is owed anew."""
        kind, number, value = self._kind, self._number, Signal(BYTE_BITS)
        events = {"hello": self.hello, "refusal": self.refuse, "answer": self.answer, "repeat": self.repeat}
        owed = {name: Signal(name=f"owed_{name}") for name in events}
        data_due = self._due(m, owed["answer"])
        word, high = self._word(m), Signal(BYTE_BITS)
        self._choose(m, memory.read_port(), word, high, value)
        with m.FSM():
            with m.State("idle"):
                m.d.sync += number.eq(FIRST)
                with m.If(owed["repeat"]):
                    with m.If(~self.acknowledge):  # which moves `oldest`
                        m.d.sync += [owed["repeat"].eq(0), self._sent.eq(self._oldest)]
                for name, to_pay, paid in (
                    ("hello", owed["hello"], BoardFrame.HELLO),
                    ("refusal", owed["refusal"], BoardFrame.REFUSED),
                    ("answer", data_due, BoardFrame.DATA),
                ):
                    with m.Elif(to_pay):
                        m.d.sync += [owed[name].eq(0), kind.eq(paid)]
                        m.next = "fetch"
            with m.State("fetch"):
                with m.If((kind == BoardFrame.DATA) & (number >= DATA)):
                    m.d.sync += self._sent.eq(self._sent + 1)
                m.next = "look"
            with m.State("look"):
                m.d.sync += [self.o.payload.value.eq(value), self.o.payload.last.eq(self._ends())]
                with m.If(~number[0]):  # the other byte of the word may change before its turn
                    m.d.sync += high.eq(word[BYTE_BITS:])
                m.next = "offer"
            with m.State("offer"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += number.eq(number + 1)
                    m.next = "fetch"
                    with m.If(self.o.payload.last):
                        m.next = "idle"
        for name, event in events.items():
            with m.If(event):
                m.d.sync += owed[name].eq(1)

    def _due(self, m: Module, owed: Signal) -> Signal:
        """Whether a data frame is to be sent."""
        quiet, due = Signal(range(self.wait + 1)), Signal()
        lowest = self.step.bit_length() - 1
        part = self.limit[lowest : self.ring.bit_length()]
        told = Signal(len(part), init=self.capacity // self.step)
        unsent = Signal(range(self.ring + 1))
        m.d.comb += [
            unsent.eq(self._written - self._sent),
            due.eq(owed | (part != told) | unsent[FULL_BIT:].any() | (quiet[-1] & ~self._all_sent)),
        ]
        with m.If((self._kind == BoardFrame.DATA) & (self._number == LIMIT - 1)):  # no later than it is looked at
            m.d.sync += told.eq(part)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += quiet.eq(0)
        with m.Elif(~quiet[-1]):
            m.d.sync += quiet.eq(quiet + 1)
        return due

    def _ends(self) -> Value:
        """Whether the byte, which is read, is the last one."""
        number = self._number
        of_data = (self._all_sent & (number >= LAST_OF_HEADER)) | (number == LAST_OF_DATA)
        of_others = number == Mux(self._kind == BoardFrame.HELLO, LAST_OF_HELLO, LAST_OF_REFUSAL)
        return Mux(self._kind == BoardFrame.DATA, of_data, of_others)

    def _word(self, m: Module) -> Signal:
        """The word of the header that the byte with this number belongs to."""
        word, numbers = Signal(POSITION_BITS), (LIMIT, SESSION, POSITION, TAKEN)
        assert [number >> 1 & 3 for number in numbers] == [0, 1, 2, 3]
        m.d.comb += word.eq(Array([self.limit, self.session, self._sent, self.taken])[self._number[1:3]])
        return word

    def _choose(self, m: Module, read: ReadPort, word: Value, high: Value, value: Signal) -> None:
        """The byte with this number; that of the ring in the cycle after its place was `sent`."""
        kind, number, reason = self._kind, self._number, Signal(Refusal)
        m.d.comb += read.addr.eq(self._sent)
        with m.If(self.refuse):
            m.d.sync += reason.eq(self.reason)
        constants = [
            PROTOCOL_VERSION,
            *self.identity.to_bytes(IDENTITY_BYTES, "little"),
            *self.capacity.to_bytes(CAPACITY_BYTES, "little"),
        ]
        is_data = kind == BoardFrame.DATA
        with m.If(number == FIRST):
            m.d.comb += value.eq(kind)
        with m.Elif(is_data & (number >= DATA)):
            m.d.comb += value.eq(read.data)
        with m.Elif(is_data | (number < POSITION)):
            m.d.comb += value.eq(Mux(number[0], high, word))
        with m.Elif(kind == BoardFrame.REFUSED):
            m.d.comb += value.eq(reason)
        with m.Else():
            m.d.comb += value.eq(Array(constants)[number[:4] - POSITION])
