"""The positions of an array in raster order, and where each one's outputs lie in the volume that is handed on: in their
own pixel, or with pooling in that of their 2 x 2 window."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value


@dataclass(frozen=True)
class WindowGeometry:
    """Of the outputs of an array; signals of a layer's descriptor."""

    last_beat: Value  #: beats of a position, less one
    last_column: Value  #: positions in a row, less one
    last_row: Value  #: rows of positions, less one
    pooled: Value  #: whether 2 x 2 positions share a pixel
    pixel_step: Value  #: beats of a pixel
    line_step: Value  #: beats of a row of the volume


class Windows:
    """Beats of all positions in order, counted under ``step``; ``load`` begins anew. An odd last row or column of
    pooled positions is not ``inside``: its outputs are dropped, and its errors are 0."""

    def __init__(self, m: Module, geometry: WindowGeometry, step: Value, load: Value) -> None:
        g = geometry
        #: Of the beat in a volume that starts at 0; within the row of pixels.
        self.address, self.place_in_line = Signal.like(g.line_step), Signal.like(g.line_step)
        line, pixel = Signal.like(g.line_step), Signal.like(g.line_step)
        beat, column, row = (
            Signal.like(last, name=name)
            for name, last in (("beat", g.last_beat), ("column", g.last_column), ("row", g.last_row))
        )
        last_column, last_row = column == g.last_column, row == g.last_row
        self.position_ends = beat == g.last_beat
        self.ends = self.position_ends & last_column & last_row
        #: Place in the window: 0 .. 3, row by row.
        self.place = Cat(column[0], row[0])
        self.inside = ~(g.pooled & ((last_column & ~column[0]) | (last_row & ~row[0])))
        m.d.comb += [self.address.eq(line + pixel + beat), self.place_in_line.eq(pixel + beat)]
        with m.If(step):
            m.d.sync += beat.eq(Mux(self.position_ends, 0, beat + 1))
            with m.If(self.position_ends):
                m.d.sync += column.eq(Mux(last_column, 0, column + 1))
                with m.If(column[0] | ~g.pooled):
                    m.d.sync += pixel.eq(pixel + g.pixel_step)
                with m.If(last_column):
                    m.d.sync += [pixel.eq(0), row.eq(row + 1)]
                    with m.If(row[0] | ~g.pooled):
                        m.d.sync += line.eq(line + g.line_step)
        with m.If(load):
            m.d.sync += [line.eq(0), pixel.eq(0), beat.eq(0), column.eq(0), row.eq(0)]
