"""Positions in raster order and their places in the volume handed on, against NumPy; odd last rows and columns are in no
window. The counters stand still without a step."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.network.windows import WindowGeometry, Windows
from hdl.shapes import record, stream_of
from sim.payload import Values
from sim.pysim import run
from sim.transactions.base import Transactions

BITS = 8


class Walk(wiring.Component):
    """A word of ``o`` for every step of the windows of a geometry, all over again for every word of ``begin``."""

    latency, cycles_per_beat = 2, 1

    def __init__(self, height: int, width: int, beats: int, *, pooled: bool) -> None:
        self.height, self.width, self.beats, self.pooled = height, width, beats, pooled
        words = record(address=BITS, place=2, inside=1, position_ends=1, ends=1, place_in_line=BITS)
        super().__init__({"begin": In(stream_of(record(nothing=1))), "o": Out(stream_of(words))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        step, load, sending = Signal(), Signal(), Signal()
        per_row = (self.width // 2 if self.pooled else self.width) * self.beats
        geometry = WindowGeometry(
            last_beat=Const(self.beats - 1, BITS),
            last_column=Const(self.width - 1, BITS),
            last_row=Const(self.height - 1, BITS),
            pooled=Const(self.pooled, 1),
            pixel_step=Const(self.beats, BITS),
            line_step=Const(per_row, BITS),
        )
        windows = Windows(m, geometry, step, load)
        m.d.comb += [
            self.begin.ready.eq(~sending),
            load.eq(self.begin.valid & ~sending),
            self.o.valid.eq(sending),
            step.eq(sending & self.o.ready),
            *(self.o.payload[name].eq(getattr(windows, name)) for name, _ in self.o.payload.shape()),
        ]
        with m.If(load):
            m.d.sync += sending.eq(1)
        with m.Elif(step & windows.ends):
            m.d.sync += sending.eq(0)
        return m


def expected(height: int, width: int, beats: int, *, pooled: bool) -> list[Values]:
    """Nobody looks at the address of a position that is in no window."""
    shape = (height // 2, width // 2, beats) if pooled else (height, width, beats)
    addresses = np.arange(np.prod(shape)).reshape(shape)
    words: list[dict] = []
    for row, column, beat in np.ndindex(height, width, beats):
        pixel = (row // 2, column // 2) if pooled else (row, column)
        inside = pixel[0] < shape[0] and pixel[1] < shape[1]
        words.append(
            {
                "address": int(addresses[(*pixel, beat)]) if inside else None,
                "place": row % 2 * 2 + column % 2,
                "inside": int(inside),
                "position_ends": int(beat == beats - 1),
                "ends": int((row, column, beat) == (height - 1, width - 1, beats - 1)),
                "place_in_line": pixel[1] * beats + beat,
            }
        )
    return words


@pytest.mark.parametrize("stall", (0.0, 0.5))
@pytest.mark.parametrize("pooled", (False, True), ids=("plain", "pooled"))
@pytest.mark.parametrize(
    ("height", "width", "beats"), ((1, 1, 1), (4, 6, 1), (5, 4, 2), (4, 5, 3), (7, 3, 1), (2, 2, 4))
)
def test_equals_numpy(height: int, width: int, beats: int, pooled: bool, stall: float) -> None:
    words = expected(height, width, beats, pooled=pooled)
    walk = Walk(height, width, beats, pooled=pooled)
    run(walk, Transactions({"begin": [{"nothing": 0}] * 2}, {"o": words * 2}), stall=stall)


@pytest.mark.parametrize("cycles", (2, 5, 9, 14))
def test_reset_in_mid_volume(cycles: int) -> None:
    words = expected(5, 4, 2, pooled=True)
    run(Walk(5, 4, 2, pooled=True), Transactions({"begin": [{"nothing": 0}]}, {"o": words}), reset_after=cycles)
