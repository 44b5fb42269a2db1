"""The host of a run of board/campaign.py: a process of its own, which may be killed at any time and started again."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from board.machine import BoardMachine
from emulator.atomic import write_atomically
from emulator.config import Config
from emulator.errors import MachineError
from emulator.fixed import Integers
from emulator.machine import Connection, State

IMAGES_A_CALL = 2
PROGRESS, ERROR, CRASH = "progress.npz", "error.txt", "crash.txt"


@dataclass(frozen=True)
class Progress:
    """Logits of the images trained on so far, and the state after them."""

    logits: Integers
    state: State


def read_progress(folder: Path) -> Progress | None:
    """What a host left in its folder."""
    path = folder / PROGRESS
    if not path.exists():
        return None
    with np.load(path) as stored:
        arrays = dict(stored)
    return Progress(arrays.pop("logits"), arrays)


@dataclass(frozen=True)
class Task:
    """What a host is to do: train on all images, on hardware of this identity."""

    config: Config
    identity: int
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def train(task: Task, connection: Connection, folder: Path) -> None:
    """Go on from what is in the folder until all images are trained on, and leave it there; or an error of the machine,
    one line; or whatever else went wrong."""
    try:
        _train(task, connection, folder)
    except MachineError as error:
        (folder / ERROR).write_text(str(error))
    except Exception:
        (folder / CRASH).write_text(traceback.format_exc())


def _train(task: Task, connection: Connection, folder: Path) -> None:
    machine = BoardMachine(task.config, connection, identity=task.identity)
    progress = read_progress(folder) or Progress(np.empty((0, task.config.classes), np.int64), machine.state())
    machine.load(progress.state)
    for first in range(len(progress.logits), len(task.images), IMAGES_A_CALL):
        part = slice(first, first + IMAGES_A_CALL)
        logits = machine.train(task.images[part], task.labels[part])
        progress = Progress(np.concatenate([progress.logits, logits]), machine.state())
        _write_progress(folder, progress)
    machine.close()


def _write_progress(folder: Path, progress: Progress) -> None:
    contents = BytesIO()
    np.savez(contents, logits=progress.logits, **progress.state)
    write_atomically(folder / PROGRESS, contents.getvalue())
