"""The order of a convolution's patches as addresses, against NumPy: volumes that start anywhere, under random stalls."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.lib.stride_tricks import sliding_window_view

from hdl.patches import Patches, PatchGeometry
from hdl.shapes import record, stream_of
from sim.payload import Values
from sim.pysim import run
from sim.transactions.base import Transactions

BITS = 9


class Walk(wiring.Component):
    """A word of ``o`` for every beat of the patches of a volume, all over again for every word of ``begin``: from a load, or
    from where the volume before has ended."""

    latency, cycles_per_beat = 2, 1

    def __init__(self, height: int, width: int, beats: int, kernel: tuple[int, int], *, bias: bool, start: int) -> None:
        self.height, self.width, self.beats, self.kernel, self.bias, self.start = (
            height,
            width,
            beats,
            kernel,
            bias,
            start,
        )
        words = record(address=BITS, is_bias=1, pixel_ends=1, vector_ends=1, ends=1, first=1)
        super().__init__({"begin": In(stream_of(record(load=1))), "o": Out(stream_of(words))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        step, load, sending = Signal(), Signal(), Signal()
        begins = self.begin.valid & ~sending
        down, across = self.kernel
        # Signals, as of a descriptor: constants are in the tests of im2col.
        quantities = {
            "start": self.start,
            "last_beat": self.beats - 1,
            "last_across": across - 1,
            "last_down": down - 1,
            "last_column": self.width - across,
            "last_row": self.height - down,
            "pixel_step": self.beats,
            "line_step": self.width * self.beats,
            "row_step": across * self.beats,
            "bias": self.bias,
        }
        geometry = PatchGeometry(**{name: Signal(BITS, init=value, name=name) for name, value in quantities.items()})
        patches = Patches(m, geometry, step, address_bits=BITS, load=load)
        m.d.comb += [
            self.begin.ready.eq(~sending),
            load.eq(begins & self.begin.payload.load),
            self.o.valid.eq(sending),
            step.eq(sending & self.o.ready),
            *(self.o.payload[name].eq(getattr(patches, name)) for name, _ in self.o.payload.shape()),
        ]
        with m.If(begins):
            m.d.sync += sending.eq(1)
        with m.Elif(step & patches.ends):
            m.d.sync += sending.eq(0)
        return m


def expected(height: int, width: int, beats: int, kernel: tuple[int, int], *, bias: bool, start: int) -> list[Values]:
    volume = start + np.arange(height * width * beats).reshape(height, width, beats)
    patches = sliding_window_view(volume, kernel, axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    touched: set[int] = set()
    words: list[dict] = []
    for patch in patches.reshape(-1, kernel[0] * kernel[1] * beats).tolist():
        for number, address in enumerate(patch):
            words.append(
                {
                    "address": address,
                    "is_bias": 0,
                    "pixel_ends": int(number % beats == beats - 1),
                    "vector_ends": int(number == len(patch) - 1 and not bias),
                    "ends": 0,
                    "first": int(address not in touched),
                }
            )
            touched.add(address)
        if bias:
            words.append(
                {"address": None, "is_bias": 1, "pixel_ends": None, "vector_ends": 1, "ends": 0, "first": None}
            )
    words[-1]["ends"] = 1
    return words


GEOMETRIES = (
    (1, 1, 1, (1, 1)),
    (4, 5, 1, (3, 3)),
    (5, 4, 2, (2, 2)),
    (3, 3, 3, (1, 1)),
    (3, 4, 2, (3, 4)),
)


@pytest.mark.parametrize("stall", (0.0, 0.5))
@pytest.mark.parametrize("bias", (False, True), ids=("without bias", "bias"))
@pytest.mark.parametrize(("height", "width", "beats", "kernel"), GEOMETRIES)
def test_equals_numpy(height: int, width: int, beats: int, kernel: tuple[int, int], bias: bool, stall: float) -> None:
    start = 17
    words = expected(height, width, beats, kernel, bias=bias, start=start)
    walk = Walk(height, width, beats, kernel, bias=bias, start=start)
    run(walk, Transactions({"begin": [{"load": load} for load in (1, 0, 1)]}, {"o": words * 3}), stall=stall)


@pytest.mark.parametrize("cycles", (2, 5, 12, 21))
def test_reset_in_mid_volume(cycles: int) -> None:
    words = expected(4, 5, 2, (3, 3), bias=True, start=5)
    walk = Walk(4, 5, 2, (3, 3), bias=True, start=5)
    run(walk, Transactions({"begin": [{"load": 1}]}, {"o": words}), reset_after=cycles)
