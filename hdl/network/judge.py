"""`judge`: whether the largest logit, the first of equal ones, is that of the label. A lane per cycle."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.shapes import index_for, stream_of


class Judge(wiring.Component):
    """``i``: beats of logits; ``wrong`` for a cycle after the last lane of a vector whose answer is not ``label``."""

    def __init__(self, payload: data.StructLayout, classes: int) -> None:
        self.classes = classes
        super().__init__({"i": In(stream_of(payload)), "label": In(index_for(classes)), "wrong": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        elements = Signal(self.i.payload.elements.shape())
        mask = Signal.like(self.i.payload.mask)
        ends, busy, judged = Signal(), Signal(), Signal()
        number, best = Signal(range(self.classes + 1)), Signal(range(self.classes))
        width = elements.shape().elem_shape.width
        largest = Signal(elements.shape().elem_shape)
        m.d.comb += [self.i.ready.eq(~busy), self.wrong.eq(judged & (best != self.label))]
        m.d.sync += judged.eq(0)
        with m.If(self.i.valid & ~busy):
            m.d.sync += [
                elements.eq(self.i.payload.elements),
                mask.eq(self.i.payload.mask),
                ends.eq(self.i.payload.last),
                busy.eq(1),
            ]
        with m.If(busy):
            m.d.sync += [elements.as_value().eq(elements.as_value()[width:]), mask.eq(mask[1:])]
            with m.If(mask[0]):
                m.d.sync += number.eq(number + 1)
                with m.If((number == 0) | (elements[0] > largest)):
                    m.d.sync += [largest.eq(elements[0]), best.eq(number)]
            with m.Else():
                m.d.sync += busy.eq(0)
                with m.If(ends):
                    m.d.sync += [number.eq(0), judged.eq(1)]
        return m
