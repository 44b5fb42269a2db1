"""The trace of a training image: every intermediate vector in one canonical order and form, whatever machine made it.

A record is a vector of integers at a *place*: layer, operation, position, attempt, item. A place has at most one record,
and each record is what passes on one stream of the hardware as one vector, so a trace can be filled from streams as
well as from matrices. docs/trace.md lists the items.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.atomic import write_atomically
from emulator.config import Stage

#: int64, or uint64 for the states of generators.
Vector = NDArray[np.int64 | np.uint64]

#: The position of a record that belongs to an operation as a whole.
WHOLE = -1


class Place(NamedTuple):
    """Where a record belongs."""

    layer: str
    operation: str  # forward, error, backward or update
    position: int  # read or update cycle of the operation, volume position for what is no read; or WHOLE
    attempt: int  # repeat of a read by bound management, from 0
    item: str


@dataclass(frozen=True)
class Step:
    """Part of an operation that ends for all positions before the next step begins.

    Of a position, all items of a part come before those of the next part; within a part, attempt by attempt.
    """

    operation: str
    parts: tuple[tuple[str, ...], ...]


GENERATORS = ("row_pulse", "column_pulse", "row_noise", "column_noise")
SCALING = ("multiplier", "shift", "scale")
CONVERTERS = ("dac", "adc", "saturated")

#: What a stage does on the way forward, first to last stage, and on the way back, last to first.
FORWARD_STEPS = (
    Step("forward", (("x", *SCALING), CONVERTERS, ("y",))),
    Step("forward", (GENERATORS,)),
    Step("forward", (("activation",),)),
    Step("forward", (("pooled", "argmax"),)),
    Step("forward", (("logits",),)),
)
BACKWARD_STEPS = (
    Step("error", (("fraction", "softmax", "sums"),)),
    Step("error", (("exponent", "mantissa"),)),
    Step("error", (("delta",),)),
    Step("backward", (("delta", *SCALING), CONVERTERS, ("z",))),
    Step("backward", (GENERATORS,)),
    Step(
        "update",
        (
            ("x", "delta"),
            ("column_multiplier", "column_shift", "row_multiplier", "row_shift"),
            ("column_probability", "row_probability"),
            ("column_pulses", "column_negative", "row_pulses", "row_negative"),
            ("device", "coincidences", "weight"),
        ),
    ),
    Step("update", (("weights", *GENERATORS),)),
)

#: What the elements of an item are, where it is not the same in all operations: forward, elsewhere.
_DRIVEN, _SENSED = ("column", "row"), ("row", "column")
_ELEMENTS = {
    "x": "column",
    "dac": _DRIVEN,
    "adc": _SENSED,
    "saturated": _SENSED,
    "z": "column",
    "column_probability": "column",
    "column_pulses": "column",
    "column_negative": "column",
    **dict.fromkeys(("y", "activation", "pooled", "argmax", "logits"), "row"),
    **dict.fromkeys(("softmax", "sums", "mantissa", "delta"), "row"),
    **dict.fromkeys(("row_probability", "row_pulses", "row_negative"), "row"),
    "row_noise": "row",
    "column_noise": "column",
    **dict.fromkeys(("row_pulse", "column_pulse"), "generator"),
}


def elements_of(operation: str, item: str) -> str:
    """What an element of the item is: row, column, generator, or just an element."""
    kind = _ELEMENTS.get(item, "element")
    return kind if isinstance(kind, str) else kind[operation != "forward"]


class Trace:
    """The records of one training image of a network with these stages."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = {stage.name: stage for stage in stages}
        self.records: dict[Place, Vector] = {}

    def record(
        self, layer: str, operation: str, item: str, vector: Any, position: int = WHOLE, attempt: int = 0
    ) -> None:
        """Keep a copy of a vector of integers. Raises ValueError for a place that is unknown or already taken."""
        place = Place(layer, operation, position, attempt, item)
        if layer not in self.stages or (operation, item) not in _order_of_items():
            raise ValueError(f"{place}: no such layer, operation or item")
        if place in self.records:
            raise ValueError(f"{place}: recorded twice")
        kept: Vector = np.array(vector, dtype=np.uint64 if item in GENERATORS else np.int64, ndmin=1)
        if kept.ndim != 1:
            raise ValueError(f"{place}: shape {kept.shape}, not a vector")
        self.records[place] = kept

    def record_positions(self, layer: str, operation: str, item: str, vectors: Any) -> None:
        """The same for a vector per position, or a number per position."""
        for position, vector in enumerate(vectors):
            self.record(layer, operation, item, vector, position)

    def ordered(self) -> list[Place]:
        """All places in canonical order: that of the equations, and so of cause before effect."""
        return sorted(self.records, key=self.order)

    def order(self, place: Place) -> tuple[int, ...]:
        """The key of the canonical order."""
        direction, step, part, item = _order_of_items()[place.operation, place.item]
        stage = self.stages[place.layer].index
        return (direction, -stage if direction else stage, step, place.position, part, place.attempt, item)

    @property
    def words(self) -> int:
        """Number of integers in all records."""
        return sum(len(vector) for vector in self.records.values())

    def spell_index(self, place: Place, index: int) -> str:
        """Which element of a record that is, as row and column where it belongs to one."""
        if place.item == "weights":
            return self._spell_device(place.layer, index)
        devices = self.records.get(place._replace(item="device"))
        if place.item in ("coincidences", "weight") and devices is not None and index < len(devices):
            return self._spell_device(place.layer, int(devices[index]))
        return f"{elements_of(place.operation, place.item)} {index}"

    def spell_value(self, place: Place, value: np.integer) -> str:
        """A word of a record: devices by row and column, states of generators in hexadecimal."""
        if place.item == "device":
            return self._spell_device(place.layer, int(value))
        return f"{int(value):#x}" if place.item in GENERATORS else str(int(value))

    def _spell_device(self, layer: str, device: int) -> str:
        row, column = divmod(device, self.stages[layer].physical_columns)
        return f"row {row}, column {column}"


@cache
def _order_of_items() -> dict[tuple[str, str], tuple[int, int, int, int]]:
    """For operation and item: way forward or back, step, part, number in the part."""
    return {
        (step.operation, item): (direction, number, part, index)
        for direction, steps in enumerate((FORWARD_STEPS, BACKWARD_STEPS))
        for number, step in enumerate(steps)
        for part, items in enumerate(step.parts)
        for index, item in enumerate(items)
    }


def write_trace(path: Path, trace: Trace) -> None:
    """Write a trace as a NumPy archive, in one step. Raises OSError.

    ``LAYER.OPERATION.ITEM`` has the vectors one a row where all are equally long, and end to end otherwise;
    ``LAYER.OPERATION.ITEM.places`` has position, attempt and length of each vector.
    """
    groups: dict[str, list[Place]] = {}
    for place in trace.ordered():
        groups.setdefault(f"{place.layer}.{place.operation}.{place.item}", []).append(place)
    arrays: dict[str, NDArray[Any]] = {}
    for name, places in groups.items():
        vectors = [trace.records[place] for place in places]
        lengths = [len(vector) for vector in vectors]
        arrays[name] = np.stack(vectors) if len(set(lengths)) == 1 else np.concatenate(vectors)
        arrays[f"{name}.places"] = np.array(
            [(place.position, place.attempt, length) for place, length in zip(places, lengths, strict=True)],
            dtype=np.int64,
        )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getvalue())
