"""Transactions of streams, and vectors as beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.payload import Value, Values

#: One element in so many is a corner of its word.
CORNER_INTERVAL = 6


@dataclass(frozen=True)
class Transactions:
    """Payloads of every input stream in order, and those that every output stream must give, in order.

    All streams run at once. What must wait, for a memory that is loaded first or read back last, stands in ``then``: further
    transactions, each begun when all words of those before have passed, in and out, without a reset in between. These
    need to name only the streams that they use, and have no ``then`` of their own.
    """

    inputs: dict[str, list[Values]]
    outputs: dict[str, list[Values]]
    then: tuple[Transactions, ...] = ()

    @property
    def phases(self) -> tuple[Transactions, ...]:
        return (self, *self.then)

    def expected(self, port: str) -> list[Values]:
        """The words of an output stream in all phases."""
        return [word for phase in self.phases for word in phase.outputs.get(port, [])]


def beats(
    vector: Sequence[int],
    lanes: int,
    *,
    segments: Sequence[int] | None = None,
    fill: np.random.Generator | None = None,
    fill_bits: int = 1,
    field: str = "elements",
    **sideband: Value,
) -> list[Values]:
    """A vector as beats (hdl/shapes.py). Disabled lanes hold anything (None), or with ``fill`` random words."""
    lengths = [len(vector)] if segments is None else list(segments)
    result: list[Values] = []
    first = 0
    for length in lengths:
        for start in range(first, first + length, lanes):
            part: list[int | None] = [int(v) for v in vector[start : min(start + lanes, first + length)]]
            mask = (1 << len(part)) - 1
            idle = lanes - len(part)
            part += [None if fill is None else int(fill.integers(0, 1 << fill_bits)) for _ in range(idle)]
            result.append({field: part, "mask": mask, "last": 0, **sideband})
        first += length
    result[-1] = {**result[-1], "last": 1}
    return result


def draw(generator: np.random.Generator, count: int, low: int, high: int) -> list[int]:
    """Integers of ``low .. high`` of every length of word, with corners in between."""
    corners = [corner for corner in (0, 1, -1, high, low, high - 1, low + 1) if low <= corner <= high]
    largest = max(abs(low), abs(high))
    values = []
    for _ in range(count):
        if generator.integers(0, CORNER_INTERVAL) == 0:
            values.append(int(generator.choice(np.array(corners, dtype=object))))
        else:
            reach = 1 << int(generator.integers(0, largest.bit_length(), endpoint=True))
            values.append(int(generator.integers(max(-reach, low), min(reach, high), endpoint=True)))
    return values


def lengths(generator: np.random.Generator, count: int, lanes: int) -> list[int]:
    """Lengths of vectors: 1, around one and two beats, and others."""
    around = [1, max(1, lanes - 1), lanes, lanes + 1, 2 * lanes, 2 * lanes + 1, 3 * lanes - 1]
    return [around[k] if k < len(around) else int(generator.integers(1, 4 * lanes + 2)) for k in range(count)]
