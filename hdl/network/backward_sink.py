"""`backward_sink`: the sums of an array's columns, added up in the volume that they belong to.

What the patches of several positions have in common meets in one pixel (emulator/periphery/im2col.py, col2im). The first
sum of a pixel is stored, not added, so nothing needs clearing. The bias line's sum is dropped. Three cycles a beat.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.network.descriptor import DescriptorWidths, patch_geometry
from hdl.network.memory_ports import reading, writing
from hdl.patches import Patches, PatchGeometry
from hdl.shapes import beat, stream_of


class BackwardSink(wiring.Component):
    """``start`` before the first vector of ``layer``; ``done`` for a cycle, once the last sum is stored. The sums lie
    from address 0 on; disabled lanes hold 0. ``bits`` of a sum that comes in, ``sum_bits`` of one in memory, signed. ``compact``: nothing is held, a
    beat is taken when its sum is written; the same cycles but one."""

    def __init__(self, widths: DescriptorWidths, bits: int, sum_bits: int, *, compact: bool = False) -> None:
        self.lanes, self.compact = widths.lanes, compact
        sums = data.ArrayLayout(signed(sum_bits), widths.lanes)
        super().__init__(
            {
                "layer": In(widths.layer),
                "start": In(1),
                "done": Out(1),
                "i": In(stream_of(beat(signed(bits), widths.lanes))),
                "read": Out(reading(widths.address, sums)),
                "write": Out(writing(widths.address, sums)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        step = Signal()
        geometry: PatchGeometry = patch_geometry(self.layer, from_start=True)
        patches = Patches(m, geometry, step, address_bits=len(self.read.address), load=self.start)
        given, total = Signal(self.write.data.shape()), Signal(self.write.data.shape())
        first = Signal()
        m.d.comb += [
            self.read.address.eq(patches.address),
            self.write.address.eq(patches.address),
            self.write.data.eq(total),
        ]
        if self.compact:
            for lane in range(self.lanes):
                wanted = Mux(self.i.payload.mask[lane], self.i.payload.elements[lane], 0)
                m.d.comb += total[lane].eq(wanted + Mux(patches.first, 0, self.read.data[lane]))
            with m.FSM():
                with m.State("take"):
                    m.d.comb += self.read.enable.eq(1)
                    with m.If(self.i.valid):
                        m.next = "write"
                with m.State("write"):
                    m.d.comb += [
                        self.i.ready.eq(1),
                        self.write.enable.eq(~patches.is_bias),
                        step.eq(1),
                        self.done.eq(patches.ends),
                    ]
                    m.next = "take"
            return m
        with m.FSM():
            with m.State("take"):
                m.d.comb += [self.i.ready.eq(1), self.read.enable.eq(1)]
                m.d.sync += first.eq(patches.first)
                for lane in range(self.lanes):
                    m.d.sync += given[lane].eq(Mux(self.i.payload.mask[lane], self.i.payload.elements[lane], 0))
                with m.If(self.i.valid):
                    m.next = "add"
            with m.State("add"):
                for lane in range(self.lanes):
                    m.d.sync += total[lane].eq(given[lane] + Mux(first, 0, self.read.data[lane]))
                m.next = "write"
            with m.State("write"):
                m.d.comb += [self.write.enable.eq(~patches.is_bias), step.eq(1), self.done.eq(patches.ends)]
                m.next = "take"
        return m
