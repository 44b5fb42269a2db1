"""`update_management`: maxima of every length, zeros among them, with shared exponents, in all modes in turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emulator.fixed import GAIN_BITS, LARGEST_EXPONENT
from emulator.periphery.update_management import update_management
from hdl.periphery.noise_management import mode_of
from hdl.periphery.update_management import UpdateManagementParameters
from sim.payload import Values
from sim.transactions.base import Transactions, draw

#: Shifts of C**2 at which no shift of a gain leaves its word, whatever the formats.
SMALLEST_SHIFT, LARGEST_SHIFT = -20, 60


@dataclass(frozen=True)
class Constants:
    """Of an array: mode of update management, and C and C**2 as mantissa and shift."""

    mode: str
    gain: tuple[int, int]
    power: tuple[int, int]


def update_management_transactions(
    parameters: UpdateManagementParameters,
    generator: np.random.Generator,
    vectors: int,
    constants: Constants | None = None,
) -> Transactions:
    """All with the same ``constants``, or each with its own."""
    x_maxima = draw(generator, vectors, 0, (1 << parameters.x_magnitude_bits) - 1)
    delta_maxima = draw(generator, vectors, 0, (1 << parameters.delta_magnitude_bits) - 1)
    exponents = draw(generator, vectors, 0, LARGEST_EXPONENT)
    each = [constants or _drawn_constants(parameters, generator) for _ in range(vectors)]
    return update_management_words(parameters, list(zip(x_maxima, delta_maxima, exponents, each, strict=True)))


def _drawn_constants(parameters: UpdateManagementParameters, generator: np.random.Generator) -> Constants:
    mantissas = generator.integers(1 << (GAIN_BITS - 1), 1 << GAIN_BITS, 2).tolist()
    shift = int(generator.integers(SMALLEST_SHIFT, LARGEST_SHIFT + 1))
    return Constants(
        mode=str(generator.choice(parameters.modes)), gain=(mantissas[0], shift // 2), power=(mantissas[1], shift)
    )


def update_management_words(
    parameters: UpdateManagementParameters, cycles: list[tuple[int, int, int, Constants]]
) -> Transactions:
    """The transactions of update cycles with given maxima of x and delta, exponent of delta, and constants."""
    inputs: list[Values] = []
    outputs: list[Values] = []
    for x_maximum, delta_maximum, exponent, constants in cycles:
        parameters.shift_range(constants.mode, constants.gain, constants.power)
        x, delta = update_management(
            np.array(x_maximum),
            np.array(delta_maximum),
            mode=constants.mode,
            x_fraction=parameters.x_fraction,
            delta_fraction=exponent,
            gain=constants.gain,
            power=constants.power,
            probability_bits=parameters.probability_bits,
        )
        inputs.append(
            {
                "x_maximum": x_maximum,
                "delta_maximum": delta_maximum,
                "delta_exponent": exponent,
                "mode": mode_of(constants.mode).value,
                "gain_mantissa": constants.gain[0],
                "gain_shift": constants.gain[1],
                "power_mantissa": constants.power[0],
                "power_shift": constants.power[1],
            }
        )
        outputs.append(
            {
                "x_multiplier": int(x.multiplier),
                "x_shift": int(x.shift),
                "delta_multiplier": int(delta.multiplier),
                "delta_shift": int(delta.shift),
            }
        )
    return Transactions({"i": inputs}, {"o": outputs})
