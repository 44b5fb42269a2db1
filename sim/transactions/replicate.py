"""`replicate`: vectors in segments, sent a few times each."""

from __future__ import annotations

import numpy as np

from emulator.periphery.replicate import replicate
from hdl.periphery.replicate import ReplicateParameters
from sim.transactions.base import Transactions, beats, draw

MOST_REPEATS = 3


def replicate_transactions(
    parameters: ReplicateParameters, generator: np.random.Generator, vectors: int
) -> Transactions:
    """The first vectors take all of the memory and one beat, the others any number of beats; the first one is sent in the
    most copies, the others in any number of them."""
    p = parameters
    largest = (1 << p.magnitude_bits) - 1
    inputs, again, outputs = [], [], []
    for number in range(vectors):
        count = (p.beats, 1)[number] if number < 2 else int(generator.integers(1, p.beats + 1))
        segments = [int(generator.integers(1, p.lanes + 1)) for _ in range(count)]
        copies = int(generator.integers(1, p.copies + 1)) if number else p.copies
        vector = draw(generator, sum(segments), -largest, largest)
        inputs += beats(vector, p.lanes, segments=segments, fill=generator, fill_bits=p.magnitude_bits, copies=copies)
        repeats = int(generator.integers(0, MOST_REPEATS + 1))
        again += [{"repeat": 1}] * repeats + [{"repeat": 0}]
        lines = replicate(np.array(vector), copies).tolist()
        outputs += beats(lines, p.lanes, segments=segments * copies) * (repeats + 1)
    return Transactions({"i": inputs, "again": again}, {"o": outputs})
