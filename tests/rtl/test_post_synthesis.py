"""The network as synthesis for ECP5 leaves it: its netlist of cells trains to the golden model's bits."""

from __future__ import annotations

import numpy as np
import pytest

from emulator.compare import state_difference
from emulator.config import load
from emulator.network.network import GoldenMachine
from emulator.training.datasets import load_dataset
from hdl.network.network import Network
from hdl.part import ECP5_85K
from sim.machine import RtlMachine
from sim.post_synthesis import netlist
from sim.runner import Design
from tests.sim.test_post_synthesis import cut

IMAGES = 20
NAMES = ("golden", "netlist")


def netlist_of(network: Network) -> Design:
    return netlist(Design.of(network, part=ECP5_85K))


def faulty_netlist_of(network: Network) -> Design:
    # A wire of the weights of one lane: the lowest bit is below what a read tells; without those of all multipliers, also of
    # the tile's, no image would ever end.
    return cut(netlist_of(network), "crossbar.lane_0.multiplier", "A10")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("faulty", [False, True])
def test_netlist_of_tiny_trains_to_the_golden_bits(faulty: bool) -> None:
    """And not if a wire of one of its multipliers is cut."""
    config = load("tiny")
    data = load_dataset("digits", height=config.input.height, width=config.input.width, classes=config.classes)
    images, labels = data.train_images[:IMAGES], data.train_labels[:IMAGES]
    golden = GoldenMachine(config)
    expected = golden.train(images, labels)
    machine = RtlMachine(config, design_of=faulty_netlist_of if faulty else netlist_of)
    logits = machine.train(images, labels)
    assert np.array_equal(logits, expected) is not faulty
    assert (state_difference(NAMES, [golden.state(), machine.state()]) is None) is not faulty
