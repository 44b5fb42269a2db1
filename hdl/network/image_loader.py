"""`image_loader`: pixels as activations into the memory, a pixel a word: ``(p << (Q + 1) + 255) // 510``, by table."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.network.memory_ports import writing
from hdl.pipeline import delayed
from hdl.shapes import record, stream_of

PIXELS = 256


class ImageLoader(wiring.Component):
    """Takes ``last_pixel + 1`` pixels from ``start`` on; ``done`` for a cycle, once the last one is stored. ``words``:
    layout of the memory's word; a pixel is its first lane. ``fraction``: Q."""

    def __init__(self, address_bits: int, words: data.ArrayLayout, fraction: int) -> None:
        self.fraction = fraction
        super().__init__(
            {
                "start": In(1),
                "done": Out(1),
                "last_pixel": In(address_bits),
                "i": In(stream_of(record(value=8))),
                "memory": Out(writing(address_bits, words)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        q = self.fraction
        table = [((pixel << (q + 1)) + 255) // 510 for pixel in range(PIXELS)]
        m.submodules.table = memory = Memory(shape=q + 1, depth=PIXELS, init=table)
        entry = memory.read_port()
        loading = Signal()
        address = Signal.like(self.memory.address)
        taken = Signal()
        last = address == self.last_pixel
        m.d.comb += [
            self.i.ready.eq(loading),
            taken.eq(self.i.valid & loading),
            entry.addr.eq(self.i.payload.value),
            self.memory.address.eq(delayed(m, 1, address, 1, "address")[-1]),
            self.memory.enable.eq(delayed(m, 1, taken, 1, "taken")[-1]),
            self.memory.data[0].eq(entry.data),
            self.done.eq(delayed(m, 1, taken & last, 1, "last")[-1]),
        ]
        with m.If(taken):
            m.d.sync += address.eq(address + 1)
            with m.If(last):
                m.d.sync += [address.eq(0), loading.eq(0)]
        with m.If(self.start):
            m.d.sync += loading.eq(1)
        return m
