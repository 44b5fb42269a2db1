"""A machine without any network: a few integers that mix everything they have been given, in order.

Its state depends on every image, label and draw before, so that a training loop that loses, repeats or reorders a
single call, or lets a test leave traces, ends with other bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.config import Config, load
from emulator.machine import COUNTERS, Machine, State, check_state
from emulator.streams import splitmix64
from emulator.training.datasets import Dataset
from emulator.training.order import epoch_order

Hook = Callable[[int], None]


class ToyMachine:
    """``hook`` is called before every training image with the number of those trained by this object."""

    def __init__(self, config: Config, hook: Hook | None = None) -> None:
        self.config = config
        self.hook = hook
        self.trained = 0
        self.words = splitmix64(np.arange(16, dtype=np.uint64) ^ np.uint64(config.seed))
        self.weights = {
            stage.name: np.zeros((stage.physical_rows, stage.physical_columns), dtype=np.int32)
            for stage in config.stages
        }
        self.counters = {stage.name: np.zeros(len(COUNTERS), dtype=np.int64) for stage in config.stages}

    def train(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.int64]:
        return np.array([self._train_image(*pair) for pair in zip(images, labels, strict=True)]).reshape(-1, 10)

    def _train_image(self, image: NDArray[np.uint8], label: np.uint8) -> NDArray[np.int64]:
        if self.hook is not None:
            self.hook(self.trained)
        self.trained += 1
        logits = self._draw(image)
        self.words ^= np.uint64(label)
        for weights in self.weights.values():
            steps = (self.words[0] >> np.arange(weights.size % 7 + 1, dtype=np.uint64)) & np.uint64(7)
            weights.flat[: len(steps)] += steps.astype(np.int32)
        for counters in self.counters.values():
            np.add(counters, np.arange(1, len(COUNTERS) + 1), out=counters)
        return logits

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        return np.array([self._draw(image) for image in images])

    def _draw(self, image: NDArray[np.uint8]) -> NDArray[np.int64]:
        key = int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=8).digest(), "little")
        self.words = splitmix64(self.words ^ np.uint64(key))
        return (self.words[:10] >> np.uint64(40)).astype(np.int64)

    def state(self) -> State:
        state = {"words": self.words.copy()}
        for name in self.weights:
            state[f"{name}.weights"] = self.weights[name].copy()
            state[f"{name}.counters"] = self.counters[name].copy()
        return state

    def load(self, state: State) -> None:
        check_state(state, self.state(), {})
        self.words = state["words"].copy()
        for name in self.weights:
            self.weights[name] = state[f"{name}.weights"].copy()
            self.counters[name] = state[f"{name}.counters"].copy()


def toy_builder(hook: Hook | None = None) -> Callable[[str, Config], Machine]:
    """Stands in for ``build_machine``."""
    return lambda name, config: ToyMachine(config, hook)


def toy_config(*assignments: str) -> Config:
    return load("tiny", assignments)


def toy_dataset(train: int = 60, test: int = 20, seed: int = 0) -> Dataset:
    random = np.random.default_rng(seed)

    def images(count: int) -> NDArray[np.uint8]:
        return random.integers(0, 256, (count, 6, 6), dtype=np.uint8)

    def labels(count: int) -> NDArray[np.uint8]:
        return random.integers(0, 10, count, dtype=np.uint8)

    return Dataset("toy", images(train), labels(train), images(test), labels(test))


def straight(config: Config, dataset: Dataset, epochs: int) -> State:
    """The state after some epochs without loop, test or checkpoint."""
    machine = ToyMachine(config)
    for epoch in range(1, epochs + 1):
        order = epoch_order(config.seed, epoch, len(dataset.train_images))
        machine.train(dataset.train_images[order], dataset.train_labels[order])
    return machine.state()


def same_states(left: State, right: State) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and np.array_equal(left[name], right[name]) for name in left
    )


def run_until_killed(out: Path, resume: bool, epochs: int, hook: Hook | None) -> None:
    """A run in a process of its own."""
    from emulator.training.loop import run_training

    run_training(
        toy_config(), "golden", toy_dataset(), epochs=epochs, out=out, checkpoint_every=7, resume=resume, quiet=True,
        build=toy_builder(hook),
    )  # fmt: skip
