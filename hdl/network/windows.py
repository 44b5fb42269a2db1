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
        #: Of the beat in a volume that starts at 0; within the row of pixels, in this cycle and in the next. The first two
        #: are registers: memories are behind them.
        self.address, self.place_in_line = Signal.like(g.line_step), Signal.like(g.line_step)
        self.next_place_in_line = Signal.like(g.line_step)
        # Of the first beat of the row of pixels, of the pixel, and of the pixel within the row.
        line, start, pixel = (Signal.like(g.line_step, name=name) for name in ("line", "start", "pixel"))
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
        next_line = line + Mux(row[0] | ~g.pooled, g.line_step, 0)
        pixel_step = Mux(column[0] | ~g.pooled, g.pixel_step, 0)
        next_start = Mux(last_column, next_line, start + pixel_step)
        next_pixel = Mux(last_column, 0, pixel + pixel_step)
        m.d.comb += self.next_place_in_line.eq(self.place_in_line)
        m.d.sync += self.place_in_line.eq(self.next_place_in_line)
        with m.If(step):
            m.d.sync += [beat.eq(beat + 1), self.address.eq(self.address + 1)]
            m.d.comb += self.next_place_in_line.eq(self.place_in_line + 1)
            with m.If(self.position_ends):
                m.d.sync += [
                    beat.eq(0),
                    column.eq(Mux(last_column, 0, column + 1)),
                    start.eq(next_start),
                    self.address.eq(next_start),
                    pixel.eq(next_pixel),
                ]
                m.d.comb += self.next_place_in_line.eq(next_pixel)
                with m.If(last_column):
                    m.d.sync += [row.eq(row + 1), line.eq(next_line)]
        with m.If(load):
            m.d.comb += self.next_place_in_line.eq(0)
            m.d.sync += [word.eq(0) for word in (self.address, line, start, pixel)]
            m.d.sync += [counter.eq(0) for counter in (beat, column, row)]
