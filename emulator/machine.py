"""The protocol of a machine, and the registry that finds one by name.

A machine trains and runs one network. For the same config, seed and sequence of images, ``golden``, ``fast``,
``rtl`` and ``board`` return the same bits; ``reference`` computes the paper's equations in float64.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from emulator.config import Config
from emulator.errors import MachineError, StateError
from emulator.trace import Trace

#: Arrays by name ``LAYER.WHAT``: weights, generator states and counters. Everything that the future depends on.
State = dict[str, np.ndarray]

#: Lowest and highest value of arrays of a state: numbers, or arrays of the same shape.
Ranges = Mapping[str, tuple[Any, Any]]

#: What a layer counts, in the order of its ``LAYER.counters`` array (int64), since the initial state.
COUNTERS = (
    "forward_reads",
    "forward_repeats",
    "forward_saturations",
    "backward_reads",
    "backward_repeats",
    "backward_saturations",
    "update_cycles",
    "row_pulses",
    "column_pulses",
    "coincidences",
)


class Machine(Protocol):
    """One network on one machine. Built from a config; starts in the config's initial state."""

    def train(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Train on images ``(n, height, width)`` one after another, mini-batch 1; returns logits ``(n, classes)``
        of the forward pass of each, before its update. Calls may be split anywhere without changing a bit."""

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Logits ``(n, classes)`` of a forward pass of each image. Read noise goes on drawing, so a caller that
        evaluates in the middle of training puts the state back afterwards."""

    def state(self) -> State:
        """A copy of the whole state."""

    def load(self, state: State) -> None:
        """Go on from a copy of ``state``. Raises StateError, with the state as it was, if names, shapes or types do not
        fit, or if it holds what no training leads to: weights beyond their bounds, generators that are all zeros."""


@runtime_checkable
class Traceable(Machine, Protocol):
    """A machine that can also tell how it came to its bits."""

    def trace(self, image: NDArray[np.uint8], label: int) -> Trace:
        """Train one image ``(height, width)`` like ``train``, to the same bits; returns its intermediate vectors.

        Items may be left out, each of them for a whole layer and operation."""


#: Where each machine lives: module and class. ``rtl`` and ``board`` are found only when their packages are there.
MACHINES = {
    "golden": ("emulator.network.network", "GoldenMachine"),
    "fast": ("emulator.engine.machine", "FastMachine"),
    "reference": ("emulator.reference", "ReferenceMachine"),
    "rtl": ("sim.machine", "RtlMachine"),
    "board": ("board.machine", "BoardMachine"),
}


@dataclass(frozen=True)
class Connection:
    """How hardware is reached: a serial port (a device file, or what names a port here), its speed (unless given, that of
    the first board in board/targets.py), and after how many seconds hardware that answers but does not go on is given up."""

    port: str
    baud: int = 3_000_000
    patience: float = 60.0


#: Machines at the end of a connection.
CONNECTED = frozenset({"board"})


def build_machine(name: str, config: Config, connection: Connection | None = None) -> Machine:
    """The machine of that name for a config. Raises MachineError for one that is unknown or not installed, and for a
    connection where the machine has none, or the other way round."""
    if name not in MACHINES:
        raise MachineError(f"machine {name!r}: unknown; accepted: {', '.join(MACHINES)}")
    if name in CONNECTED and connection is None:
        raise MachineError(f"machine {name!r}: no port; accepted: --port DEVICE, such as /dev/ttyUSB0")
    if name not in CONNECTED and connection is not None:
        raise MachineError(f"machine {name!r}: port {connection.port!r}; accepted: a port with {', '.join(CONNECTED)}")
    module_name, class_name = MACHINES[name]
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise MachineError(
            f"machine {name!r}: not available here ({error}); accepted: golden, fast, reference"
        ) from error
    machine_class = getattr(module, class_name)
    machine: Machine = machine_class(config) if connection is None else machine_class(config, connection)
    return machine


def builder(names: Sequence[str], connection: Connection | None) -> Callable[[str, Config], Machine]:
    """`build_machine` for machines of these names, of which those that need it share the connection. Raises MachineError
    for a connection that none of them needs."""
    if connection is not None and CONNECTED.isdisjoint(names):
        raise MachineError(
            f"port {connection.port!r} with machine {', '.join(names)}: accepted: a port with {', '.join(CONNECTED)}"
        )
    return lambda name, config: build_machine(name, config, connection if name in CONNECTED else None)


def check_state(state: State, expected: State, ranges: Ranges) -> None:
    """Raise StateError unless ``state`` has exactly the names, shapes and types of ``expected``, and values in ``ranges``."""
    for name in sorted(set(state) | set(expected)):
        if name not in expected or name not in state:
            kind = "missing from" if name in expected else "foreign to"
            raise StateError(f"state {name!r}: {kind} the state; accepted: {', '.join(sorted(expected))}")
        given, wanted = state[name], expected[name]
        if given.shape != wanted.shape or given.dtype != wanted.dtype:
            raise StateError(
                f"state {name!r} is {given.dtype}{list(given.shape)}: accepted: {wanted.dtype}{list(wanted.shape)}"
            )
        low, high = ranges.get(name, (given, given))
        outside = np.argwhere(~((given >= low) & (given <= high)))  # what is no number is outside too
        if len(outside):
            place = tuple(int(step) for step in outside[0])
            lowest, highest = (np.broadcast_to(bound, given.shape)[place] for bound in (low, high))
            raise StateError(f"state {name!r}{list(place)} = {given[place]}: accepted: {lowest} to {highest}")


def check_images(images: NDArray[np.uint8], config: Config) -> None:
    """Raise MachineError unless ``images`` has the shape and type of the config's input."""
    expected = (config.input.height, config.input.width)
    if images.ndim != 3 or images.shape[1:] != expected or images.dtype != np.uint8:
        raise MachineError(
            f"images are {images.dtype}{list(images.shape)}: accepted: uint8[n, {expected[0]}, {expected[1]}]"
        )


def check_labels(labels: NDArray[np.uint8], count: int, config: Config) -> None:
    """Raise MachineError unless there is one label per image, each a class of the config."""
    if labels.shape != (count,) or labels.dtype != np.uint8:
        raise MachineError(f"labels are {labels.dtype}{list(labels.shape)}: accepted: uint8[{count}]")
    if count and int(labels.max()) >= config.classes:
        raise MachineError(f"label {int(labels.max())}: accepted: 0 .. {config.classes - 1}")
