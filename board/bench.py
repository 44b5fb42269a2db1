"""How fast a board trains, link included: counted in cycles of its clock, on its simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from board.machine import BoardMachine
from board.simulator import SimulatedBoard
from board.targets import Target
from emulator.config import Config
from emulator.machine import Connection

#: Patience, in seconds of the board's own time: ninety times an image of the largest network. A second takes its simulation
#: many minutes, so that a minute's patience would be endless.
PATIENCE_SECONDS = 2.0
HEADER = (
    "| board | config | lanes | clock (MHz) | images | cycles per image, link included | images per second |\n"
    "|---|---|---:|---:|---:|---:|---:|"
)


@dataclass(frozen=True)
class BoardRate:
    """``cycles``: from the first image's way to the board until the last one's logits are back."""

    target: Target
    config: Config
    images: int
    cycles: int

    @property
    def cycles_per_image(self) -> float:
        return self.cycles / self.images

    @property
    def images_per_second(self) -> float:
        return self.target.clock / self.cycles_per_image

    def row(self) -> str:
        """Of the table under HEADER, in Markdown."""
        return (
            f"| {self.target.name} | {self.config.name} | {self.config.hardware.lanes} | {self.target.clock / 1e6:g} "
            f"| {self.images} | {self.cycles_per_image:,.0f} | {self.images_per_second:,.1f} |"
        )


class WaitedPort:
    """See Port. The board's serial line as a host has it that thinks in no time: the board's clock runs only while the host waits,
    and is the time that the host is told."""

    def __init__(self, board: SimulatedBoard, target: Target) -> None:
        self.name, self.baud = f"simulated {target.name}", target.baud
        self._board, self._target = board, target

    def now(self) -> float:
        """See Port."""
        return self._board.native.cycles / self._target.clock

    def read(self, seconds: float) -> bytes:
        """See Port."""
        end = self.now() + seconds
        while not (said := self._board.take()) and self.now() < end:
            self._board.advance(self._target.clocks_per_bit)
        return said

    def write(self, line: bytes) -> None:
        """See Port."""
        self._board.feed(line)

    def close(self) -> None:
        """See Port."""


def measure(
    target: Target, config: Config, board: SimulatedBoard, images: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> BoardRate:
    """Train on all images, one behind the other. ``board``: with the target's link. The same cycles every time, since the host
    takes none. Raises MachineError."""
    connection = Connection("simulated", baud=target.baud, patience=PATIENCE_SECONDS)
    machine = BoardMachine(config, connection, open_port=lambda name, baud: WaitedPort(board, target))
    before = board.native.cycles
    machine.train(images, labels)
    return BoardRate(target, config, len(images), board.native.cycles - before)
