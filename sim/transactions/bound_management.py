"""`bound_management`: reads that saturate until they do not, and some that never cease to, each with a limit of its own."""

from __future__ import annotations

import numpy as np

from emulator.periphery.bound_management import bound_management
from hdl.periphery.bound_management import BoundManagementParameters
from sim.transactions.base import Transactions


def bound_management_transactions(
    parameters: BoundManagementParameters, generator: np.random.Generator, vectors: int
) -> Transactions:
    inputs, outputs = [], []
    for number in range(vectors):
        limit = int(generator.integers(0, parameters.limit, endpoint=True)) if number else parameters.limit
        needed = int(generator.integers(0, limit + 2, endpoint=True))
        repeat, halvings = True, 0
        while repeat:
            saturated = halvings < needed
            repeat, halvings = bound_management(saturated, halvings, limit)
            inputs.append({"saturated": int(saturated), "limit": limit})
            outputs.append({"repeat": int(repeat), "halvings": halvings})
    return Transactions({"i": inputs}, {"o": outputs})
