"""The errors of arrays' outputs from the memories of mantissas and places, against the model's way back through pooling.

Memories hold anything behind the volume, where an odd last row or column of positions would look.
"""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.lib import data

from emulator.config import Stage
from emulator.periphery.pooling import unpool
from hdl.network.error_source import ErrorSource
from hdl.periphery.pooling import PLACE
from sim.pysim import run
from sim.transactions.base import Transactions, beats
from sim.transactions.volumes import drawn_volume, volume_beats
from tests.hdl.network.beside_memories import (
    NETWORKS,
    BesideMemories,
    Store,
    anything,
    layer_words,
    put,
    widths_of,
)

ERROR_BITS = 10
LARGEST = (1 << (ERROR_BITS - 1)) - 1


def vectors_of(stage: Stage, errors: np.ndarray, where: np.ndarray, lanes: int) -> list:
    """Every position's beats, in raster order."""
    whole = unpool(errors, where, stage.output_height, stage.output_width) if stage.pooled else errors
    return [word for vector in whole.reshape(-1, stage.rows).tolist() for word in beats(vector, lanes)]


def bench(network: str, lanes: int, layer: int, *, relayed: bool) -> tuple[BesideMemories, Transactions]:
    """One layer, twice."""
    stage, layers = NETWORKS[network][layer], layer_words(NETWORKS[network], lanes)
    generator = np.random.default_rng(lanes)
    memory, places = data.ArrayLayout(signed(ERROR_BITS), lanes), data.ArrayLayout(PLACE, lanes)
    errors = drawn_volume(generator, stage.output_shape, -LARGEST, LARGEST)
    where = generator.integers(0, 4, stage.output_shape)
    mantissas, chosen = anything(generator, memory), anything(generator, places)
    put(mantissas, 0, volume_beats(errors, lanes))
    put(chosen, layers[layer]["output_base"], volume_beats(where, lanes))
    part = ErrorSource(widths_of(lanes), ERROR_BITS, relayed=relayed)
    stores = {"memory": Store(memory, mantissas, read="memory"), "places": Store(places, chosen, read="places")}
    unused: dict[str, list] = {f"{kind}_{name}": [] for name in stores for kind in ("look", "seen")}
    return (
        BesideMemories(part, layers, stores),
        Transactions(
            {"begin": [{"layer": layer}] * 2, **{name: unused[name] for name in unused if name.startswith("look")}},
            {
                "o": vectors_of(stage, errors, where, lanes) * 2,
                **{name: unused[name] for name in unused if name.startswith("seen")},
            },
        ),
    )


@pytest.mark.parametrize("relayed", (False, True), ids=("plain", "relayed"))
@pytest.mark.parametrize("layer", (0, 1, 2))
@pytest.mark.parametrize(
    ("network", "lanes", "stall"),
    (("odd height", 4, 0.0), ("odd width", 3, 0.4), ("even", 1, 0.0), ("not pooled", 2, 0.4)),
)
def test_equals_the_model(network: str, lanes: int, layer: int, stall: float, relayed: bool) -> None:
    run(*bench(network, lanes, layer, relayed=relayed), stall=stall)


@pytest.mark.parametrize("cycles", (1, 3, 6, 11, 30))
def test_reset_in_mid_volume(cycles: int) -> None:
    run(*bench("odd height", 2, 0, relayed=True), stall=0.2, reset_after=cycles)


def test_a_beat_per_cycle() -> None:
    cycles = run(*bench("odd width", 4, 0, relayed=True)).cycles["o"]
    beats_of_a_volume = len(cycles) // 2
    assert np.diff(cycles[:beats_of_a_volume]).tolist() == [1] * (beats_of_a_volume - 1)
