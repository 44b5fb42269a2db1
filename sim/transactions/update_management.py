"""`update_management`: maxima of every length, zeros among them, with shared exponents."""

from __future__ import annotations

import numpy as np

from emulator.fixed import LARGEST_EXPONENT
from emulator.periphery.update_management import update_management
from hdl.periphery.update_management import UpdateManagementParameters
from sim.payload import Values
from sim.transactions.base import Transactions, draw


def update_management_transactions(
    parameters: UpdateManagementParameters, generator: np.random.Generator, vectors: int
) -> Transactions:
    x_maxima = draw(generator, vectors, 0, (1 << parameters.x_magnitude_bits) - 1)
    delta_maxima = draw(generator, vectors, 0, (1 << parameters.delta_magnitude_bits) - 1)
    exponents = draw(generator, vectors, 0, LARGEST_EXPONENT)
    return update_management_words(parameters, list(zip(x_maxima, delta_maxima, exponents, strict=True)))


def update_management_words(parameters: UpdateManagementParameters, cycles: list[tuple[int, int, int]]) -> Transactions:
    """The transactions of update cycles with given maxima of x and delta and exponent of delta."""
    inputs: list[Values] = []
    outputs: list[Values] = []
    for x_maximum, delta_maximum, exponent in cycles:
        x, delta = update_management(
            np.array(x_maximum),
            np.array(delta_maximum),
            mode=parameters.mode,
            x_fraction=parameters.x_fraction,
            delta_fraction=exponent,
            gain=parameters.gain,
            power=parameters.power,
            probability_bits=parameters.probability_bits,
        )
        inputs.append({"x_maximum": x_maximum, "delta_maximum": delta_maximum, "delta_exponent": exponent})
        outputs.append(
            {
                "x_multiplier": int(x.multiplier),
                "x_shift": int(x.shift),
                "delta_multiplier": int(delta.multiplier),
                "delta_shift": int(delta.shift),
            }
        )
    return Transactions({"i": inputs}, {"o": outputs})
