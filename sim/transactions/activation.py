"""`activation` and `activation_back`: words of every length, the ends of the table and of saturation among them."""

from __future__ import annotations

import numpy as np

from emulator.config.tables import TANH_RANGE
from emulator.fixed import round_shift
from emulator.periphery.activation import activation, derivative
from hdl.periphery.activation import ActivationBackParameters, ActivationParameters
from sim.transactions.base import Transactions, beats, draw, lengths

#: One vector in so many has all its elements around the end of the table.
EDGE_INTERVAL = 4


def activation_transactions(
    parameters: ActivationParameters, generator: np.random.Generator, vectors: int
) -> Transactions:
    largest = (1 << parameters.input_bits) - 1
    edge = TANH_RANGE << parameters.input_fraction
    inputs, outputs = [], []
    for number, length in enumerate(lengths(generator, vectors, parameters.lanes)):
        near_edge = number % EDGE_INTERVAL == 0 and edge + 1 <= largest
        vector = draw(generator, length, -largest, largest)
        if near_edge:
            vector = [int(sign * size) for sign, size in zip(*_around(generator, edge, length), strict=True)]
        values = activation(
            np.array(vector),
            parameters.kind,
            parameters.input_fraction,
            parameters.output_fraction,
            parameters.magnitude_bits,
        )
        inputs += beats(vector, parameters.lanes, fill=generator, fill_bits=parameters.input_bits)
        outputs += beats(values.tolist(), parameters.lanes)
    return Transactions({"i": inputs}, {"o": outputs})


def activation_back_transactions(
    parameters: ActivationBackParameters, generator: np.random.Generator, vectors: int
) -> Transactions:
    largest = (1 << parameters.magnitude_bits) - 1
    one = 1 << parameters.fraction if parameters.kind == "tanh" else (1 << parameters.activation_bits) - 1
    inputs, outputs = [], []
    for length in lengths(generator, vectors, parameters.lanes):
        mantissas = draw(generator, length, -largest, largest)
        values = draw(generator, length, -one, one)
        slope = derivative(np.array(values), parameters.kind, parameters.fraction)
        results = round_shift(np.array(mantissas) * slope, parameters.fraction)
        errors = beats(mantissas, parameters.lanes, fill=generator, fill_bits=parameters.magnitude_bits)
        sides = beats(values, parameters.lanes, fill=generator, fill_bits=parameters.fraction, field="activations")
        inputs += [{**error, "activations": side["activations"]} for error, side in zip(errors, sides, strict=True)]
        outputs += beats(results.tolist(), parameters.lanes)
    return Transactions({"i": inputs}, {"o": outputs})


def _around(generator: np.random.Generator, edge: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Signs and magnitudes, these from two below ``edge`` to one above."""
    return generator.choice((-1, 1), count), generator.integers(edge - 2, edge + 1, size=count, endpoint=True)
