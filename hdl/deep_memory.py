"""A memory of many words, whose bits lie in columns so that few block memories have to be chosen among for a word.

Block memories beside each other cost nothing but themselves; those behind each other also a choice for every bit, and a long
wire from each of them to it. Synthesis looks for the fewest block memories, however deep that stacks them: for the 10,344
words of 18 bits of a device lane eleven of the widest form, where twelve of half its width stack only six.

As an exclusive memory (hdl/memory.py), no word is used that was read in the cycle in which it was written. All that is given
goes into registers first: ``q`` is the word of ``read_address`` two cycles later.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, ShapeLike, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.memory import NOT_JOINED, exclusive_memory
from hdl.shapes import index_for

#: Bits of a word, and words, of a block memory of an ECP5 in its forms.
FORMS = ((18, 1 << 10), (9, 1 << 11), (4, 1 << 12), (2, 1 << 13), (1, 1 << 14))
#: Of the fewest block memories, one in so many may be spent on less depth.
SPENT = 8


def column_bits(bits: int, depth: int) -> int:
    """Bits of a word that lie in a memory of their own."""
    blocks = {width: -(-depth // words) * -(-bits // width) for width, words in FORMS}
    fewest = min(blocks.values())
    return min(width for width, count in blocks.items() if SPENT * (count - fewest) <= fewest)


class DeepMemory(wiring.Component):
    """``depth`` words."""

    def __init__(self, shape: ShapeLike, depth: int) -> None:
        self.shape, self.depth = shape, depth
        super().__init__(
            {
                "read_address": In(index_for(depth)),
                "q": Out(shape),
                "write": In(1),
                "write_address": In(index_for(depth)),
                "data": In(shape),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = column_bits(len(self.data), self.depth)
        addresses = []
        for name, given in (("read", self.read_address), ("write", self.write_address)):
            # Memories that are given the same addresses must not have these in common: a net to all of their block memories.
            addresses.append(Signal.like(given, name=f"own_{name}_address", reset_less=True, attrs=NOT_JOINED))
            m.d.sync += addresses[-1].eq(given)
        written, word = Signal(), Signal(len(self.data))
        m.d.sync += [written.eq(self.write), word.eq(self.data)]
        columns = []
        for low in range(0, len(self.data), width):
            given = word[low : low + width]
            m.submodules[f"bits_{low}"] = memory = exclusive_memory(len(given), self.depth)
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                read.addr.eq(addresses[0]),
                write.addr.eq(addresses[1]),
                write.data.eq(given),
                write.en.eq(written),
            ]
            columns.append(read.data)
        m.d.comb += self.q.eq(Cat(columns))
        return m
