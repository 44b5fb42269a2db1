"""The softmax of the smallest FPGAs: what `Softmax` is made of where ``serial``.

The same equation as hdl/periphery/softmax.py has it, a class at a time, with one memory that holds the logits, then their
exponentials, then the probabilities, and the tables; products and quotients are found bit by bit in one pair of registers:

    product     (high, low) = (0, fine): high + coarse if the lowest bit is set, then both a place to the right; at last
                the point of the exponential lies a bit below the highest of low
    quotient    (high, low) = (e, 0): high - total if that fits, which is the next bit of low; then high a place to the left
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import ReadPort, WritePort
from amaranth.lib.wiring import In, Out

from emulator.config.tables import EXPONENTIAL_RANGE, FINE_FRACTION_BITS, exponential_tables
from emulator.fixed import SOFTMAX_FRACTION_BITS
from hdl.fixed import rounded
from hdl.memory import exclusive_memory
from hdl.shapes import beat, stream_of, width_for

if TYPE_CHECKING:
    from hdl.periphery.softmax import SoftmaxParameters

#: An exponential or a probability: 1.0 included.
WORD = SOFTMAX_FRACTION_BITS + 1
FINE_BITS = FINE_FRACTION_BITS + 1
#: Cycles of a class: its exponential, its probability.
POWER_CYCLES, QUOTIENT_CYCLES = 4 + FINE_BITS, 3 + WORD


@dataclass(frozen=True)
class _Work:
    """Of an image: the class in turn, the label, the largest logit, sums of exponentials and of the probabilities beside the
    label, the pair of registers, and how many of their steps are left."""

    number: Signal
    label: Signal
    largest: Signal
    total: Signal
    others: Signal
    high: Signal
    low: Signal
    left: Signal


class SerialSoftmax(wiring.Component):
    def __init__(self, parameters: SoftmaxParameters) -> None:
        p = self.parameters = parameters
        super().__init__(
            {
                "i": In(stream_of(beat(signed(p.magnitude_bits + 1), 1, label=width_for(p.classes - 1)))),
                "o": Out(stream_of(beat(signed(WORD + 1), 1))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        work = _Work(
            number=Signal(range(p.classes)),
            label=Signal(range(p.classes)),
            largest=Signal(signed(p.magnitude_bits + 1)),
            total=Signal(p.divider.denominator_bits),
            others=Signal(WORD),
            high=Signal(p.divider.denominator_bits + 1),
            low=Signal(WORD),
            left=Signal(range(max(FINE_BITS, WORD))),
        )
        coarse_table, fine_table = (table.tolist() for table in exponential_tables(p.adc_fraction))
        # Tables lie behind the words of the classes, each from a power of two on.
        coarse_first = max(len(coarse_table), 1 << (p.classes - 1).bit_length())
        fine_first = max(2 * coarse_first, len(fine_table))
        contents = [0] * fine_first + fine_table
        contents[coarse_first : coarse_first + len(coarse_table)] = coarse_table
        m.submodules.words = words = exclusive_memory(max(p.magnitude_bits + 1, WORD), len(contents), contents)
        write, read = words.write_port(), words.read_port()
        m.d.comb += [read.addr.eq(work.number), write.addr.eq(work.number)]
        with m.FSM():
            self._take(m, work, write)
            self._exponentials(m, work, write, read, (coarse_first, fine_first))
            self._divide(m, work, write, read.data)
            self._give(m, work, read.data)
        return m

    def _next_class(self, m: Module, work: _Work, this: str, after: str) -> None:
        """The same for the next class, or what comes after the last one."""
        ends = work.number == self.parameters.classes - 1
        m.d.sync += work.number.eq(Mux(ends, 0, work.number + 1))
        m.next = this
        with m.If(ends):
            m.next = after

    def _take(self, m: Module, work: _Work, write: WritePort) -> None:
        """The logits, and the largest of them."""
        given = self.i.payload
        with m.State("take"):
            m.d.comb += [self.i.ready.eq(1), write.data.eq(given.elements[0]), write.en.eq(self.i.valid)]
            m.d.sync += [work.total.eq(0), work.others.eq(0), work.label.eq(given.label)]
            with m.If(self.i.valid):
                with m.If((work.number == 0) | (given.elements[0] > work.largest)):
                    m.d.sync += work.largest.eq(given.elements[0])
                m.d.sync += work.number.eq(Mux(given.last, 0, work.number + 1))
                with m.If(given.last):
                    m.next = "logit"

    def _exponentials(self, m: Module, work: _Work, write: WritePort, read: ReadPort, tables: tuple[int, int]) -> None:
        """``tables``: where they begin."""
        p = self.parameters
        half = p.adc_fraction - 1
        coarse_bits = (2 * EXPONENTIAL_RANGE - 1).bit_length()
        coarse_first, fine_first = tables
        distance, inside = Signal(p.magnitude_bits + 1), Signal()
        coarse = Signal(coarse_bits)
        power = Mux(inside, rounded(Cat(work.low, work.high)[WORD - 2 :])[:WORD], 0)
        m.d.comb += distance.eq(work.largest - read.data[: p.magnitude_bits + 1].as_signed())
        with m.State("logit"):
            m.next = "distance"
        with m.State("distance"):
            m.d.comb += read.addr.eq(distance[:half] | fine_first)
            m.d.sync += [inside.eq(distance < EXPONENTIAL_RANGE << p.adc_fraction), coarse.eq(distance[half:])]
            m.next = "factors"
        with m.State("factors"):
            m.d.comb += read.addr.eq(coarse | coarse_first)
            m.d.sync += [work.high.eq(0), work.low.eq(read.data[:FINE_BITS]), work.left.eq(FINE_BITS - 1)]
            m.next = "product"
        with m.State("product"):
            m.d.comb += read.addr.eq(coarse | coarse_first)
            total = work.high + Mux(work.low[0], read.data[:WORD], 0)
            m.d.sync += [Cat(work.low, work.high).eq(Cat(work.low, total)[1:]), work.left.eq(work.left - 1)]
            with m.If(work.left == 0):
                m.next = "power"
        with m.State("power"):
            m.d.comb += [write.data.eq(power), write.en.eq(1)]
            m.d.sync += work.total.eq(work.total + power)
            self._next_class(m, work, "logit", "exponential")

    def _divide(self, m: Module, work: _Work, write: WritePort, word: Value) -> None:
        """Every exponential becomes a probability, in its place."""
        fits = work.high >= work.total
        with m.State("exponential"):
            m.next = "dividend"
        with m.State("dividend"):
            m.d.sync += [work.high.eq(word[:WORD]), work.left.eq(WORD - 1)]
            m.next = "quotient"
        with m.State("quotient"):
            rest = Mux(fits, work.high - work.total, work.high)
            m.d.sync += [
                work.high.eq(Cat(Const(0, 1), rest)),
                work.low.eq(Cat(fits, work.low)),
                work.left.eq(work.left - 1),
            ]
            with m.If(work.left == 0):
                m.next = "probability"
        with m.State("probability"):
            m.d.comb += [write.data.eq(work.low), write.en.eq(1)]
            with m.If(work.number != work.label):
                m.d.sync += work.others.eq(work.others + work.low)
            self._next_class(m, work, "exponential", "error")

    def _give(self, m: Module, work: _Work, word: Value) -> None:
        result = self.o.payload
        m.d.comb += [
            result.mask.eq(1),
            result.last.eq(work.number == self.parameters.classes - 1),
            result.elements[0].eq(Mux(work.number == work.label, work.others, -word[:WORD])),
        ]
        with m.State("error"):
            m.next = "give"
        with m.State("give"):
            m.d.comb += self.o.valid.eq(1)
            with m.If(self.o.ready):
                self._next_class(m, work, "error", "take")
