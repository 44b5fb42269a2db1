"""`counters` for the smallest FPGAs: the same words, and the host's counts of cycles, images and errors beside them.

In a phase only the counters of its operation count, so those of all operations share four sums, which are as wide as a
phase can make them; and the memory's word is added to on its way back. The host's counts are the words from
``FIRST_OF_HOST`` on of layer 0, added to at the end of an image; cycles in which that is done count for the next.
"""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.memory import exclusive_memory
from hdl.network.counters import COUNTER_BITS, COUNTERS, LAYER_WORDS
from hdl.network.memory_ports import reading, writing
from hdl.network.tile_parts import Operation
from hdl.shapes import index_for

#: Counters of an operation, in the order of COUNTERS.
GROUPS = {
    Operation.FORWARD: COUNTERS[:3],
    Operation.BACKWARD: COUNTERS[3:6],
    Operation.UPDATE: COUNTERS[6:],
}
FIRST_OF_HOST = len(COUNTERS)
HOST_COUNTS = ("cycle", "image", "error")
#: Cycles, images and errors between two ends of images.
CYCLE_BITS = 32


class CompactCounters(wiring.Component):
    """As Counters, with ``operation`` of the phase. ``finish`` ends an image: adds what ``cycle``, ``image`` and ``error``
    counted since the last one. ``phase_bits``: of what a phase can count. Its memory holds ``descriptors`` words of
    descriptors as well, which are neither read nor written together with counters."""

    def __init__(self, layers: int, add_bits: int, phase_bits: int, descriptors: int) -> None:
        self.layers, self.phase_bits = layers, phase_bits
        address = index_for(layers * LAYER_WORDS)
        #: Words of either kind: those of descriptors lie in the upper half.
        self._half = 1 << max(address.width, index_for(descriptors).width)
        descriptor = index_for(descriptors)
        super().__init__(
            {
                **{name: In(add_bits) for name in COUNTERS},
                **{name: In(1) for name in HOST_COUNTS},
                "layer": In(index_for(layers)),
                "operation": In(Operation),
                "flush": In(1),
                "finish": In(1),
                "done": Out(1),
                "read": In(reading(address.width, COUNTER_BITS)),
                "write": In(writing(address.width, COUNTER_BITS)),
                "descriptors_read": In(reading(descriptor.width, unsigned(COUNTER_BITS))),
                "descriptors_write": In(writing(descriptor.width, unsigned(COUNTER_BITS))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = exclusive_memory(COUNTER_BITS, 2 * self._half)
        read, write = memory.read_port(), memory.write_port()
        number, finishing, storing = Signal(range(4)), Signal(), Signal()
        sums = [Signal(self.phase_bits, name=f"sum_{place}") for place in range(4)]
        counts = [
            Signal(bits, name=f"{name}_count") for name, bits in zip(HOST_COUNTS, (CYCLE_BITS, 1, 1), strict=True)
        ]
        for place, total in enumerate(sums):
            added = 0
            for names in GROUPS.values():
                if place < len(names):
                    added |= getattr(self, names[place])
            clear = storing & ~finishing & (number == place)
            m.d.sync += total.eq(Mux(clear, 0, total) + added)
        for place, (name, total) in enumerate(zip(HOST_COUNTS, counts, strict=True)):
            clear = storing & finishing & (number == place)
            m.d.sync += total.eq(Mux(clear, 0, total) + getattr(self, name))
        first = Array((0, 3, 6, 0))[self.operation.as_value()]
        address = Mux(finishing, FIRST_OF_HOST + number, self.layer * LAYER_WORDS + first + number)
        last = Mux(finishing | (self.operation != Operation.UPDATE), 2, 3)
        value = Mux(finishing, Array([*counts, 0])[number], Array(sums)[number])
        asked, given = self.descriptors_read, self.descriptors_write
        m.d.comb += [
            read.addr.eq(Mux(asked.enable, asked.address | self._half, self.read.address)),
            read.en.eq(asked.enable | self.read.enable),
            self.read.data.eq(read.data),
            asked.data.eq(read.data),
            write.addr.eq(Mux(given.enable, given.address | self._half, self.write.address)),
            write.en.eq(given.enable | self.write.enable),
            write.data.eq(Mux(given.enable, given.data, self.write.data)),
        ]
        with m.FSM():
            with m.State("idle"):
                m.d.sync += finishing.eq(self.finish)
                with m.If(self.flush | self.finish):
                    m.next = "fetch"
            with m.State("fetch"):
                m.d.comb += [read.addr.eq(address), read.en.eq(1)]
                m.next = "store"
            with m.State("store"):
                m.d.comb += [
                    storing.eq(1),
                    write.addr.eq(address),
                    write.en.eq(1),
                    write.data.eq(read.data + value),
                ]
                m.d.sync += number.eq(number + 1)
                m.next = "fetch"
                with m.If(number == last):
                    m.d.sync += number.eq(0)
                    m.d.comb += self.done.eq(1)
                    m.next = "idle"
        return m
