"""A memory that is read or written, never both at once, and whose contents nobody expects before they are written.

Such a memory may lie in the large single-port memories of an iCE40 UltraPlus (SB_SPRAM256KA, 16,384 words of 16 bits), of
which Yosys makes no use by itself. ``q`` is the word of ``address`` a cycle after ``read``, and stays until the next one.
"""

from __future__ import annotations

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, ShapeLike, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.memory import exclusive_memory
from hdl.shapes import index_for

SPRAM_ADDRESS_BITS, SPRAM_BITS = 14, 16
#: The write mask has a bit for every four.
SPRAM_MASK = 0b1111


class SinglePortMemory(wiring.Component):
    """``depth`` words. ``spram``: in SB_SPRAM256KA, as many beside each other as a word takes."""

    def __init__(self, shape: ShapeLike, depth: int, *, spram: bool = False) -> None:
        if spram and depth > 1 << SPRAM_ADDRESS_BITS:
            raise ValueError(f"depth = {depth}: accepted: at most {1 << SPRAM_ADDRESS_BITS} in SB_SPRAM256KA")
        self.shape, self.depth, self.spram = shape, depth, spram
        super().__init__(
            {
                "address": In(index_for(depth)),
                "read": In(1),
                "write": In(1),
                "data": In(shape),
                "q": Out(shape),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if not self.spram:
            m.submodules.memory = memory = exclusive_memory(self.shape, self.depth)
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                *(port.addr.eq(self.address) for port in (write, read)),
                read.en.eq(self.read),
                write.en.eq(self.write),
                write.data.eq(self.data),
                self.q.eq(read.data),
            ]
            return m
        slices = -(-len(self.data) // SPRAM_BITS)
        given, out = Signal(slices * SPRAM_BITS), Signal(slices * SPRAM_BITS)
        m.d.comb += [given.eq(self.data), self.q.eq(out)]
        for number in range(slices):
            part = slice(number * SPRAM_BITS, (number + 1) * SPRAM_BITS)
            m.submodules[f"spram_{number}"] = Instance(
                "SB_SPRAM256KA",
                i_CLOCK=ClockSignal(),
                i_ADDRESS=Cat(self.address, Const(0, SPRAM_ADDRESS_BITS - len(self.address))),
                i_DATAIN=given[part],
                i_MASKWREN=Const(SPRAM_MASK),
                i_WREN=self.write,
                i_CHIPSELECT=self.read | self.write,
                i_STANDBY=Const(0, 1),
                i_SLEEP=Const(0, 1),
                i_POWEROFF=Const(1, 1),  # low turns it off
                o_DATAOUT=out[part],
            )
        return m
