"""The memories of a serial crossbar (hdl/serial/crossbar.py), each with one port, and the position of the work in them."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from emulator.fixed import WORD_BITS
from hdl.array.crossbar_access import Space, answer_bits
from hdl.array.crossbar_parameters import DRAWS, CrossbarParameters
from hdl.memory import exclusive_memory
from hdl.periphery.lfsr import next_state
from hdl.shapes import record, width_for
from hdl.single_port import SinglePortMemory

#: Bits of the number of a draw.
DRAW_BITS = width_for(DRAWS - 1)


@dataclass(frozen=True)
class Position:
    """Where the work is."""

    mode: Signal
    outer: Signal  # of the lines sensed, or of the rows
    inner: Signal  # of the lines driven, or of the columns; of the beats of a side that is taken
    weight: Signal  # address
    turn: Signal
    # The line of the other memories: its side (1: rows) and number.
    side: Signal
    number: Signal


class CrossbarMemories:
    """Weights; lines as they were taken, rows in the upper half; noise states and device words, rows behind all columns."""

    def __init__(self, m: Module, p: CrossbarParameters, at: Position, settings: data.View, request: data.View) -> None:
        weight = signed(p.weight_bits)
        self.given = Signal(record(value=max(p.code_bits, p.desired_bl), negative=1))
        self.moved = Signal(weight)
        # What is done in this cycle: words are read, a line is taken, a generator draws, a weight moves; or an access.
        self.read, self.take, self.draw, self.move = Signal(), Signal(), Signal(), Signal()
        self.accessing, self.store = Signal(), Signal()
        self.space = Signal(Space)  # of the access whose answer is given
        lines, bits = p.column_beats + p.row_beats, width_for(max(p.longest_rows, p.longest_columns) - 1)
        space = request.space
        asks_devices = (space == Space.ROW_DEVICE) | (space == Space.COLUMN_DEVICE)
        asked = Mux(asks_devices, request.address[DRAW_BITS:], request.address)
        of_rows = Mux(self.accessing, (space == Space.ROW_NOISE) | (space == Space.ROW_DEVICE), at.side)
        first = Mux(self.accessing, 0, Mux(at.side, settings.row_base, settings.column_base))
        line = Signal(range(lines))
        #: Which of the line's device words is read.
        self.draw_number = Signal(DRAW_BITS)
        m.d.comb += line.eq(first + Mux(self.accessing, asked, at.number) + Mux(of_rows, p.column_beats, 0))

        def memory(name: str, shape, depth: int, address: Value, word: Value, write: Value):  # type: ignore[no-untyped-def]
            m.submodules[name] = block = exclusive_memory(shape, depth)
            writing, reading = block.write_port(), block.read_port()
            m.d.comb += [
                reading.addr.eq(address),
                reading.en.eq(self.read),
                writing.addr.eq(address),
                writing.data.eq(word),
                writing.en.eq(write),
            ]
            return reading.data

        def stored(*spaces: Space) -> Value:
            return self.store & Cat(space == each for each in spaces).any()

        m.submodules.weights = weights = SinglePortMemory(weight, p.weight_words, spram=p.weights_in_spram)
        m.d.comb += [
            weights.address.eq(Mux(self.accessing, request.address, at.weight)),
            weights.read.eq(self.read),
            weights.write.eq(self.move | stored(Space.WEIGHT)),
            weights.data.eq(Mux(self.accessing, request.data[: p.weight_bits].as_signed(), self.moved)),
        ]
        self.weight = weights.q
        self.line = memory(
            "lines", self.given.shape(), 2 << bits, Cat(at.number[:bits], at.side), self.given, self.take
        )
        following = Signal(p.generator_width)
        self.state = memory(
            "states",
            p.generator_width,
            lines,
            line,
            Mux(self.accessing, request.data, following),
            self.draw | stored(Space.ROW_NOISE, Space.COLUMN_NOISE),
        )
        self.device = memory(
            "devices",
            WORD_BITS,
            lines * DRAWS,
            Cat(Mux(self.accessing, request.address[:DRAW_BITS], self.draw_number), line),
            request.data,
            stored(Space.ROW_DEVICE, Space.COLUMN_DEVICE),
        )
        m.d.comb += following.eq(next_state(self.state, p.generator_width))
        #: What the line's generator draws; what it has drawn before.
        self.fresh, self.drawn = following[:WORD_BITS], self.state[:WORD_BITS]
        self.answer = Signal(answer_bits(p))
        with m.Switch(self.space):
            with m.Case(Space.WEIGHT):
                m.d.comb += self.answer.eq(self.weight.as_unsigned())
            with m.Case(Space.ROW_NOISE, Space.COLUMN_NOISE):
                m.d.comb += self.answer.eq(self.state)
