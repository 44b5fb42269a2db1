"""The exported tile trains with the golden crossbar on its pins: outputs, weights and generators equal to golden's."""

from __future__ import annotations

import numpy as np
import pytest

from emulator.config import Config, load
from emulator.network.network import GoldenMachine
from emulator.network.tile import Tile as GoldenTile
from emulator.training.datasets import Dataset, load_dataset
from hdl.network.tile import Tile
from sim.analog_array import PORTS, AnalogArray
from sim.runner import Design, run_verilator
from sim.transactions.base import Transactions
from sim.transactions.tile import Command, session, training_commands


def digits(config: Config) -> Dataset:
    return load_dataset("digits", height=config.input.height, width=config.input.width, classes=config.classes)


def without_port(transactions: Transactions) -> Transactions:
    """The array answers by itself: what passes on its streams is not given."""

    def rest(words: dict[str, list]) -> dict[str, list]:
        return {port: values for port, values in words.items() if port not in PORTS}

    phases = [Transactions(rest(phase.inputs), rest(phase.outputs)) for phase in transactions.phases]
    return Transactions(phases[0].inputs, phases[0].outputs, tuple(phases[1:]))


def train_in_hardware(config: Config, layer: int, lanes: int, commands: list[Command], stall: float) -> int:
    """Run one array's commands on its RTL tile; asserts equality and returns the number of words compared."""
    stage = config.stages[layer]
    done = session(stage, config.seed, lanes, commands)
    array = AnalogArray(
        GoldenTile(stage, config.seed).crossbar, lanes, backward_segments=done.lines[0].physical_columns.lengths
    )
    report = run_verilator(Design.of(Tile(done.parameters)), without_port(done.transactions), stall=stall, array=array)
    assert report.array is not None
    golden, seen = done.tile.crossbar, report.array.crossbar
    np.testing.assert_array_equal(seen.weights, golden.weights)
    np.testing.assert_array_equal(seen.row_noise, golden.row_noise)
    np.testing.assert_array_equal(seen.column_noise, golden.column_noise)
    assert (golden.weights != GoldenTile(stage, config.seed).crossbar.weights).any()
    return report.words


def train_network(config: Config, images: int, lanes: int, stall: float) -> None:
    data = digits(config)
    commands = training_commands(GoldenMachine(config), data.train_images[:images], data.train_labels[:images])
    for layer, told in enumerate(commands):
        assert train_in_hardware(config, layer, lanes, told, stall) > images


def test_tiny_network_trains() -> None:
    train_network(load("tiny"), images=3, lanes=4, stall=0.2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_tiny_network_trains_fifty_images() -> None:
    train_network(load("tiny"), images=50, lanes=4, stall=0.0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_first_array_of_the_paper_takes_a_whole_image(lenet_images: Dataset) -> None:
    config = load("lenet-bl1-um")
    images, labels = lenet_images.train_images[:1], lenet_images.train_labels[:1]
    commands = training_commands(GoldenMachine(config), images, labels)[0]
    assert len(commands) == 2 * config.stages[0].positions
    train_in_hardware(config, 0, 16, commands, stall=0.0)
