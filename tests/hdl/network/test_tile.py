"""The tile with the golden crossbar behind its port: every word on every stream, against the golden tile."""

from __future__ import annotations

import numpy as np
import pytest

from emulator.config import load
from hdl.network.tile import Tile
from hdl.network.tile_parameters import TileParameters
from sim.pysim import run
from sim.transactions.tile import random_commands, session

#: Settings beside those of the preset, by what they are for.
SETTINGS: dict[str, list[str]] = {
    "as it is": [],
    "power of two": ["array.backward.noise_management=power_of_two", "array.update.management=power_of_two"],
    "no management": ["array.backward.noise_management=none", "array.update.management=none"],
    "constant": [
        "array.backward.noise_management=constant",
        "array.backward.constant_exponent=10",
        "array.forward.noise_management=constant",
        "array.forward.constant_exponent=-2",
    ],
    "forward scaled": ["array.forward.noise_management=exact"],
    "often saturated": ["array.forward.bound=0.3", "array.backward.bound=0.3", "array.forward.bound_management=3"],
    "never repeated": ["array.forward.bound=0.3", "array.forward.bound_management=0"],
    "long trains": ["array.update.desired_bl=10"],
    "replicated": ["array.replication=3"],
    "replicated, forward scaled": ["array.replication=4", "array.forward.noise_management=power_of_two"],
    "narrow words": ["formats.error_bits=8", "array.converters.dac_fraction_bits=5", "array.update.probability_bits=8"],
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(("layer", "lanes"), ((1, 4), (2, 3)))
def test_equals_the_model(setting: str, layer: int, lanes: int) -> None:
    config = load("tiny", SETTINGS[setting])
    stage = config.stages[layer]
    done = session(stage, config.seed, lanes, random_commands(stage, np.random.default_rng(layer), 24))
    run(Tile(done.parameters), done.transactions, stall=0.3 if layer == 1 else 0.0)


@pytest.mark.parametrize("lanes", (1, 8, 32))
def test_lanes(lanes: int) -> None:
    config = load("tiny")
    stage = config.stages[0]
    done = session(stage, config.seed, lanes, random_commands(stage, np.random.default_rng(lanes), 8))
    run(Tile(done.parameters), done.transactions)


def test_generators_shared_by_lines() -> None:
    config = load("tiny", ["array.update.generator_sharing=2", "layers.W2.outputs=6"])
    stage = config.stages[2]
    done = session(stage, config.seed, 4, random_commands(stage, np.random.default_rng(1), 8))
    run(Tile(done.parameters), done.transactions)


def test_exact_updates_are_refused() -> None:
    with pytest.raises(ValueError, match=r"layers\.K1\.array\.update\.mode = exact: accepted: pulsed"):
        TileParameters.of(load("lenet-fp").stages[0], 8)


def test_sharing_across_beats_is_refused() -> None:
    with pytest.raises(ValueError, match="generator_sharing = 2: accepted: a divisor of the first line"):
        TileParameters(lanes=4, generator_sharing=2)
