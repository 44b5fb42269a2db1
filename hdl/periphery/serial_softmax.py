"""The softmax of the smallest FPGAs: what `Softmax` is made of where ``serial``.

The same equation as hdl/periphery/softmax.py has it, a class at a time, with one memory that holds the logits, then their
exponentials, then the probabilities; products and quotients are found bit by bit in one pair of registers:

    product     (high, low) = (0, fine): high + coarse if the lowest bit is set, then both a place to the right; at last
                the point of the exponential lies a bit below the highest of low
    quotient    (high, low) = (e, 0): high - total if that fits, which is the next bit of low; then high a place to the left
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
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
        logit_bits, half = p.magnitude_bits + 1, p.adc_fraction - 1
        coarse_table, fine_table = exponential_tables(p.adc_fraction)
        m.submodules.words = words = exclusive_memory(max(logit_bits, WORD), p.classes)
        m.submodules.coarse = coarse = Memory(shape=WORD, depth=len(coarse_table), init=coarse_table.tolist())
        m.submodules.fine = fine = Memory(shape=FINE_BITS, depth=max(2, len(fine_table)), init=fine_table.tolist())
        write, read = words.write_port(), words.read_port()
        coarse_entry, fine_entry = coarse.read_port(), fine.read_port()

        number, label = Signal(range(p.classes)), Signal(range(p.classes))
        largest = Signal(signed(logit_bits))
        total, others = Signal(p.divider.denominator_bits), Signal(WORD)
        high, low = Signal(p.divider.denominator_bits + 1), Signal(WORD)
        left, inside = Signal(range(max(FINE_BITS, WORD))), Signal()
        ends = number == p.classes - 1
        given, result = self.i.payload, self.o.payload
        distance = Signal(logit_bits)
        power = Mux(inside, rounded(Cat(low, high)[WORD - 2 :])[:WORD], 0)
        m.d.comb += [
            read.addr.eq(number),
            write.addr.eq(number),
            distance.eq(largest - read.data[:logit_bits].as_signed()),
            coarse_entry.addr.eq(distance[half:]),
            fine_entry.addr.eq(distance[:half]),
            result.mask.eq(1),
            result.last.eq(ends),
            result.elements[0].eq(Mux(number == label, others, -read.data[:WORD])),
        ]
        fits = high >= total

        def next_class(this: str, after: str) -> None:
            m.d.sync += number.eq(Mux(ends, 0, number + 1))
            m.next = this
            with m.If(ends):
                m.next = after

        with m.FSM():
            with m.State("take"):
                m.d.comb += [self.i.ready.eq(1), write.data.eq(given.elements[0]), write.en.eq(self.i.valid)]
                m.d.sync += [total.eq(0), others.eq(0), label.eq(given.label)]
                with m.If(self.i.valid):
                    with m.If((number == 0) | (given.elements[0] > largest)):
                        m.d.sync += largest.eq(given.elements[0])
                    m.d.sync += number.eq(Mux(given.last, 0, number + 1))
                    with m.If(given.last):
                        m.next = "logit"
            # --- exponentials
            with m.State("logit"):
                m.next = "distance"
            with m.State("distance"):
                m.d.sync += inside.eq(distance < EXPONENTIAL_RANGE << p.adc_fraction)
                m.next = "factors"
            with m.State("factors"):
                m.d.sync += [high.eq(0), low.eq(fine_entry.data), left.eq(FINE_BITS - 1)]
                m.next = "product"
            with m.State("product"):
                m.d.sync += [
                    Cat(low, high).eq(Cat(low, high + Mux(low[0], coarse_entry.data, 0))[1:]),
                    left.eq(left - 1),
                ]
                with m.If(left == 0):
                    m.next = "power"
            with m.State("power"):
                m.d.comb += [write.data.eq(power), write.en.eq(1)]
                m.d.sync += total.eq(total + power)
                next_class("logit", "exponential")
            # --- probabilities
            with m.State("exponential"):
                m.next = "quotient begins"
            with m.State("quotient begins"):
                m.d.sync += [high.eq(read.data[:WORD]), left.eq(WORD - 1)]
                m.next = "quotient"
            with m.State("quotient"):
                m.d.sync += [
                    high.eq(Cat(0, Mux(fits, high - total, high))),
                    low.eq(Cat(fits, low)),
                    left.eq(left - 1),
                ]
                with m.If(left == 0):
                    m.next = "probability"
            with m.State("probability"):
                m.d.comb += [write.data.eq(low), write.en.eq(1)]
                with m.If(number != label):
                    m.d.sync += others.eq(others + low)
                next_class("exponential", "error")
            # --- errors
            with m.State("error"):
                m.next = "give"
            with m.State("give"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    next_class("error", "take")
        return m
