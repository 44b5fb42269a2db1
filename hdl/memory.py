"""Memories of which no word is used that was read in the cycle in which it was written.

Block memories of FPGAs differ in what such a read gives. A memory that must give the old word everywhere takes, beside the
block memory, a register for every bit that is written and one for every bit that is read, and a comparator of addresses.
``exclusive_memory`` tells synthesis that nothing of this is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from amaranth.hdl import ShapeLike
from amaranth.lib.memory import Memory

#: The attribute of memories that says so to Yosys.
EXCLUSIVE = "no_rw_check"
#: The attribute of memories that are too deep for the choice among LUTs of every bit, though they hold few.
IN_BLOCK = {"ram_style": "block"}
#: The attribute of registers that are not to become one with equal registers.
NOT_JOINED = {"not_joined": True}
#: Yosys' commands after it has read RTLIL. A memory of Amaranth gives the old word there whatever its attributes are: its
#: registers are taken off, to be found anew with regard to them. What is not to be joined are the cells behind the wires.
AFTER_RTLIL = "proc; memory_nordff; setattr -set keep 1 a:not_joined %ci1 t:$*dff* %i"


def exclusive_memory(
    shape: ShapeLike, depth: int, init: Iterable[Any] = (), attrs: Mapping[str, Any] = MappingProxyType({})
) -> Memory:
    """At least two words, since a word alone has no address."""
    return Memory(shape=shape, depth=max(2, depth), init=init, attrs={EXCLUSIVE: 1, **attrs})
