"""`average`: copies of vectors of codes, the largest among them."""

from __future__ import annotations

import numpy as np

from emulator.periphery.average import average
from hdl.periphery.average import AverageParameters, guard_bits_of, reciprocal_of
from sim.payload import Value
from sim.transactions.base import Transactions, beats, draw

#: One vector in so many holds the largest code in all copies of all elements, and one the smallest.
EXTREME_INTERVAL = 4
#: Of arrays of several kinds, one vector in so many is of the side that is not replicated.
OTHER_SIDE_INTERVAL = 3


def average_transactions(parameters: AverageParameters, generator: np.random.Generator, vectors: int) -> Transactions:
    """Vectors of all lengths between the shortest and the longest, which come first, and of all arrays: the replicated
    side sensed, or the other one."""
    p = parameters
    largest = (1 << p.magnitude_bits) - 1
    inputs, outputs = [], []
    for number in range(vectors):
        count = (
            (p.beats, p.fewest_beats)[number] if number < 2 else int(generator.integers(p.fewest_beats, p.beats + 1))
        )
        replication = p.replications[number % len(p.replications)]
        copies = replication if p.copies > 1 else 1
        if len(p.replications) > 1 and generator.integers(0, OTHER_SIDE_INTERVAL) == 0:
            copies = 1
        segments = [int(generator.integers(1, p.lanes + 1)) for _ in range(count)]
        size = sum(segments) * copies
        extremes = {0: [largest] * size, 1: [-largest] * size}
        codes = extremes.get(number % EXTREME_INTERVAL) or draw(generator, size, -largest, largest)
        sideband: dict[str, Value] = {}
        if p.sideband_bits:
            sideband["sideband"] = int(generator.integers(0, 1 << p.sideband_bits))
        reciprocal, guard_bits = reciprocal_of(replication), guard_bits_of(replication)
        inputs += beats(
            codes,
            p.lanes,
            segments=segments * copies,
            fill=generator,
            fill_bits=p.magnitude_bits,
            **sideband,
            beats=count,
            copies=copies,
            reciprocal=reciprocal,
            guard_bits=guard_bits,
        )
        totals = np.array(codes, dtype=np.int64).reshape(copies, -1).sum(axis=0)
        outputs += beats(average(totals, reciprocal, guard_bits).tolist(), p.lanes, segments=segments, **sideband)
    return Transactions({"i": inputs}, {"o": outputs})
