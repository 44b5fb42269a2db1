"""The inputs of arrays from the memory of their volumes, against the model's patches; other beats of the memory hold anything."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.lib import data

from emulator.config import Stage
from emulator.periphery.im2col import im2col
from hdl.network.patch_source import PatchSource
from sim.pysim import run
from sim.transactions.base import Transactions, beats
from sim.transactions.volumes import drawn_volume, volume_beats
from tests.hdl.network.beside_memories import (
    ACTIVATION_BITS,
    NETWORKS,
    BesideMemories,
    Store,
    anything,
    layer_words,
    put,
    widths_of,
)

LARGEST = (1 << (ACTIVATION_BITS - 1)) - 1
ONE = 1 << 12


def vectors_of(stage: Stage, volume: np.ndarray, lanes: int) -> list:
    """All positions' beats: a pixel's channels are a segment, and so is the bias line."""
    patches = im2col(volume, stage.kernel) if stage.convolutional else volume.reshape(1, -1)
    segments = [stage.channels] * (stage.inputs // stage.channels) + [1] * stage.layer.bias
    bias = [ONE] * stage.layer.bias
    return [word for patch in patches.tolist() for word in beats(patch + bias, lanes, segments=segments)]


def bench(network: str, lanes: int, *, relayed: bool) -> tuple[BesideMemories, Transactions]:
    """All layers of a network, one after the other, and the first one again."""
    stages, layers = NETWORKS[network], layer_words(NETWORKS[network], lanes)
    generator = np.random.default_rng(lanes)
    layout = data.ArrayLayout(signed(ACTIVATION_BITS), lanes)
    words = anything(generator, layout)
    expected = []
    for stage, layer in zip(stages, layers, strict=True):
        volume = drawn_volume(generator, (stage.height, stage.width, stage.channels), -LARGEST, LARGEST)
        put(words, layer["input_base"], volume_beats(volume, lanes))
        expected.append(vectors_of(stage, volume, lanes))
    order = [0, 1, 2, 0]
    part = PatchSource(widths_of(lanes), ACTIVATION_BITS, ONE, relayed=relayed)
    outputs = [word for index in order for word in expected[index]]
    return (
        BesideMemories(part, layers, {"memory": Store(layout, words, read="memory")}),
        Transactions(
            {"begin": [{"layer": index} for index in order], "look_memory": []}, {"o": outputs, "seen_memory": []}
        ),
    )


@pytest.mark.parametrize("relayed", (False, True), ids=("plain", "relayed"))
@pytest.mark.parametrize(
    ("network", "lanes", "stall"),
    (("odd height", 4, 0.0), ("odd width", 3, 0.4), ("even", 1, 0.0), ("not pooled", 2, 0.4)),
)
def test_equals_the_model(network: str, lanes: int, stall: float, relayed: bool) -> None:
    run(*bench(network, lanes, relayed=relayed), stall=stall)


@pytest.mark.parametrize("cycles", (1, 3, 6, 11, 30))
def test_reset_in_mid_volume(cycles: int) -> None:
    run(*bench("not pooled", 2, relayed=True), stall=0.2, reset_after=cycles)


def test_a_beat_per_cycle_from_the_third_on() -> None:
    block, transactions = bench("not pooled", 4, relayed=True)
    cycles = run(block, transactions).cycles
    positions = NETWORKS["not pooled"][0].positions
    first = cycles["o"][: positions * (4 + 1)]
    # `begin` is taken a cycle before the start.
    assert first == list(range(cycles["begin"][0] + 1 + 3, cycles["begin"][0] + 1 + 3 + len(first)))
