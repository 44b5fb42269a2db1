"""A memory that gives what no block may use: for tests of ``exclusive_memory``."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import memory, wiring


class Garbling(wiring.Component):
    """A memory that gives the complement of a word that is read while it is written."""

    def __init__(self, *, attrs: dict[str, Any], **arguments: Any) -> None:
        self._memory = memory.Memory(**arguments)
        self._writes: list[memory.WritePort] = []
        self._reads: list[tuple[memory.ReadPort, wiring.PureInterface]] = []
        super().__init__({})

    def write_port(self) -> memory.WritePort:
        self._writes.append(self._memory.write_port())
        return self._writes[-1]

    def read_port(self, transparent_for: list[memory.WritePort] | None = None) -> wiring.PureInterface:
        assert not transparent_for, "an exclusive memory has no use for it"
        inner = self._memory.read_port()
        outer = inner.signature.flip().create()
        self._reads.append((inner, outer))
        return outer

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = self._memory
        for number, (inner, outer) in enumerate(self._reads):
            collided = Signal(name=f"collided_{number}")
            hit = Cat(write.en & (write.addr == outer.addr) for write in self._writes).any()
            with m.If(outer.en):
                m.d.sync += collided.eq(hit)
            word = Signal.cast(outer.data) if isinstance(outer.data, Signal) else outer.data.as_value()
            given = inner.data if isinstance(inner.data, Signal) else inner.data.as_value()
            m.d.comb += [
                inner.addr.eq(outer.addr),
                inner.en.eq(outer.en),
                word.eq(given ^ collided.replicate(len(word))),
            ]
        return m
