"""Pre-activations of arrays to the volumes handed on, against the model's activation and pooling; words that belong to no
volume stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.lib import data

from emulator.config import Stage
from emulator.periphery.activation import activation
from emulator.periphery.pooling import pool
from hdl.network.descriptor import output_beats
from hdl.network.forward_sink import ForwardSink
from hdl.periphery.activation import ActivationParameters
from hdl.periphery.pooling import PLACE
from sim.payload import Values
from sim.pysim import run
from sim.transactions.base import Transactions, beats, draw
from sim.transactions.volumes import volume_beats
from tests.hdl.network.beside_memories import (
    ACTIVATION_BITS,
    NETWORKS,
    BesideMemories,
    Store,
    anything,
    layer_words,
    looked_at,
    put,
    widths_of,
)

INPUT_BITS = 12


def functions(stages: tuple[Stage, ...], lanes: int) -> list[ActivationParameters]:
    """Of the layers but the last."""
    each = [ActivationParameters.of(stage, lanes) for stage in stages[:-1]]
    return [parameters.model_copy(update={"input_bits": INPUT_BITS}) for parameters in each]


def vectors_of(stage: Stage, values: np.ndarray, lanes: int, fill: np.random.Generator | None = None) -> list[Values]:
    flat = values.reshape(-1, stage.rows).tolist()
    return [word for vector in flat for word in beats(vector, lanes, fill=fill, fill_bits=INPUT_BITS)]


def bench(network: str, lanes: int, *, compact: bool) -> tuple[BesideMemories, Transactions]:
    """All layers of a network, which lie one behind the other."""
    stages = NETWORKS[network]
    layers, parameters = layer_words(stages, lanes), functions(stages, lanes)
    generator = np.random.default_rng(lanes)
    layouts = {
        "memory": data.ArrayLayout(signed(ACTIVATION_BITS), lanes),
        "places": data.ArrayLayout(PLACE, lanes),
    }
    words = {name: anything(generator, layout) for name, layout in layouts.items()}
    stores = {name: Store(layouts[name], [*map(list, words[name])], write=name) for name in words}
    seen: dict[str, list[list[int | None]]] = {name: [*map(list, words[name])] for name in words}
    given: list[Values] = []
    logits: list[Values] = []
    for stage, layer in zip(stages, layers, strict=True):
        # Few values in every second channel, so that equal ones meet in a window.
        values = np.array(draw(generator, stage.positions * stage.rows, -(1 << INPUT_BITS) + 1, (1 << INPUT_BITS) - 1))
        values = values.reshape(stage.output_height, stage.output_width, stage.rows)
        values[:, :, ::2] = generator.integers(-1, 1, values[:, :, ::2].shape, endpoint=True)
        given += vectors_of(stage, values, lanes, fill=generator)
        if layer["is_last"]:
            logits = vectors_of(stage, values, lanes)
        else:
            _store(seen, stage, values, layer, lanes)
    line_words = max(output_beats(stage, lanes) for stage in stages)
    part = ForwardSink(widths_of(lanes), parameters, line_words, line_in_block=compact)
    looks = [looked_at(name, seen[name]) for name in seen]
    transactions = Transactions(
        {
            "begin": [{"layer": index} for index in range(len(stages))],
            "i": given,
            **{f"look_{name}": [] for name in seen},
        },
        {"logits": logits, **{f"seen_{name}": [] for name in seen}},
        tuple(looks),
    )
    return BesideMemories(part, layers, stores), transactions


def _store(
    seen: dict[str, list[list[int | None]]], stage: Stage, values: np.ndarray, layer: dict[str, int], lanes: int
) -> None:
    """What a layer leaves in the memories. Lanes of no channel then hold anything, and places where nothing is pooled."""
    volume = activation(
        values, stage.layer.activation, stage.adc_fraction, stage.activation_fraction, stage.activation_magnitude_bits
    )
    where = None
    if stage.pooled:
        volume, where = pool(volume)
    for words in seen.values():
        for number in range(output_beats(stage, lanes)):
            words[layer["output_base"] + number] = [None] * lanes
    put(seen["memory"], layer["output_base"], volume_beats(volume, lanes))  # type: ignore[arg-type]
    if where is not None:
        put(seen["places"], layer["output_base"], volume_beats(where, lanes))  # type: ignore[arg-type]


@pytest.mark.parametrize("compact", (False, True), ids=("wide", "compact"))
@pytest.mark.parametrize(
    ("network", "lanes", "stall"),
    (("odd height", 4, 0.0), ("odd width", 3, 0.4), ("even", 1, 0.0), ("not pooled", 2, 0.4)),
)
def test_equals_the_model(network: str, lanes: int, stall: float, compact: bool) -> None:
    run(*bench(network, lanes, compact=compact), stall=stall)


@pytest.mark.parametrize("compact", (False, True), ids=("wide", "compact"))
@pytest.mark.parametrize("cycles", (7, 20, 45))
def test_reset_in_mid_volume(cycles: int, compact: bool) -> None:
    """What was stored before is stored anew, but beyond the first volume nothing was."""
    run(*bench("odd height", 3, compact=compact), reset_after=cycles)
