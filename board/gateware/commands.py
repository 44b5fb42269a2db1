"""`commands`: does what the host's stream says, in order: writes and reads of words on the network's bus, and images.

| code | rest | answer |
|---|---|---|
| 1 write | width (1), address (4), step (2), count (2), count words of width bytes | - |
| 2 read | width (1), address (4), step (2), count (2) | count words, of each the lowest width bytes |
| 3 image | flags (1: bit 0 train), label (1), pixels (2), compressed pixels | the logits, 4 bytes each |

All numbers little-endian. Written words are sign-extended to the bus. Compressed pixels: a byte 0 .. 127 stands for one
pixel more of 0, a byte 128 .. 255 says that its value - 127 pixels follow.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from board.gateware.uart import BYTE_BITS, BYTES
from board.gateware.wire import LARGEST_WIDTH, LITERAL_BIT, LOGIT_BYTES, TRAIN_BIT, Command
from hdl.shapes import record, stream_of

ADDRESS_BYTES, STEP_BYTES, COUNT_BYTES = 4, 2, 2
#: The number, counted in a word of three bits, of the last byte of address, step and count.
LAST_OF_ACCESS = ADDRESS_BYTES + STEP_BYTES + COUNT_BYTES - 1
LOGIT_BITS = LOGIT_BYTES * BYTE_BITS


class Commands(wiring.Component):
    """``i``: the host's stream; ``o``: the answers. The rest are the network's streams, seen from here.

    ``stopped``: the stream cannot be understood: an unknown code, a width that is none of 1 .. 8, a count of 0, or more
    pixels than were announced. Nothing more is done until a reset. Labels are cut to the bits of the network's.
    Raises ValueError for logits of more than 32 bits.
    """

    def __init__(self, *, job: data.StructLayout, result: data.StructLayout) -> None:
        bits = result["elements"].shape.elem_shape.width
        if bits > LOGIT_BITS:
            raise ValueError(f"logits of {bits} bits: accepted: up to {LOGIT_BITS}")
        super().__init__(
            {
                "i": In(BYTES),
                "o": Out(BYTES),
                "bus": Out(stream_of(record(write=1, address=32, data=64))),
                "reply": In(stream_of(record(data=64))),
                "job": Out(stream_of(job)),
                "pixel": Out(stream_of(record(value=BYTE_BITS))),
                "result": In(stream_of(result)),
                "stopped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._byte = self.i.payload.value
        self._number = Signal(range(LARGEST_WIDTH))  # of a byte within what is being read or written
        self._count = Signal(COUNT_BYTES * BYTE_BITS)  # words or pixels left
        with m.FSM():
            with m.State("code"):
                m.d.sync += self._number.eq(0)
                self._decode(m)
            self._access(m)
            self._image(m)
            self._logits(m)
            with m.State("stopped"):
                m.d.comb += self.stopped.eq(1)
        return m

    def _take(self, m: Module, register: Value, last: Value | int, after: str) -> None:
        """Bytes into ``register``, shifted in from above, up to number ``last``."""
        m.d.comb += self.i.ready.eq(1)
        with m.If(self.i.valid):
            m.d.sync += [
                register.eq(Cat(register, self._byte)[BYTE_BITS:]),
                self._number.eq(self._number + 1),
            ]
            with m.If(self._number == last):
                m.next = after

    def _decode(self, m: Module) -> None:
        write = self.bus.payload.write
        m.d.comb += self.i.ready.eq(1)
        with m.If(self.i.valid):
            m.d.sync += write.eq(self._byte == Command.WRITE)
            with m.Switch(self._byte):
                with m.Case(Command.WRITE, Command.READ):
                    m.next = "width"
                with m.Case(Command.IMAGE):
                    m.next = "flags"
                with m.Default():
                    m.next = "stopped"

    # --- words --------------------------------------------------------------------------------------------------------

    def _access(self, m: Module) -> None:
        """What is to be accessed."""
        request, count = self.bus.payload, self._count
        self._last, self._step = Signal(range(LARGEST_WIDTH)), Signal(STEP_BYTES * BYTE_BITS)
        with m.State("width"):
            m.d.comb += self.i.ready.eq(1)
            m.d.sync += self._last.eq(self._byte - 1)
            with m.If(self.i.valid):
                m.next = "address"
                with m.If((self._byte - 1)[:BYTE_BITS] >= LARGEST_WIDTH):
                    m.next = "stopped"
        with m.State("address"):
            self._take(m, request.address, ADDRESS_BYTES - 1, "step")
        with m.State("step"):
            self._take(m, self._step, ADDRESS_BYTES + STEP_BYTES - 1, "count")
        with m.State("count"):
            self._take(m, count, LAST_OF_ACCESS, "word")
        with m.State("word"):
            m.next = "bus"
            with m.If(request.write):
                m.next = "bytes"
            with m.If(count == 0):
                m.next = "stopped"
        self._word(m)
        self._advance(m)

    def _word(self, m: Module) -> None:
        """A word to the bus or from it."""
        request, number, last = self.bus.payload, self._number, self._last
        with m.State("bytes"):
            self._take(m, request.data, last, "extend")
        with m.State("extend"):
            with m.If(number == 0):  # all eight bytes are there
                m.next = "bus"
            with m.Else():
                sign = request.data[-1].replicate(BYTE_BITS)
                m.d.sync += [request.data.eq(Cat(request.data[BYTE_BITS:], sign)), number.eq(number + 1)]
        with m.State("bus"):
            m.d.comb += self.bus.valid.eq(1)
            with m.If(self.bus.ready):
                m.next = "reply"
                with m.If(request.write):
                    m.next = "next"
        with m.State("reply"):
            m.d.comb += [
                self.o.valid.eq(self.reply.valid),
                self.o.payload.value.eq(self.reply.payload.data.word_select(number, BYTE_BITS)),
                self.reply.ready.eq(self.o.ready & (number == last)),
            ]
            with m.If(self.o.valid & self.o.ready):
                m.d.sync += number.eq(number + 1)
                with m.If(number == last):
                    m.next = "next"

    def _advance(self, m: Module) -> None:
        """The address of the next word: a byte of address and step per cycle, which go around, so that eight bits are added."""
        address, step, number, count = self.bus.payload.address, self._step, self._number, self._count
        carry = Signal()
        with m.State("next"):
            m.d.sync += [count.eq(count - 1), number.eq(0), carry.eq(0)]
            m.next = "advance"
        with m.State("advance"):
            total = address[:BYTE_BITS] + Mux(number < STEP_BYTES, step[:BYTE_BITS], 0) + carry
            m.d.sync += [
                Cat(address, carry).eq(Cat(address[BYTE_BITS:], total)),
                step.eq(Cat(step[BYTE_BITS:], step[:BYTE_BITS])),
                number.eq(number + 1),
            ]
            with m.If(number == ADDRESS_BYTES - 1):
                m.d.sync += number.eq(0)
                m.next = "word"
                with m.If(count == 0):
                    m.next = "code"

    # --- images -------------------------------------------------------------------------------------------------------

    def _image(self, m: Module) -> None:
        job, number, count = self.job.payload, self._number, self._count
        left, literal = Signal(LITERAL_BIT), Signal()  # pixels left of a token, less one; whether they follow
        with m.State("flags"):
            m.d.comb += self.i.ready.eq(1)
            m.d.sync += job.train.eq(self._byte[TRAIN_BIT])
            with m.If(self.i.valid):
                m.next = "label"
        with m.State("label"):
            m.d.comb += self.i.ready.eq(1)
            m.d.sync += job.label.eq(self._byte)
            with m.If(self.i.valid):
                m.next = "pixels"
        with m.State("pixels"):
            self._take(m, count, COUNT_BYTES - 1, "job")
        with m.State("job"):
            m.d.sync += number.eq(0)
            m.d.comb += self.job.valid.eq(count != 0)
            with m.If(count == 0):
                m.next = "stopped"
            with m.Elif(self.job.ready):
                m.next = "token"
        with m.State("token"):
            m.d.comb += self.i.ready.eq(count != 0)
            m.d.sync += [left.eq(self._byte), literal.eq(self._byte[LITERAL_BIT])]
            with m.If(count == 0):
                m.next = "logits"
            with m.Elif(self.i.valid):
                m.next = "run"
        with m.State("run"):
            with m.If(count == 0):
                m.next = "stopped"
            with m.Else():
                m.d.comb += [
                    self.pixel.valid.eq(~literal | self.i.valid),
                    self.pixel.payload.value.eq(Mux(literal, self._byte, 0)),
                    self.i.ready.eq(literal & self.pixel.ready),
                ]
            with m.If(self.pixel.valid & self.pixel.ready):
                m.d.sync += [count.eq(count - 1), left.eq(left - 1)]
                with m.If(left == 0):
                    m.next = "token"

    def _logits(self, m: Module) -> None:
        """The enabled lanes of all beats."""
        given, number = self.result.payload, self._number
        lane = Signal(range(max(2, len(given.mask))))
        last_lane = lane == len(given.mask) - 1
        with m.State("logits"):
            logit = Signal(given.elements.shape().elem_shape)
            wide = Signal(data.ArrayLayout(BYTE_BITS, LOGIT_BYTES))
            m.d.comb += [
                logit.eq(given.elements[lane]),
                wide.as_value().eq(logit),
                self.o.payload.value.eq(wide[number[:2]]),
            ]
            enabled = given.mask.bit_select(lane, 1)
            m.d.comb += self.o.valid.eq(self.result.valid & enabled)
            with m.If(self.o.valid & self.o.ready):
                m.d.sync += number.eq(number + 1)
            done = ~enabled | (self.o.ready & (number == LOGIT_BYTES - 1))
            with m.If(self.result.valid & done):
                m.d.sync += [lane.eq(lane + 1), number.eq(0)]
                with m.If(last_lane):
                    m.d.comb += self.result.ready.eq(1)
                    m.d.sync += lane.eq(0)
                    with m.If(given.last):
                        m.next = "code"
