"""`counters`: what a layer counts, in the order of docs/arithmetic.md, section 14: added up while a phase runs, then added
to the memory that the host reads."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.memory import exclusive_memory
from hdl.network.memory_ports import reading, writing
from hdl.shapes import index_for

#: What is counted, in order.
COUNTERS = (
    "forward_reads",
    "forward_repeats",
    "forward_saturations",
    "backward_reads",
    "backward_repeats",
    "backward_saturations",
    "update_cycles",
    "row_pulses",
    "column_pulses",
    "coincidences",
)
COUNTER_BITS = 64
#: Bits of what one phase of one image can count.
PHASE_BITS = 32
#: Words that a layer has in the memory.
LAYER_WORDS = 16


class Counters(wiring.Component):
    """What to add to each counter in this cycle, which is done a cycle later. ``flush`` adds all sums to the words of ``layer`` and clears
    them; ``done`` for a cycle after that. ``read`` and ``write``: the host's side, not during a flush."""

    def __init__(self, layers: int, add_bits: int) -> None:
        self.layers = layers
        address = index_for(layers * LAYER_WORDS)
        super().__init__(
            {
                **{name: In(add_bits) for name in COUNTERS},
                "layer": In(index_for(layers)),
                "flush": In(1),
                "done": Out(1),
                "read": In(reading(address.width, COUNTER_BITS)),
                "write": In(writing(address.width, COUNTER_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = exclusive_memory(COUNTER_BITS, self.layers * LAYER_WORDS)
        read, write = memory.read_port(), memory.write_port()
        sums = [Signal(PHASE_BITS, name=f"{name}_sum") for name in COUNTERS]
        for name, total in zip(COUNTERS, sums, strict=True):
            added = Signal.like(getattr(self, name), name=f"{name}_added")
            m.d.sync += [added.eq(getattr(self, name)), total.eq(total + added)]
        m.d.comb += [
            read.addr.eq(self.read.address),
            read.en.eq(self.read.enable),
            self.read.data.eq(read.data),
            write.addr.eq(self.write.address),
            write.en.eq(self.write.enable),
            write.data.eq(self.write.data),
        ]
        number = Signal(range(len(COUNTERS)))
        total = Signal(COUNTER_BITS)
        address = self.layer * LAYER_WORDS + number
        with m.FSM():
            with m.State("idle"):
                with m.If(self.flush):
                    m.next = "fetch"
            with m.State("fetch"):
                m.d.comb += [read.addr.eq(address), read.en.eq(1)]
                m.next = "add"
            with m.State("add"):
                # The sums move up, so that the one whose turn it is is always the first.
                m.d.sync += total.eq(read.data + sums[0])
                m.d.sync += [this.eq(after) for this, after in zip(sums, [*sums[1:], 0], strict=True)]
                m.next = "store"
            with m.State("store"):
                m.d.comb += [write.addr.eq(address), write.en.eq(1), write.data.eq(total)]
                m.d.sync += number.eq(number + 1)
                m.next = "fetch"
                with m.If(number == len(COUNTERS) - 1):
                    m.d.sync += number.eq(0)
                    m.d.comb += self.done.eq(1)
                    m.next = "idle"
        return m
