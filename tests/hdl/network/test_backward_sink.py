"""The sums of patches in the memory of a volume, against the model's col2im; the first sum of a pixel is stored whatever was
there, the bias line's is dropped, and words behind the volume stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.lib import data

from emulator.periphery.im2col import col2im
from hdl.network.backward_sink import BackwardSink
from sim.pysim import run
from sim.transactions.base import Transactions, beats
from sim.transactions.volumes import drawn_volume, volume_beats
from tests.hdl.network.beside_memories import (
    NETWORKS,
    BesideMemories,
    Store,
    anything,
    layer_words,
    looked_at,
    put,
    widths_of,
)

BITS, SUM_BITS = 12, 20
LARGEST = (1 << (BITS - 1)) - 1


def bench(network: str, lanes: int, layer: int, *, compact: bool) -> tuple[BesideMemories, Transactions]:
    """A layer's volume of sums, then another one in its place."""
    stage, layers = NETWORKS[network][layer], layer_words(NETWORKS[network], lanes)
    generator = np.random.default_rng(lanes)
    layout = data.ArrayLayout(signed(SUM_BITS), lanes)
    words = anything(generator, layout)
    pixels = stage.inputs // stage.channels
    phases = []
    for _ in range(2):
        patches = drawn_volume(generator, (stage.positions, pixels, stage.channels), -LARGEST, LARGEST)
        bias = generator.integers(-LARGEST, LARGEST, (stage.positions, int(stage.layer.bias))).tolist()
        segments = [stage.channels] * pixels + [1] * stage.layer.bias
        given = [
            word
            for patch, last in zip(patches, bias, strict=True)
            for word in beats(
                patch.ravel().tolist() + last, lanes, segments=segments, fill=generator, fill_bits=BITS - 1
            )
        ]
        volume = stage.height, stage.width, stage.channels
        sums = col2im(patches, stage.kernel, *volume) if stage.convolutional else patches.reshape(volume)
        seen = [*map(list, words)]
        put(seen, 0, [{"elements": [value or 0 for value in beat["elements"]]} for beat in volume_beats(sums, lanes)])
        phases += [Transactions({"begin": [{"layer": layer}], "i": given}, {}), looked_at("sums", seen)]
    first, *others = phases
    part = BackwardSink(widths_of(lanes), BITS, SUM_BITS, compact=compact)
    stores = {"sums": Store(layout, words, read="read", write="write")}
    return (
        BesideMemories(part, layers, stores),
        Transactions({**first.inputs, "look_sums": []}, {"seen_sums": []}, tuple(others)),
    )


@pytest.mark.parametrize("compact", (False, True), ids=("wide", "compact"))
@pytest.mark.parametrize(
    ("network", "lanes", "layer", "stall"),
    (
        ("odd height", 4, 1, 0.0),
        ("odd width", 3, 1, 0.4),
        ("not pooled", 2, 1, 0.0),
        ("not pooled", 2, 0, 0.4),
        ("even", 1, 2, 0.0),
    ),
)
def test_equals_the_model(network: str, lanes: int, layer: int, stall: float, compact: bool) -> None:
    run(*bench(network, lanes, layer, compact=compact), stall=stall)


@pytest.mark.parametrize("compact", (False, True), ids=("wide", "compact"))
@pytest.mark.parametrize("cycles", (3, 4, 5, 40))
def test_reset_in_mid_volume(cycles: int, compact: bool) -> None:
    run(*bench("not pooled", 4, 0, compact=compact), reset_after=cycles)
