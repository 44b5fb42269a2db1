"""`max_search`: vectors of every length around the lanes."""

from __future__ import annotations

import numpy as np

from emulator.periphery.max_search import max_search
from hdl.periphery.max_search import MaxSearchParameters
from sim.transactions.base import Transactions, beats, draw, lengths


def max_search_transactions(
    parameters: MaxSearchParameters, generator: np.random.Generator, vectors: int
) -> Transactions:
    largest = (1 << parameters.magnitude_bits) - 1
    inputs, outputs = [], []
    for length in lengths(generator, vectors, parameters.lanes):
        vector = draw(generator, length, -largest, largest)
        inputs += beats(vector, parameters.lanes, fill=generator, fill_bits=parameters.magnitude_bits)
        outputs.append({"maximum": int(max_search(np.array(vector)))})
    return Transactions({"i": inputs}, {"o": outputs})
