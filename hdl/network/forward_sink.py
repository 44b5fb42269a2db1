"""`forward_sink`: from the pre-activations of an array to the volume handed on: activation, pooling, memory.

    a = activation(y);  with pooling the maximum of 2 x 2 positions and its place, the first of equal ones

Positions come in raster order. What is pooled so far of a row of windows stays in a small memory. The pre-activations of
the last array are the logits and go on as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.memory import exclusive_memory
from hdl.network.descriptor import DescriptorWidths, window_geometry
from hdl.network.memory_ports import writing
from hdl.network.windows import Windows
from hdl.periphery.activation import Activation, ActivationParameters
from hdl.periphery.pooling import PLACE
from hdl.shapes import stream_of


class ForwardSink(wiring.Component):
    """``start`` before the first pre-activation of ``layer``; ``done`` for a cycle, once the last one is stored or, of
    the last array, taken. ``activations``: parameters of the functions that the network has, by their ``kind``.
    ``line_in_block``: the memory of a row of windows is one that answers in the next cycle, so that a beat takes two."""

    def __init__(
        self,
        widths: DescriptorWidths,
        activations: Sequence[ActivationParameters],
        line_words: int,
        *,
        line_in_block: bool = False,
    ) -> None:
        self._activations = {p.kind: Activation(p) for p in activations}
        self.lanes, self.line_words, self.line_in_block = widths.lanes, line_words, line_in_block
        first = next(iter(self._activations.values()))
        payload = first.i.payload.shape()
        super().__init__(
            {
                "layer": In(widths.layer),
                "start": In(1),
                "done": Out(1),
                "i": In(stream_of(payload)),
                "logits": Out(stream_of(payload)),
                "memory": Out(writing(widths.address, first.o.payload.shape()["elements"].shape)),
                "places": Out(writing(widths.address, data.ArrayLayout(PLACE, widths.lanes))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value, taken = self._activate(m)
        windows = Windows(m, window_geometry(self.layer), taken, self.start)
        maximum, places = self._pool(m, windows, value, taken)
        complete = windows.inside & (~self.layer.pooled | (windows.place == 3))
        logits_end = self.logits.valid & self.logits.ready & self.logits.payload.last
        ended = Signal()
        # A register between the comparison and the block memories, which lie anywhere.
        m.d.sync += [
            self.memory.address.eq(self.layer.output_base + windows.address),
            self.memory.data.eq(maximum),
            self.places.data.eq(places),
            self.memory.enable.eq(taken & complete),
            ended.eq(taken & windows.ends),
        ]
        m.d.comb += [
            self.places.address.eq(self.memory.address),
            self.places.enable.eq(self.memory.enable),
            self.done.eq(Mux(self.layer.is_last, logits_end, ended)),
        ]
        return m

    def _activate(self, m: Module) -> tuple[data.View, Value]:
        """Pre-activations through the function of the layer, or to the logits. What comes out, and when it is taken."""
        value = Signal(self.memory.data.shape())
        taken, fetched = Signal(), Signal(init=1)
        if self.line_in_block:
            # The word of a place is there in the second cycle after a beat, which moves the place on.
            m.d.sync += fetched.eq(~taken)
        m.d.comb += self.logits.payload.eq(self.i.payload)
        with m.If(self.layer.is_last):
            m.d.comb += [self.logits.valid.eq(self.i.valid), self.i.ready.eq(self.logits.ready)]
        for kind, block in self._activations.items():
            m.submodules[f"activation_{kind}"] = block
            m.d.comb += [block.i.payload.eq(self.i.payload), block.o.ready.eq(fetched)]
            with m.If(~self.layer.is_last & (self.layer.tanh == (kind == "tanh"))):
                m.d.comb += [block.i.valid.eq(self.i.valid), self.i.ready.eq(block.i.ready)]
            with m.If(block.o.valid & fetched):
                m.d.comb += [value.eq(block.o.payload.elements), taken.eq(1)]
        return value, taken

    def _pool(self, m: Module, windows: Windows, value: data.View, taken: Value) -> tuple[data.View, data.View]:
        """The maximum of a window up to this position, and its place. Positions of no window are not ``inside``."""
        entry = data.StructLayout({"value": value.shape(), "places": self.places.data.shape()})
        if self.line_in_block:
            line = exclusive_memory(entry, self.line_words)
            write, read = line.write_port(), line.read_port()
        else:
            # In LUTs: a block memory answers too late in the cycle for the comparison behind it.
            line = Memory(shape=entry, depth=max(2, self.line_words), init=[], attrs={"ram_style": "distributed"})
            write = line.write_port()
            read = line.read_port(transparent_for=[write])
        m.submodules.line = line
        best = Signal(entry)
        m.d.comb += [
            read.addr.eq(windows.next_place_in_line),
            write.addr.eq(windows.place_in_line),
            write.data.eq(best),
            write.en.eq(taken & windows.inside & self.layer.pooled),
        ]
        for lane in range(self.lanes):
            wins = ~self.layer.pooled | (windows.place == 0) | (value[lane] > read.data.value[lane])
            m.d.comb += [
                best.value[lane].eq(Mux(wins, value[lane], read.data.value[lane])),
                best.places[lane].eq(Mux(wins, windows.place, read.data.places[lane])),
            ]
        return best.value, best.places
