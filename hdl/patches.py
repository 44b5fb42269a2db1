"""The order of a convolution's patches over a volume that lies in a memory, as addresses: one beat after another."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Const, Module, Mux, Signal, Value


@dataclass(frozen=True)
class PatchGeometry:
    """Of a volume of pixels, each of one or more beats, and the patches taken from it. Constants where hardware is made
    for one volume, signals where it serves several; counters are as wide as these words."""

    start: Value  #: address of the volume's first beat
    last_beat: Value  #: beats of a pixel, less one
    last_across: Value  #: pixels of a patch's row, less one
    last_down: Value  #: rows of a patch, less one
    last_column: Value  #: positions in a row of positions, less one
    last_row: Value  #: rows of positions, less one
    pixel_step: Value  #: beats of a pixel
    line_step: Value  #: beats of a row of the volume
    row_step: Value  #: beats of a row of a patch: from the last position of a row to the first of the next
    bias: Value  #: whether a beat for the bias line follows every patch


class Patches:
    """Beats of all patches in order, counted under ``step``; after the last one again from the start.

    ``load`` begins anew at ``geometry.start``: for volumes that do not start at 0, once before the first step.
    """

    def __init__(
        self, m: Module, geometry: PatchGeometry, step: Value, *, address_bits: int, load: Value | None = None
    ) -> None:
        g = geometry
        #: Of the beat, unless it is the bias line's.
        self.address = Signal(address_bits)
        line, base = Signal(address_bits), Signal(address_bits)
        beat_of_pixel, across, down, column, row = counters = [
            _Counter(name, last)
            for name, last in (
                ("beat_of_pixel", g.last_beat),
                ("across", g.last_across),
                ("down", g.last_down),
                ("column", g.last_column),
                ("row", g.last_row),
            )
        ]
        self.pixel_ends = beat_of_pixel.is_last
        self.is_bias = Signal()
        row_of_patch_ends = self.pixel_ends & across.is_last
        patch_ends = row_of_patch_ends & down.is_last
        self.vector_ends = Mux(g.bias, self.is_bias, patch_ends)
        self.ends = self.vector_ends & column.is_last & row.is_last
        #: No patch before this one, and no earlier pixel of it, has touched this pixel.
        self.first = ((row.value == 0) | down.is_last) & ((column.value == 0) | across.is_last)

        next_line = line + g.line_step
        next_base = Mux(self.ends, g.start, base + Mux(column.is_last, g.row_step, g.pixel_step))
        with m.If(step):
            with m.If(~self.is_bias):
                m.d.sync += self.address.eq(self.address + 1)
                beat_of_pixel.step(m)
                with m.If(self.pixel_ends):
                    across.step(m)
                with m.If(row_of_patch_ends):
                    down.step(m)
                    m.d.sync += [line.eq(next_line), self.address.eq(next_line)]
                with m.If(patch_ends):
                    m.d.sync += self.is_bias.eq(g.bias)
            with m.If(self.vector_ends):
                m.d.sync += [
                    self.is_bias.eq(0),
                    base.eq(next_base),
                    line.eq(next_base),
                    self.address.eq(next_base),
                ]
                column.step(m)
                with m.If(column.is_last):
                    row.step(m)
        if load is not None:
            with m.If(load):
                m.d.sync += [self.address.eq(g.start), line.eq(g.start), base.eq(g.start), self.is_bias.eq(0)]
                for counter in counters:
                    counter.load(m)


class _Counter:
    """0 .. ``last``, again and again. Whether the value is the last one is in a register, since much hangs on it; so a
    ``last`` that is a signal must be steady from ``load`` on."""

    def __init__(self, name: str, last: Value) -> None:
        self._last = last
        self.value = Signal(max(1, len(last)), name=name)
        self.is_last = Signal(name=f"last_{name}", init=isinstance(last, Const) and last.value == 0)

    def step(self, m: Module) -> None:
        m.d.sync += [
            self.value.eq(Mux(self.is_last, 0, self.value + 1)),
            self.is_last.eq(Mux(self.is_last, self._last == 0, self.value + 1 == self._last)),
        ]

    def load(self, m: Module) -> None:
        m.d.sync += [self.value.eq(0), self.is_last.eq(self._last == 0)]
