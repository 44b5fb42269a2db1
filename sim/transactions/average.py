"""`average`: copies of vectors of codes, the largest among them."""

from __future__ import annotations

import numpy as np

from emulator.periphery.average import average
from hdl.periphery.average import AverageParameters
from sim.payload import Value
from sim.transactions.base import Transactions, beats, draw

#: One vector in so many holds the largest code in all copies of all elements, and one the smallest.
EXTREME_INTERVAL = 4


def average_transactions(parameters: AverageParameters, generator: np.random.Generator, vectors: int) -> Transactions:
    p = parameters
    largest = (1 << p.magnitude_bits) - 1
    inputs, outputs = [], []
    for number in range(vectors):
        segments = [int(generator.integers(1, p.lanes + 1)) for _ in range(p.beats)]
        size = sum(segments) * p.copies
        extremes = {0: [largest] * size, 1: [-largest] * size}
        codes = extremes.get(number % EXTREME_INTERVAL) or draw(generator, size, -largest, largest)
        sideband: dict[str, Value] = {}
        if p.sideband_bits:
            sideband["sideband"] = int(generator.integers(0, 1 << p.sideband_bits))
        inputs += beats(
            codes, p.lanes, segments=segments * p.copies, fill=generator, fill_bits=p.magnitude_bits, **sideband
        )
        totals = np.array(codes, dtype=np.int64).reshape(p.copies, -1).sum(axis=0)
        means = average(totals, p.reciprocal, p.guard_bits).tolist()
        outputs += beats(means, p.lanes, segments=segments, **sideband)
    return Transactions({"i": inputs}, {"o": outputs})
