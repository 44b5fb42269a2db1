"""Memories whose words are not used when they are read while they are written: whatever such a read gives, the network's
bits stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.sim import Simulator

import hdl.memory
from emulator.compare import state_difference
from emulator.config import load
from emulator.network.network import GoldenMachine
from emulator.training.datasets import load_dataset
from hdl.memory import exclusive_memory
from sim.machine import RtlMachine


class Garbling(wiring.Component):
    """A memory that gives the complement of a word that is read while it is written."""

    def __init__(self, *, attrs: dict[str, Any], **arguments: Any) -> None:
        self._memory = memory.Memory(**arguments)
        self._writes: list[memory.WritePort] = []
        self._reads: list[tuple[memory.ReadPort, wiring.PureInterface]] = []
        super().__init__({})

    def write_port(self) -> memory.WritePort:
        self._writes.append(self._memory.write_port())
        return self._writes[-1]

    def read_port(self, transparent_for: list[memory.WritePort] | None = None) -> wiring.PureInterface:
        assert not transparent_for, "an exclusive memory has no use for it"
        inner = self._memory.read_port()
        outer = inner.signature.flip().create()
        self._reads.append((inner, outer))
        return outer

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = self._memory
        for number, (inner, outer) in enumerate(self._reads):
            collided = Signal(name=f"collided_{number}")
            hit = Cat(write.en & (write.addr == outer.addr) for write in self._writes).any()
            with m.If(outer.en):
                m.d.sync += collided.eq(hit)
            word = Signal.cast(outer.data) if isinstance(outer.data, Signal) else outer.data.as_value()
            given = inner.data if isinstance(inner.data, Signal) else inner.data.as_value()
            m.d.comb += [
                inner.addr.eq(outer.addr),
                inner.en.eq(outer.en),
                word.eq(given ^ collided.replicate(len(word))),
            ]
        return m


@pytest.fixture(autouse=True)
def garbling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdl.memory, "Memory", Garbling)


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
