"""`pooling` and `pooling_back`: volumes of words of every length, and of few values, so that equal ones meet."""

from __future__ import annotations

import numpy as np

from emulator.periphery.pooling import pool, unpool
from hdl.periphery.pooling import PoolingBackParameters, PoolingParameters
from sim.transactions.base import Transactions
from sim.transactions.volumes import drawn_volume, joined, volume_beats


def pooling_transactions(parameters: PoolingParameters, generator: np.random.Generator, vectors: int) -> Transactions:
    p = parameters
    largest = (1 << p.magnitude_bits) - 1
    inputs, outputs = [], []
    for number in range(vectors):
        reach = 1 if number % 2 else largest
        volume = drawn_volume(generator, (p.height, p.width, p.channels), -reach, reach)
        maxima, where = pool(volume)
        inputs += volume_beats(volume, p.lanes, fill=generator, fill_bits=p.magnitude_bits)
        outputs += joined(volume_beats(maxima, p.lanes), volume_beats(where, p.lanes, field="where"), "where")
    return Transactions({"i": inputs}, {"o": outputs})


def pooling_back_transactions(
    parameters: PoolingBackParameters, generator: np.random.Generator, vectors: int
) -> Transactions:
    p = parameters
    largest = (1 << p.magnitude_bits) - 1
    shape = (p.pooled_height, p.pooled_width, p.channels)
    inputs, outputs = [], []
    for _ in range(vectors):
        errors = drawn_volume(generator, shape, -largest, largest)
        where = generator.integers(0, 4, size=shape)
        inputs += joined(
            volume_beats(errors, p.lanes, fill=generator, fill_bits=p.magnitude_bits),
            volume_beats(where, p.lanes, field="where", fill=generator, fill_bits=2),
            "where",
        )
        outputs += volume_beats(unpool(errors, where, p.height, p.width), p.lanes)
    return Transactions({"i": inputs}, {"o": outputs})
