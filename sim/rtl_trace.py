"""The trace of a training image, from the probes of the network in logic (docs/trace.md)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emulator.config import Stage
from emulator.machine import State
from emulator.trace import GENERATORS, Trace
from hdl.network.network import PROBED
from hdl.network.tile import Operation
from sim.native import Native

Vectors = list[dict[str, NDArray[np.int64]]]


def phases(stages: tuple[Stage, ...]) -> Iterator[tuple[Stage, Operation]]:
    """The phases of a training image, in order."""
    for stage in stages:
        yield stage, Operation.FORWARD
    for stage in reversed(stages):
        if stage.index:
            yield stage, Operation.BACKWARD
        yield stage, Operation.UPDATE


class Recorder:
    """Fills a trace with what the probes of ``native`` have seen, a phase after the other."""

    def __init__(self, native: Native, stages: tuple[Stage, ...]) -> None:
        self.native, self.trace = native, Trace(stages)
        self._vectors: dict[str, Vectors] = {}

    def take(self, stage: Stage, operation: Operation) -> None:
        """What was seen since the last call: all of it of this phase."""
        self._vectors = {name: self._take(name) for name in PROBED}
        if operation is Operation.UPDATE:
            self._update(stage)
        else:
            self._read(stage, operation)

    def finish(self, state: State) -> Trace:
        """The trace, with the state after the image: each array's after its update, which is the last it does."""
        for name in self.trace.stages:
            self.trace.record(name, "update", "weights", state[f"{name}.weights"].ravel())
            for item in GENERATORS:
                self.trace.record(name, "update", item, state[f"{name}.{item}"])
        return self.trace

    def _read(self, stage: Stage, operation: Operation) -> None:
        forward = operation is Operation.FORWARD
        name = operation.name.lower()
        given, result = ("x", "y") if forward else ("delta", "z")
        for item in (given, result):
            self.trace.record_positions(stage.name, name, item, self._elements(item))
        if forward and stage.layer.activation == "softmax":
            self.trace.record(stage.name, name, "logits", self._elements("y")[0])
        most = (stage.forward if forward else stage.backward).bound_management
        position = attempt = 0
        for driven, sensed in zip(self._vectors["drive"], self._vectors["sense"], strict=True):
            place = {"position": position, "attempt": attempt}
            self.trace.record(stage.name, name, "dac", driven["elements"], **place)
            self.trace.record(stage.name, name, "adc", sensed["elements"], **place)
            self.trace.record(stage.name, name, "saturated", sensed["saturated"], **place)
            repeats = bool(sensed["saturated"].any()) and attempt < most
            position, attempt = (position, attempt + 1) if repeats else (position + 1, 0)

    def _update(self, stage: Stage) -> None:
        for item in ("x", "delta"):
            self.trace.record_positions(stage.name, "update", item, self._elements(item))
        for side, item in enumerate(("column_pulses", "row_pulses")):
            trains = [vector["elements"] for vector in self._vectors["pulse"] if vector["side"][0] == side]
            self.trace.record_positions(stage.name, "update", item, trains)

    def _elements(self, name: str) -> list[NDArray[np.int64]]:
        return [vector["elements"] for vector in self._vectors[name]]

    def _take(self, name: str) -> Vectors:
        """The vectors of a probe: of every field of a lane, the enabled lanes in order; of others, a word per beat."""
        beats = self.native.receive(f"probe_{name}")
        lanes = beats["elements"].shape[1]
        enabled = _bits(beats["mask"], lanes)
        ends = np.flatnonzero(beats["last"]) + 1
        fields = {"elements": beats["elements"].astype(np.int64)}
        fields |= {key: _bits(beats[key], lanes).astype(np.int64) for key in ("saturated",) if key in beats}
        vectors = []
        for first, end in pairwise([0, *ends.tolist()]):
            part = slice(first, end)
            vector = {key: values[part][enabled[part]] for key, values in fields.items()}
            if "side" in beats:
                vector["side"] = beats["side"][part].astype(np.int64)
            vectors.append(vector)
        return vectors


def _bits(words: NDArray[np.uint64], lanes: int) -> NDArray[np.bool_]:
    """One bit per lane."""
    return (words[:, None] >> np.arange(lanes, dtype=np.uint64) & np.uint64(1)).astype(bool)
