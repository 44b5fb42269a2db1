"""What goes to the host: content of frames, from what is owed to it and from the output ring.

A frame is composed a byte at a time, header first; the bytes of the host's stream stay in the ring until it has them.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from board.gateware.uart import BYTE_BITS, BYTES
from board.gateware.wire import LARGEST_BOARD_DATA, POSITION_BITS, PROTOCOL_VERSION, BoardFrame
from hdl.shapes import record, stream_of

IDENTITY_BYTES = 8


class Outlet(wiring.Component):
    """``i``: the stream to the host; ``o``: content of frames, for a FrameSender.

    For one cycle each, something that is owed now: ``hello``; ``refuse`` with a ``reason``; ``answer``, a data frame. With
    ``acknowledge``, ``acknowledged`` is a position up to which the host has the stream; ``repeat``: send from there again.
    ``wait``: cycles without a byte on ``i`` after which a frame is sent that is not full, a power of two. ``session``,
    ``taken``, ``limit``: what headers say; a frame is sent too when ``limit`` has moved by ``step`` since they said it.
    The ring holds ``ring`` bytes, a power of two. A reset forgets everything, and positions begin at 0 again.
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
                "reason": In(2),
                "answer": In(1),
                "acknowledge": In(1),
                "acknowledged": In(POSITION_BITS),
                "repeat": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=BYTE_BITS, depth=self.ring, init=[])
        written, sent, oldest = (Signal(POSITION_BITS, name=name) for name in ("written", "sent", "oldest"))
        self._collect(m, memory, written, oldest)
        self._acknowledge(m, sent, oldest)
        self._compose(m, memory, written, sent, oldest)
        return m

    def _collect(self, m: Module, memory: Memory, written: Signal, oldest: Signal) -> None:
        write = memory.write_port()
        m.d.comb += [
            self.i.ready.eq(~(written - oldest)[self.ring.bit_length() - 1]),
            write.addr.eq(written),
            write.data.eq(self.i.payload.value),
            write.en.eq(self.i.valid & self.i.ready),
        ]
        with m.If(write.en):
            m.d.sync += written.eq(written + 1)

    def _acknowledge(self, m: Module, sent: Signal, oldest: Signal) -> None:
        held, claimed = (Signal(POSITION_BITS, name=name) for name in ("held", "claimed"))
        m.d.comb += [held.eq(sent - oldest), claimed.eq(self.acknowledged - oldest)]
        with m.If(self.acknowledge & (claimed <= held)):
            m.d.sync += oldest.eq(self.acknowledged)

    def _compose(self, m: Module, memory: Memory, written: Signal, sent: Signal, oldest: Signal) -> None:
        read = memory.read_port()
        owed = {name: Signal(name=f"owes_{name}") for name in ("hello", "refusal", "answer", "repeat")}
        reason = Signal.like(self.reason)
        told = Signal(POSITION_BITS, init=self.capacity)  # the limit that the host was told last
        quiet = Signal(range(self.wait + 1))
        unsent = Signal(POSITION_BITS)
        left = Signal(range(LARGEST_BOARD_DATA + 1))
        place, high, fetched = Signal(4), Signal(BYTE_BITS), Signal()
        taken = self.o.valid & self.o.ready
        m.d.comb += [unsent.eq(written - sent), read.addr.eq(sent)]
        full = unsent >= LARGEST_BOARD_DATA
        moved = (self.limit - told)[self.step.bit_length() - 1 :].any()
        due = full | (unsent.any() & quiet[-1]) | owed["answer"] | moved
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += quiet.eq(0)
        with m.Elif(~quiet[-1]):
            m.d.sync += quiet.eq(quiet + 1)

        def content(name: str, values: list[Value | int], after: str) -> None:
            """A state that sends these bytes; the upper byte of a pair is kept from when the lower one is sent."""
            with m.State(name):
                m.d.comb += self.o.valid.eq(1)
                with m.Switch(place):
                    for number, value in enumerate(values):
                        with m.Case(number):
                            m.d.comb += self.o.payload.value.eq(value)
                            if isinstance(value, Value) and len(value) > BYTE_BITS:
                                with m.If(taken):
                                    m.d.sync += high.eq(value[BYTE_BITS:])
                ends = place == len(values) - 1
                m.d.comb += self.o.payload.last.eq(ends & (left == 0))
                with m.If(taken):
                    m.d.sync += place.eq(place + 1)
                    with m.If(ends):
                        m.d.sync += place.eq(0)
                        m.next = after

        def pair(value: Value) -> list[Value | int]:
            return [value, high]

        identity = [self.identity >> (BYTE_BITS * number) & 0xFF for number in range(IDENTITY_BYTES)]
        capacity = [self.capacity >> (BYTE_BITS * number) & 0xFF for number in range(2)]
        with m.FSM():
            with m.State("idle"):
                m.d.sync += [left.eq(0), place.eq(0), fetched.eq(0)]
                with m.If(owed["repeat"]):
                    with m.If(~self.acknowledge):  # which moves `oldest`
                        m.d.sync += [owed["repeat"].eq(0), sent.eq(oldest)]
                with m.Elif(owed["hello"]):
                    m.d.sync += owed["hello"].eq(0)
                    m.next = "hello"
                with m.Elif(owed["refusal"]):
                    m.d.sync += owed["refusal"].eq(0)
                    m.next = "refusal"
                with m.Elif(due):
                    m.d.sync += [owed["answer"].eq(0), left.eq(Mux(full, LARGEST_BOARD_DATA, unsent))]
                    m.d.sync += told.eq(self.limit)
                    m.next = "header"
            content(
                "hello",
                [BoardFrame.HELLO.value, *pair(self.session), PROTOCOL_VERSION, *identity, *capacity],
                "idle",
            )
            content("refusal", [BoardFrame.REFUSED.value, *pair(self.session), reason], "idle")
            content(
                "header",
                [BoardFrame.DATA.value, *pair(self.session), *pair(sent), *pair(self.taken), *pair(self.limit)],
                "data",
            )
            with m.State("data"):
                m.d.comb += [
                    self.o.valid.eq(fetched & (left != 0)),
                    self.o.payload.value.eq(read.data),
                    self.o.payload.last.eq(left == 1),
                ]
                m.d.sync += fetched.eq(1)
                with m.If(left == 0):
                    m.next = "idle"
                with m.Elif(taken):
                    m.d.sync += [sent.eq(sent + 1), left.eq(left - 1), fetched.eq(0)]
        for name, event in (
            ("hello", self.hello),
            ("refusal", self.refuse),
            ("answer", self.answer),
            ("repeat", self.repeat),
        ):
            with m.If(event):
                m.d.sync += owed[name].eq(1)
        with m.If(self.refuse):
            m.d.sync += reason.eq(self.reason)
