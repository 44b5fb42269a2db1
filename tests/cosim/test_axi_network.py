"""The network trains behind its AXI pins alone: set up, trained and read back by others' AXI, to the golden machine's bits."""

from __future__ import annotations

import numpy as np
import pytest

from emulator.compare import logits_difference, state_difference
from emulator.config import Config, load
from emulator.fixed import Integers
from emulator.machine import State
from emulator.network.network import GoldenMachine
from emulator.training.datasets import load_dataset
from hdl.axi.axi_lite import byte_address
from hdl.axi.network_axi import NetworkAxi
from hdl.network.network_parameters import NetworkParameters
from sim.axi import Answers, Step, design_of, run_axi
from sim.network_memory import BusWords, NetworkMemory

NAMES = ("golden", "axi")
WORD_BYTES = 4
#: Cycles for all images of a test, pauses included.
PATIENCE = 400_000


def writes(words: BusWords) -> list[tuple[int, bytes]]:
    return [
        (byte_address(address), word.to_bytes(8, "little"))
        for address, word in zip(words.addresses.tolist(), words.words.tolist(), strict=True)
    ]


def packet(image: np.ndarray, label: int) -> bytes:
    return bytes([0x80, label]) + image.tobytes()


def train_over_axi(config: Config, images: np.ndarray, labels: np.ndarray, stall: float) -> tuple[Integers, State]:
    """Logits of all images and the state after them. Nothing but AXI goes in or comes out."""
    parameters = NetworkParameters.of_config(config)
    axi = NetworkAxi.of(parameters)
    memory = NetworkMemory(axi.network, config)
    initial = GoldenMachine(config).state()
    addresses = np.concatenate([memory.places[name].ravel() for name in initial])
    steps = [
        Step(writes=writes(memory.description()) + writes(memory.words_of(initial))),
        Step(packets=[packet(*pair) for pair in zip(images, labels.tolist(), strict=True)], frames=len(images)),
        # Waits by itself until the last image is trained on.
        Step(reads=[(byte_address(address), 8) for address in addresses.tolist()]),
    ]
    loaded, trained, left = run_axi(
        design_of(axi, "network_axi"), steps, stall=stall, patience=PATIENCE, randomise=True
    )
    assert not any(loaded.writes) and not any(response for response, _ in left.reads)
    words = np.array([int.from_bytes(content, "little") for _, content in left.reads], np.uint64)
    return logits_of(trained), memory.state_of(words, initial)


def logits_of(answers: Answers) -> Integers:
    return np.array([np.frombuffer(frame, f"<i{WORD_BYTES}") for frame in answers.frames], np.int64)


@pytest.mark.timeout(900)
def test_tiny_trains_over_axi() -> None:
    config = load("tiny")
    data = load_dataset("digits", height=config.input.height, width=config.input.width, classes=config.classes)
    images, labels = data.train_images[:2], data.train_labels[:2]
    golden = GoldenMachine(config)
    initial = golden.state()
    expected = golden.train(images, labels)
    logits, state = train_over_axi(config, images, labels, stall=0.2)
    assert logits_difference(NAMES, [expected, logits], 0) is None
    assert state_difference(NAMES, [golden.state(), state]) is None
    assert all((values != initial[name]).any() for name, values in state.items() if "weights" in name)
