"""`block_exponent`: maxima of every length with the fraction bits of reads and of softmax, and beyond."""

from __future__ import annotations

import numpy as np

from emulator.periphery.block_exponent import block_exponent
from hdl.periphery.block_exponent import BlockExponentParameters
from sim.transactions.base import Transactions, draw

#: Numbers of fraction bits: the sums of reads have 1 - 8 to 14 + 6 + 40; some above and below.
FRACTIONS = (-24, 70)


def block_exponent_transactions(
    parameters: BlockExponentParameters, generator: np.random.Generator, vectors: int
) -> Transactions:
    maxima = draw(generator, vectors, 0, (1 << parameters.sum_bits) - 1)
    fractions = generator.integers(*FRACTIONS, size=vectors, endpoint=True).tolist()
    inputs, outputs = [], []
    for maximum, fraction in zip(maxima, fractions, strict=True):
        _, exponent = block_exponent(np.array([maximum]), fraction, parameters.error_magnitude_bits)
        inputs.append({"maximum": maximum, "fraction": fraction})
        outputs.append({"shift": fraction - exponent, "exponent": exponent})
    return Transactions({"i": inputs}, {"o": outputs})
