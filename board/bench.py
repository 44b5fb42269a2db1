"""How fast a board trains, link included: counted in cycles of its clock, on its simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from board.machine import BoardMachine
from board.simulator import SimulatedBoard, serving
from board.targets import Target
from emulator.config import Config
from emulator.machine import Connection

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


def measure(
    target: Target, config: Config, board: SimulatedBoard, images: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> BoardRate:
    """Train on all images, one behind the other. ``board``: with the target's link. The host is a real one: what the simulation
    runs while the host thinks counts, which is little where images take long. Raises MachineError."""
    with serving(board, baud=target.baud) as port:
        machine = BoardMachine(config, Connection(port.device, baud=target.baud))
        try:
            before = board.native.cycles
            machine.train(images, labels)
            return BoardRate(target, config, len(images), board.native.cycles - before)
        finally:
            machine.close()
