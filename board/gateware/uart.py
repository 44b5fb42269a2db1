"""A UART in both directions: a byte is a low start bit, eight bits, the lowest first, and a high stop bit.

Bits last a whole number of clock cycles, at least four: fewer leave no room to sample near their middle.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.shapes import index_for, record, stream_of

BYTE_BITS = 8
#: Start bit, byte, stop bit.
BITS_PER_BYTE = BYTE_BITS + 2
LEAST_CLOCKS_PER_BIT = 4

#: A stream of bytes, as all of the link has them.
BYTES = stream_of(record(value=BYTE_BITS))


def check_clocks_per_bit(clocks_per_bit: int) -> None:
    """Raises ValueError."""
    if clocks_per_bit < LEAST_CLOCKS_PER_BIT:
        raise ValueError(f"clocks_per_bit = {clocks_per_bit}: accepted: at least {LEAST_CLOCKS_PER_BIT}")


class UartReceiver(wiring.Component):
    """``rx``: the line, from any clock; ``o``: its bytes.

    A start bit counts if it is still low in its middle; a byte counts if its stop bit is high. A byte that comes while the
    one before still waits on ``o`` is lost. Raises ValueError.
    """

    def __init__(self, clocks_per_bit: int) -> None:
        check_clocks_per_bit(clocks_per_bit)
        self.clocks_per_bit = clocks_per_bit
        super().__init__({"rx": In(1, init=1), "o": Out(BYTES)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = self._synchronised(m)
        wait = Signal(index_for(self.clocks_per_bit))
        # A one goes ahead of the bits; when it is at the end, all have come.
        bits = Signal(BYTE_BITS + 1)
        middle = wait == 0
        m.d.comb += self.o.payload.value.eq(bits[1:])
        m.d.sync += wait.eq(wait - 1)
        with m.If(middle):
            m.d.sync += wait.eq(self.clocks_per_bit - 1)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM():
            with m.State("idle"):
                m.d.sync += wait.eq(self.clocks_per_bit // 2 - 1)
                with m.If(~line & (~self.o.valid | self.o.ready)):
                    m.next = "start"
            with m.State("start"), m.If(middle):
                m.d.sync += bits.eq(1 << BYTE_BITS)
                m.next = "bits"
                with m.If(line):
                    m.next = "idle"
            with m.State("bits"), m.If(middle):
                with m.If(bits[0]):
                    m.d.sync += self.o.valid.eq(line)
                    m.next = "idle"  # at once: from a faster clock the next start bit is near
                    with m.If(~line):
                        m.next = "high"
                with m.Else():
                    m.d.sync += bits.eq(Cat(bits[1:], line))
            with m.State("high"), m.If(line):
                m.next = "idle"
        return m

    def _synchronised(self, m: Module) -> Signal:
        """The line through two registers: the first one may hang between high and low for a while."""
        first, second = Signal(init=1), Signal(init=1)
        m.d.sync += [first.eq(self.rx), second.eq(first)]
        return second


class UartTransmitter(wiring.Component):
    """``i``: bytes; ``tx``: the line, high while there are none. Bytes follow each other without a pause. Raises ValueError."""

    def __init__(self, clocks_per_bit: int) -> None:
        check_clocks_per_bit(clocks_per_bit)
        self.clocks_per_bit = clocks_per_bit
        super().__init__({"i": In(BYTES), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wait = Signal(index_for(self.clocks_per_bit))
        # The stop bit is the last one that is left, and stays.
        bits = Signal(BITS_PER_BYTE, init=1)
        done, last = Signal(), Signal()
        m.d.comb += [
            done.eq(wait == 0),
            last.eq(~bits[1:].any()),
            self.tx.eq(bits[0]),
            self.i.ready.eq(done & last),
        ]
        m.d.sync += wait.eq(wait - 1)
        with m.If(done):
            m.d.sync += [wait.eq(self.clocks_per_bit - 1), bits.eq(bits[1:])]
            with m.If(last):
                m.d.sync += [wait.eq(0), bits.eq(1)]
                with m.If(self.i.valid):
                    m.d.sync += [
                        wait.eq(self.clocks_per_bit - 1),
                        bits.eq(Cat(Const(0, 1), self.i.payload.value, Const(1, 1))),
                    ]
        return m
