"""Sides of the network's memories, as its parts see them: a read answers in the next cycle, a write is done in its own."""

from __future__ import annotations

from amaranth.hdl import Module, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


def reading(address_bits: int, word: data.Layout) -> wiring.Signature:
    """What reads a memory: the word of ``address`` under ``enable``; without it the word stays."""
    return wiring.Signature({"address": Out(address_bits), "enable": Out(1), "data": In(word)})


def writing(address_bits: int, word: data.Layout) -> wiring.Signature:
    """What writes a memory."""
    return wiring.Signature({"address": Out(address_bits), "enable": Out(1), "data": Out(word)})


def attach(
    m: Module,
    memory: Memory,
    readers: list[tuple[Value, wiring.PureInterface]],
    writers: list[tuple[Value, wiring.PureInterface]],
) -> None:
    """One read and one write port, given to whoever's condition holds: never to two at once."""
    read, write = memory.read_port(), memory.write_port()
    m.d.comb += read.en.eq(0)
    for chosen, reader in readers:
        m.d.comb += reader.data.eq(read.data)
        with m.If(chosen):
            m.d.comb += [read.addr.eq(reader.address), read.en.eq(reader.enable)]
    for chosen, writer in writers:
        with m.If(chosen):
            m.d.comb += [write.addr.eq(writer.address), write.data.eq(writer.data), write.en.eq(writer.enable)]
