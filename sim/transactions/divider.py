"""`divider`: operands of every length, zero denominators among them."""

from __future__ import annotations

import numpy as np

from emulator.periphery.divider import divide
from hdl.periphery.divider import DividerParameters
from sim.transactions.base import Transactions, draw


def divider_transactions(parameters: DividerParameters, generator: np.random.Generator, vectors: int) -> Transactions:
    numerators = draw(generator, vectors, 0, (1 << parameters.numerator_bits) - 1)
    denominators = draw(generator, vectors, 0, (1 << parameters.denominator_bits) - 1)
    inputs, outputs = [], []
    for numerator, denominator in zip(numerators, denominators, strict=True):
        quotient, remainder = divide(numerator, denominator)
        inputs.append({"numerator": numerator, "denominator": denominator})
        outputs.append({"quotient": int(quotient), "remainder": int(remainder)})
    return Transactions({"i": inputs}, {"o": outputs})
