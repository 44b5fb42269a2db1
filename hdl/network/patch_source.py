"""`patch_source`: the inputs of an array, position by position, from the memory that holds its input volume.

A vector is the pixels of a patch, row by row, each a segment, then the bias line. A fully connected array has one
position, whose patch is the whole volume. A beat per cycle.
"""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.network.descriptor import DescriptorWidths, patch_geometry
from hdl.network.memory_ports import reading
from hdl.patches import Patches
from hdl.pipeline import counted, delayed
from hdl.shapes import beat, stream_of


class PatchSource(wiring.Component):
    """``start`` begins the vectors of all positions of ``layer``, which stays until the last beat is taken.
    ``one``: the value of the bias line. First beat three cycles after ``start``. ``relayed``: the way of ``o.ready`` ends
    at the memory, where it would go on to the counters of the next address."""

    def __init__(self, widths: DescriptorWidths, activation_bits: int, one: int, *, relayed: bool = False) -> None:
        self.one, self.lanes, self.relayed = one, widths.lanes, relayed
        payload = beat(signed(activation_bits), widths.lanes)
        super().__init__(
            {
                "layer": In(widths.layer),
                "start": In(1),
                "memory": Out(reading(widths.address, payload["elements"].shape)),
                "o": Out(stream_of(payload)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sending, advance, step = Signal(), Signal(), Signal()
        geometry = patch_geometry(self.layer)
        patches = Patches(m, geometry, step, address_bits=len(self.memory.address), load=self.start)
        words = {name: getattr(patches, name) for name in ("address", "is_bias", "pixel_ends", "vector_ends")}
        fetched = counted(m, words, sending, step, relayed=self.relayed)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), fetched.ready.eq(advance)]
        with m.If(self.start):
            m.d.sync += sending.eq(1)
        with m.Elif(step & patches.ends):
            m.d.sync += sending.eq(0)

        full = Const((1 << self.lanes) - 1, self.lanes)
        mask = Mux(fetched.payload.is_bias, 1, Mux(fetched.payload.pixel_ends, self.layer.pixel_mask, full))
        is_bias = delayed(m, advance, fetched.payload.is_bias, 1, "is_bias")[-1]
        result = self.o.payload
        m.d.comb += [
            self.memory.address.eq(fetched.payload.address),
            self.memory.enable.eq(advance),
            self.o.valid.eq(delayed(m, advance, fetched.valid, 2, "valid")[-1]),
            result.last.eq(delayed(m, advance, fetched.payload.vector_ends, 2, "last")[-1]),
            result.mask.eq(delayed(m, advance, mask, 2, "mask")[-1]),
        ]
        with m.If(advance):
            m.d.sync += result.elements.eq(self.memory.data)
            with m.If(is_bias):
                m.d.sync += result.elements[0].eq(self.one)
        return m
