"""Training with hardware in the loop: tiles of a network are simulated Verilog, the rest of it is the golden machine.

    trained = train_in_the_loop(config, images, labels, tile_designs(config, lanes=4))
    check_against_golden(config, images, labels, trained)

Between the two lies no list of expected words: the network goes on with what its tiles answer.
"""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.compare import logits_difference, state_difference
from emulator.config import Config
from emulator.network.network import GoldenMachine
from hdl.network.tile import Tile
from hdl.network.tile_parameters import TileParameters
from sim.benches.training import Plan, TilePlan, Trained
from sim.combined import combined
from sim.runner import Design, SimulationError, run_bench, run_folder

BENCH = "sim.benches.training"
TOP = "network_tiles"
NAMES = ("golden", "in the loop")


def tile_designs(config: Config, lanes: int, layers: Collection[str] | None = None) -> dict[str, Design]:
    """The tiles of a network's arrays as exported, by layer: of all of them, or of those named."""
    stages = [stage for stage in config.stages if layers is None or stage.name in layers]
    return {stage.name: Design.of(Tile(TileParameters.of(stage, lanes)), f"tile_{stage.name}") for stage in stages}


def train_in_the_loop(
    config: Config,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    tiles: Mapping[str, Design],
    *,
    stall: float = 0.0,
    seed: int = 1,
    randomise: bool = False,
    waves: bool = False,
    out: Path | None = None,
) -> Trained:
    """Train from the config's initial state in Verilator under cocotb. ``tiles``: by layer, designs with a tile's streams,
    whose parameters are in their descriptions; layers without one have the golden tile. The emulated crossbar is behind
    the port of each. ``stall``, ``seed``, ``randomise``, ``waves`` and ``out`` as in `run_verilator`.

    Raises SimulationError: a layer that the network does not have, a tile that hangs, breaks the stream contract, or gives
    or drives a vector of a wrong length.
    """
    names = [stage.name for stage in config.stages]
    if not tiles or not set(tiles) <= set(names):
        raise SimulationError(f"tiles of layers {sorted(tiles)}: accepted: some of {names}")
    top = combined(TOP, tiles)
    plan = Plan(
        config,
        images,
        labels,
        {
            layer: TilePlan(TileParameters.from_description(tile.description["parameters"]), tile.streams)
            for layer, tile in tiles.items()
        },
        stall=stall,
        seed=seed,
        patience=top.patience,
        tail=top.tail,
        result="result.pickle",
    )
    with run_folder(out) as folder:
        (folder / "plan.pickle").write_bytes(pickle.dumps(plan))
        (folder / plan.result).unlink(missing_ok=True)
        run_bench(top, BENCH, folder / "plan.pickle", seed=seed, randomise=randomise, waves=waves)
        trained: Trained = pickle.loads((folder / plan.result).read_bytes())
    return trained


def check_against_golden(
    config: Config, images: NDArray[np.uint8], labels: NDArray[np.uint8], trained: Trained
) -> GoldenMachine:
    """Train the golden machine alike: weights, generators and counters of all layers, and all logits, must be equal.

    Gives that machine. Raises SimulationError with the first word that differs.
    """
    golden = GoldenMachine(config)
    logits = golden.train(images, labels)
    difference = logits_difference(NAMES, [logits, trained.logits], 0)
    difference = difference or state_difference(NAMES, [golden.state(), trained.state])
    if difference is not None:
        raise SimulationError(f"after {len(images)} images: {difference}")
    return golden
