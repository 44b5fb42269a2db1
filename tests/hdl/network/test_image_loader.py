"""Pixels as activations in the memory, against the model's; an image cut off by a reset leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from emulator.network.network import pixels_to_activations
from hdl.memory import exclusive_memory
from hdl.network.image_loader import PIXELS, ImageLoader
from hdl.network.memory_ports import attach, reading
from hdl.shapes import record, stream_of
from sim.pysim import run
from sim.transactions.base import Transactions

FRACTION, LANES, ADDRESS_BITS = 12, 3, 8
LAYOUT = data.ArrayLayout(signed(16), LANES)


class Loading(wiring.Component):
    """The loader with its memory: ``begin`` an image; ``look`` and ``seen`` when it is stored."""

    latency, cycles_per_beat = 4, 1

    def __init__(self) -> None:
        self.loader = ImageLoader(ADDRESS_BITS, LAYOUT, FRACTION)
        super().__init__(
            {
                "begin": In(stream_of(record(last_pixel=ADDRESS_BITS))),
                "i": In(stream_of(record(value=8))),
                "look": In(stream_of(record(address=ADDRESS_BITS))),
                "seen": Out(stream_of(record(elements=LAYOUT))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.loader = loader = self.loader
        m.submodules.memory = memory = exclusive_memory(LAYOUT, 1 << ADDRESS_BITS)
        busy = Signal()
        own = reading(ADDRESS_BITS, LAYOUT).create()
        m.d.comb += [
            loader.i.valid.eq(self.i.valid),
            loader.i.payload.eq(self.i.payload),
            self.i.ready.eq(loader.i.ready),
            self.begin.ready.eq(~busy & ~self.seen.valid),
            loader.start.eq(self.begin.valid & self.begin.ready),
            own.address.eq(self.look.payload.address),
            self.look.ready.eq(~busy & ~self.seen.valid),
            own.enable.eq(self.look.valid & self.look.ready),
            self.seen.payload.elements.eq(own.data),
        ]
        m.d.sync += self.seen.valid.eq(own.enable | (self.seen.valid & ~self.seen.ready))
        with m.If(loader.done):
            m.d.sync += busy.eq(0)
        with m.If(loader.start):
            m.d.sync += [loader.last_pixel.eq(self.begin.payload.last_pixel), busy.eq(1)]
        attach(m, memory, [(1, own)], [(1, loader.memory)])
        return m


def images(*sizes: int) -> Transactions:
    """Images of so many pixels, one after the other, then the memory. The first ``PIXELS`` are all that there are."""
    generator = np.random.default_rng(1)
    pixels = [np.arange(PIXELS) if size == PIXELS else generator.integers(0, PIXELS, size) for size in sizes]
    words: list[list[int | None]] = [[None] * LANES for _ in range(1 << ADDRESS_BITS)]
    for image in pixels:
        for address, value in enumerate(pixels_to_activations(image.astype(np.uint8)[None], FRACTION).ravel().tolist()):
            words[address][0] = value
    return Transactions(
        {
            "begin": [{"last_pixel": size - 1} for size in sizes],
            "i": [{"value": value} for image in pixels for value in image.tolist()],
            "look": [],
        },
        {"seen": []},
        (
            Transactions(
                {"look": [{"address": address} for address in range(max(sizes))]},
                {"seen": [{"elements": word} for word in words[: max(sizes)]]},
            ),
        ),
    )


@pytest.mark.parametrize("stall", (0.0, 0.5))
def test_equals_the_model(stall: float) -> None:
    """Every pixel there is, at every address there is; smaller images behind it."""
    run(Loading(), images(PIXELS, 5, 1, 9), stall=stall)


@pytest.mark.parametrize("cycles", range(1, 12))
def test_reset_in_mid_image(cycles: int) -> None:
    """From the start to behind the last of seven pixels."""
    run(Loading(), images(7), reset_after=cycles)
