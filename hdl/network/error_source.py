"""`error_source`: the errors of an array's outputs, position by position, from the mantissas of the volume handed on.

With pooling an error belongs to the position of its window that was the maximum; the others, and those that no window
has, get 0 (emulator/periphery/pooling.py, unpool). A beat per cycle.
"""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.network.descriptor import DescriptorWidths, window_geometry
from hdl.network.memory_ports import reading
from hdl.network.windows import Windows
from hdl.periphery.pooling import PLACE
from hdl.pipeline import counted, delayed
from hdl.shapes import beat, stream_of


class ErrorSource(wiring.Component):
    """``start`` begins the vectors of all positions of ``layer``, which stays until the last beat is taken. ``memory``
    holds the mantissas of the volume from address 0 on, ``places`` the places of the maxima where the volume lies.
    ``relayed``: the way of ``o.ready`` ends at the memories."""

    def __init__(self, widths: DescriptorWidths, error_bits: int, *, relayed: bool = False) -> None:
        self.lanes, self.relayed = widths.lanes, relayed
        payload = beat(signed(error_bits), widths.lanes)
        super().__init__(
            {
                "layer": In(widths.layer),
                "start": In(1),
                "memory": Out(reading(widths.address, payload["elements"].shape)),
                "places": Out(reading(widths.address, data.ArrayLayout(PLACE, widths.lanes))),
                "o": Out(stream_of(payload)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sending, advance, step = Signal(), Signal(), Signal()
        windows = Windows(m, window_geometry(self.layer), step, self.start)
        words = {name: getattr(windows, name) for name in ("address", "place", "inside", "position_ends")}
        fetched = counted(m, words, sending, step, relayed=self.relayed)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), fetched.ready.eq(advance)]
        with m.If(self.start):
            m.d.sync += sending.eq(1)
        with m.Elif(step & windows.ends):
            m.d.sync += sending.eq(0)

        full = Const((1 << self.lanes) - 1, self.lanes)
        mask = Mux(fetched.payload.position_ends, self.layer.row_mask, full)
        inside = delayed(m, advance, fetched.payload.inside, 1, "inside")[-1]
        place = delayed(m, advance, fetched.payload.place, 1, "place")[-1]
        result = self.o.payload
        m.d.comb += [
            self.memory.address.eq(fetched.payload.address),
            self.places.address.eq(self.layer.output_base + fetched.payload.address),
            self.memory.enable.eq(advance),
            self.places.enable.eq(advance),
            self.o.valid.eq(delayed(m, advance, fetched.valid, 2, "valid")[-1]),
            result.last.eq(delayed(m, advance, fetched.payload.position_ends, 2, "last")[-1]),
            result.mask.eq(delayed(m, advance, mask, 2, "mask")[-1]),
        ]
        with m.If(advance):
            for lane in range(self.lanes):
                chosen = inside & (~self.layer.pooled | (self.places.data[lane] == place))
                m.d.sync += result.elements[lane].eq(Mux(chosen, self.memory.data[lane], 0))
        return m
