"""The log of a run: ``log.jsonl``, one line per epoch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from emulator.atomic import write_atomically
from emulator.config import Config, Stage
from emulator.machine import COUNTERS, State

#: Bins of a weight histogram: enough to see the shape and a pile-up at the bounds.
HISTOGRAM_BINS = 128


class Histogram(BaseModel):
    """How many weights of an array fall into each of equally wide bins between ``low`` and ``high``.

    The range is that of the weight word, or twice the mean bound if that is less; what lies outside counts in the
    outermost bins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float
    counts: list[int]


class EpochRecord(BaseModel):
    """One line of the log. Errors are fractions; ``seconds`` and ``counters`` are of training alone, in this epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int
    images: int
    train_error: float
    test_error: float
    seconds: float
    images_per_second: float
    counters: dict[str, dict[str, int]]
    weights: dict[str, Histogram]


def layer_counters(config: Config, state: State) -> dict[str, dict[str, int]]:
    """The counters of every array since the initial state, by layer and name.

    Arrays without counters are left out: the float reference has none.
    """
    return {
        stage.name: dict(zip(COUNTERS, (int(value) for value in state[f"{stage.name}.counters"]), strict=True))
        for stage in config.stages
        if f"{stage.name}.counters" in state
    }


def subtract_counters(
    later: dict[str, dict[str, int]], earlier: dict[str, dict[str, int]]
) -> dict[str, dict[str, int]]:
    """What was counted between two moments."""
    return {
        layer: {name: value - earlier[layer][name] for name, value in counts.items()} for layer, counts in later.items()
    }


def mean_bound(stage: Stage) -> float | None:
    """The mean weight bound of the devices, each side; None if their model has none or it is off."""
    bound = getattr(stage.array.device, "w_max", None)
    return None if bound in (None, "off") else float(bound)


def weight_histograms(config: Config, state: State) -> dict[str, Histogram]:
    """The distribution of every array's weights, in units of the weight."""
    histograms = {}
    for stage in config.stages:
        weights = state[f"{stage.name}.weights"]
        scale = 2.0**-stage.array.weight.fraction_bits
        # Integer machines hold LSBs, the float reference holds weights.
        values = weights if np.issubdtype(weights.dtype, np.floating) else weights * scale
        bound, largest = mean_bound(stage), stage.weight_limit * scale
        reach = largest if bound is None else min(2 * bound, largest)
        counts, _ = np.histogram(np.clip(values, -reach, reach), bins=HISTOGRAM_BINS, range=(-reach, reach))
        histograms[stage.name] = Histogram(low=-reach, high=reach, counts=[int(count) for count in counts])
    return histograms


class Log:
    """``log.jsonl``. Made from the records that the checkpoint knows; lines written after it was saved are dropped.

    So the log of a run that was killed and resumed has the lines of an unbroken one. Raises OSError where it cannot be
    written, with the lines as they were.
    """

    def __init__(self, path: Path, records: Sequence[EpochRecord]) -> None:
        self.path = path
        self._lines = "".join(_line(record) for record in records)
        self._write()

    def append(self, record: EpochRecord) -> None:
        """Add a line, on disk before this returns."""
        self._lines += _line(record)
        self._write()

    def _write(self) -> None:
        """All lines: they are few, and no line of the file is ever torn."""
        write_atomically(self.path, self._lines.encode())


def _line(record: EpochRecord) -> str:
    return json.dumps(record.model_dump(), separators=(", ", ": ")) + "\n"
