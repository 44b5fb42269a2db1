"""What machines have in common whose network is hardware behind its bus: state, description and images."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from emulator.config import Config
from emulator.errors import MachineError
from emulator.fixed import Integers
from emulator.machine import State, check_images, check_labels, check_state
from emulator.network.network import GoldenMachine
from hdl.network.network import Network
from sim.network_memory import Addresses, BusWords, NetworkMemory, Words


class BusMachine(ABC):
    """See Machine. ``name``: the machine's, for messages; ``network``: how the hardware is laid out. Raises MachineError
    for a config that the hardware does not hold. The hardware is untouched until `describe`."""

    def __init__(self, name: str, network: Network, config: Config) -> None:
        self.config, self.network = config, network
        try:
            self.memory = NetworkMemory(network, config)
        except ValueError as error:
            raise MachineError(f"machine {name!r}: {error}") from error
        golden = GoldenMachine(config)
        self._initial, self._ranges = golden.state(), golden.ranges()

    @abstractmethod
    def read(self, addresses: Addresses) -> Words:
        """Words of the network's bus, when the image under way is done."""

    @abstractmethod
    def write(self, given: BusWords) -> None:
        """Write words over the network's bus in their order, when the image under way is done."""

    @abstractmethod
    def run(self, images: NDArray[np.uint8], labels: NDArray[np.uint8], *, train: bool) -> Integers:
        """The logits of images, trained on or only inferred."""

    def describe(self) -> None:
        """Describe the network to its hardware, and go to the config's initial state."""
        self.write(self.memory.description())
        self.load(self._initial)

    def train(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Integers:
        """See Machine."""
        check_images(images, self.config)
        check_labels(labels, len(images), self.config)
        return self.run(images, labels, train=True)

    def infer(self, images: NDArray[np.uint8]) -> Integers:
        """See Machine."""
        check_images(images, self.config)
        return self.run(images, np.zeros(len(images), np.uint8), train=False)

    def state(self) -> State:
        """See Machine."""
        addresses = np.concatenate([self.memory.places[name].ravel() for name in self._initial])
        return self.memory.state_of(self.read(addresses), self._initial)

    def load(self, state: State) -> None:
        """See Machine."""
        check_state(state, self._initial, self._ranges)
        self.write(self.memory.words_of(state))
