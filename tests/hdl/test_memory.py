"""Memories whose words are not used when they are read while they are written: whatever such a read gives, the network's
bits stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from emulator.compare import state_difference
from emulator.config import load
from emulator.network.network import GoldenMachine
from emulator.training.datasets import load_dataset
from hdl.memory import exclusive_memory
from sim.machine import RtlMachine

pytestmark = pytest.mark.usefixtures("garbling")


def test_the_complement_is_given() -> None:
    """The stand-in does what the test below relies on."""
    m = Module()
    m.submodules.memory = block = exclusive_memory(8, 4, [1, 2, 3, 4])
    write, read = block.write_port(), block.read_port()

    async def bench(context: Any) -> None:
        for written, expected in ((0, 2), (1, 0xFF ^ 2), (0, 9)):
            context.set(write.addr, 1)
            context.set(read.addr, 1)
            context.set(read.en, 1)
            context.set(write.data, 9)
            context.set(write.en, written)
            await context.tick()
            assert context.get(read.data) == expected

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("lanes", [1, 4])
def test_the_network_uses_no_such_word(lanes: int) -> None:
    config = load("tiny", [f"hardware.lanes={lanes}"])
    dataset = load_dataset("digits", height=config.input.height, width=config.input.width, classes=config.classes)
    images, labels = dataset.train_images[:10], dataset.train_labels[:10]
    golden, machine = GoldenMachine(config), RtlMachine(config)
    assert np.array_equal(machine.train(images, labels), golden.train(images, labels))
    machine.native.stall(0.5, seed=3)
    assert np.array_equal(machine.train(images, labels), golden.train(images, labels))
    assert state_difference(("golden", "rtl"), [golden.state(), machine.state()]) is None
