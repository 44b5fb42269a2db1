"""`square_root`: values of every length, squares and their neighbours among them."""

from __future__ import annotations

import numpy as np

from emulator.periphery.square_root import square_root
from hdl.periphery.square_root import SquareRootParameters
from sim.transactions.base import Transactions, draw


def square_root_transactions(
    parameters: SquareRootParameters, generator: np.random.Generator, vectors: int
) -> Transactions:
    largest = (1 << parameters.bits) - 1
    largest_root = (1 << (parameters.bits // 2)) - 1
    values = draw(generator, vectors, 0, largest)
    for number, near in enumerate(draw(generator, vectors // 2, 0, largest_root)):
        values[2 * number] = max(0, near * near - int(generator.integers(0, 2)))
    inputs, outputs = [], []
    for value in values:
        root, remainder = square_root(np.array(value), parameters.bits)
        inputs.append({"value": value})
        outputs.append({"root": int(root), "remainder": int(remainder)})
    return Transactions({"i": inputs}, {"o": outputs})
