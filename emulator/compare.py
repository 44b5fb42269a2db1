"""Training the same images on several machines and naming the first word in which they differ."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from emulator.config import Config
from emulator.errors import DivergenceError, MachineError
from emulator.machine import Machine, State, build_machine

#: Images between two comparisons. Small, since the images of a difference are trained again one by one.
IMAGES_PER_STEP = 25


def compare_machines(
    config: Config,
    names: Sequence[str],
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    *,
    build: Callable[[str, Config], Machine] = build_machine,
    explain: Callable[[Sequence[Machine], int], str] | None = None,
) -> str | None:
    """Train ``images`` on every named machine; None if all logits and all arrays of all states are equal throughout.

    Otherwise one line with the earliest difference: after which image, layer, array, row and column, and the values
    of the first machine and of the one that differs. A bar on stderr shows progress. If the difference is that of a
    single image, ``explain`` may add lines: it is given the machines, set back to just before the image, and the image's
    place in ``images``.
    Raises MachineError for fewer than two names, and where weights are no longer finite.
    """
    if len(names) < 2:
        raise MachineError(f"machines {','.join(names)!r}: accepted: two or more, such as golden,fast")
    machines = [build(name, config) for name in names]

    def train(first: int, last: int) -> str | None:
        try:
            logits = [machine.train(images[first:last], labels[first:last]) for machine in machines]
        except DivergenceError as error:
            raise MachineError(error.told(f"image {first + error.image + 1}")) from error
        states = [machine.state() for machine in machines]
        return state_difference(names, states) or logits_difference(names, logits, first)

    def pin_down(first: int, last: int) -> str | None:
        """Image by image over a range that differed as a whole."""
        for image in range(first, last):
            before = [machine.state() for machine in machines]
            difference = train(image, image + 1)
            if difference is not None:
                line = f"first difference after image {image + 1}: {difference}"
                if explain is None:
                    return line
                _load(machines, before)
                return f"{line}\n{explain(machines, image)}"
        return None

    difference = state_difference(names, [machine.state() for machine in machines])
    if difference is not None:
        return f"first difference before any image: {difference}"
    with tqdm(total=len(images), unit=" images", dynamic_ncols=True, file=sys.stderr, leave=False, disable=None) as bar:
        for first in range(0, len(images), IMAGES_PER_STEP):
            last = min(first + IMAGES_PER_STEP, len(images))
            before = [machine.state() for machine in machines]
            difference = train(first, last)
            if difference is not None:
                _load(machines, before)
                return pin_down(first, last) or (
                    f"first difference in images {first + 1} to {last}, only when trained in one call: {difference}"
                )
            bar.update(last - first)
    return None


def weight_count(config: Config) -> int:
    """Number of stored weights in all arrays, replicas counted."""
    return sum(stage.physical_rows * stage.physical_columns for stage in config.stages)


def _load(machines: Sequence[Machine], states: Sequence[State]) -> None:
    for machine, state in zip(machines, states, strict=True):
        machine.load(state)


def state_difference(names: Sequence[str], states: Sequence[State]) -> str | None:
    """Where a machine's state first differs from that of the first machine."""
    for name, state in zip(names[1:], states[1:], strict=True):
        # The order of the first machine's state is that of the network; foreign arrays come last.
        for key in [*states[0], *(key for key in state if key not in states[0])]:
            # The name of a layer may have dots of its own.
            layer, what = key.rsplit(".", 1) if "." in key else (key, "")
            place = f"layer {layer}, {what}"
            ours, theirs = states[0].get(key), state.get(key)
            if ours is None or theirs is None:
                return f"{place}: only {names[0] if theirs is None else name} has it"
            difference = _array_difference(names[0], name, ours, theirs, place)
            if difference is not None:
                return difference
    return None


def logits_difference(names: Sequence[str], logits: Sequence[NDArray[np.int64]], first: int) -> str | None:
    """Where a machine's logits first differ from those of the first machine; image ``first`` is their row 0."""
    for name, others in zip(names[1:], logits[1:], strict=True):
        if logits[0].shape != others.shape or logits[0].dtype != others.dtype:
            return _array_difference(names[0], name, logits[0], others, "logits")
        for row in np.flatnonzero(_unequal(logits[0], others).any(axis=1)):
            return _array_difference(names[0], name, logits[0][row], others[row], f"logits of image {first + row + 1}")
    return None


def _unequal(array: np.ndarray, other: np.ndarray) -> NDArray[np.bool_]:
    """Where two arrays differ. What is not a number in both, and so equals nothing, does not."""
    differs: NDArray[np.bool_] = array != other
    if np.issubdtype(array.dtype, np.inexact):
        differs &= ~(np.isnan(array) & np.isnan(other))
    return differs


def _array_difference(name: str, other_name: str, array: np.ndarray, other: np.ndarray, place: str) -> str | None:
    if array.shape != other.shape or array.dtype != other.dtype:
        return f"{place}: {name} {array.dtype}{list(array.shape)}, {other_name} {other.dtype}{list(other.shape)}"
    unequal = np.argwhere(_unequal(array, other))
    if len(unequal) == 0:
        return None
    index = tuple(int(step) for step in unequal[0])
    spelled = {0: "", 1: ", element {}", 2: ", row {}, column {}"}.get(len(index), ", element" + " {}" * len(index))
    return f"{place}{spelled.format(*index)}: {name} {array[index]}, {other_name} {other[index]}"
