"""Waves of one layer's phase of a chosen image, from the network in logic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.atomic import replacing
from hdl.network.tile import Operation
from sim.machine import RtlMachine


def write_waves(
    machine: RtlMachine, image: NDArray[np.uint8], label: int, layer: str, operation: Operation, path: Path
) -> int:
    """Train on the image, and write a VCD of the cycles in which ``layer`` goes through ``operation``; returns how many.
    ``machine`` is built with waves. The file is replaced in one step. Raises OSError."""
    with replacing(path) as file:
        return _write(machine, image, label, layer, operation, file)


def _write(
    machine: RtlMachine, image: NDArray[np.uint8], label: int, layer: str, operation: Operation, file: Path
) -> int:
    native = machine.native
    first = None
    cycles = 0
    for phase in machine.watch(image, label):
        if first is not None:
            native.stop_waves()
            cycles, first = native.cycles - first, None
        if phase is not None and (phase[0].name, phase[1]) == (layer, operation):
            native.start_waves(file)
            first = native.cycles
    return cycles
