"""`noise_management`: maxima of every length with fractions of activations and shared exponents."""

from __future__ import annotations

import numpy as np

from emulator.fixed import LARGEST_EXPONENT
from emulator.periphery.noise_management import noise_management
from hdl.periphery.noise_management import NoiseManagementParameters
from sim.transactions.base import Transactions, draw


def noise_management_transactions(
    parameters: NoiseManagementParameters, generator: np.random.Generator, vectors: int
) -> Transactions:
    maxima = draw(generator, vectors, 0, (1 << parameters.magnitude_bits) - 1)
    fractions = draw(generator, vectors, 0, LARGEST_EXPONENT)
    inputs, outputs = [], []
    for maximum, fraction in zip(maxima, fractions, strict=True):
        scaling = noise_management(
            np.array(maximum),
            mode=parameters.mode,
            constant_exponent=parameters.constant_exponent,
            fraction=fraction,
            magnitude_bits=parameters.magnitude_bits,
            dac_fraction=parameters.dac_fraction,
        )
        inputs.append({"maximum": maximum, "fraction": fraction})
        outputs.append(
            {
                "multiplier": int(scaling.multiplier),
                "shift": int(scaling.shift),
                "scale": int(scaling.scale),
                "fraction": scaling.fraction,
            }
        )
    return Transactions({"i": inputs}, {"o": outputs})
