"""`noise_management`: maxima of every length with fractions of activations and shared exponents, in all modes in turn."""

from __future__ import annotations

import numpy as np

from emulator.fixed import LARGEST_EXPONENT
from emulator.periphery.noise_management import noise_management
from hdl.periphery.noise_management import NoiseManagementParameters, mode_of
from sim.payload import Values
from sim.transactions.base import Transactions, draw

SMALLEST_CONSTANT, LARGEST_CONSTANT = -8, 24


def noise_management_transactions(
    parameters: NoiseManagementParameters, generator: np.random.Generator, vectors: int
) -> Transactions:
    maxima = draw(generator, vectors, 0, (1 << parameters.magnitude_bits) - 1)
    fractions = draw(generator, vectors, 0, LARGEST_EXPONENT)
    modes = [str(generator.choice(parameters.modes)) for _ in range(vectors)]
    exponents = draw(generator, vectors, SMALLEST_CONSTANT, LARGEST_CONSTANT)
    words = zip(maxima, fractions, modes, exponents, strict=True)
    return noise_management_words(
        parameters, [(mx, f, mode, exponent if mode == "constant" else 0) for mx, f, mode, exponent in words]
    )


def noise_management_words(
    parameters: NoiseManagementParameters, words: list[tuple[int, int, str, int]]
) -> Transactions:
    """The transactions of vectors with given maximum, its fraction, mode and constant exponent."""
    inputs: list[Values] = []
    outputs: list[Values] = []
    for maximum, fraction, mode, exponent in words:
        scaling = noise_management(
            np.array(maximum),
            mode=mode,
            constant_exponent=exponent,
            fraction=fraction,
            magnitude_bits=parameters.magnitude_bits,
            dac_fraction=parameters.dac_fraction,
        )
        inputs.append({"maximum": maximum, "fraction": fraction, "mode": mode_of(mode).value, "exponent": exponent})
        outputs.append(
            {
                "multiplier": int(scaling.multiplier),
                "shift": int(scaling.shift),
                "scale": int(scaling.scale),
                "fraction": scaling.fraction,
            }
        )
    return Transactions({"i": inputs}, {"o": outputs})
