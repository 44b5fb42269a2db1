"""`scaler`: vectors with a multiplier and a shift each, as far as the model's 64 bits hold the result."""

from __future__ import annotations

import numpy as np

from emulator.periphery.scaler import scale
from hdl.periphery.scaler import ScalerParameters
from sim.payload import Value
from sim.transactions.base import Transactions, beats, draw, lengths

#: The model multiplies by a negative shift in words of 64 bits, sign included.
MODEL_BITS = 62


def scaler_transactions(parameters: ScalerParameters, generator: np.random.Generator, vectors: int) -> Transactions:
    p = parameters
    largest = (1 << p.magnitude_bits) - 1
    multipliers = draw(generator, vectors, 0, (1 << p.multiplier_bits) - 1) if p.multiplier_bits else [1] * vectors
    inputs, outputs = [], []
    for length, multiplier in zip(lengths(generator, vectors, p.lanes), multipliers, strict=True):
        vector = draw(generator, length, -largest, largest)
        widest = max(abs(value) for value in vector) * multiplier
        lowest = max(p.lowest_shift, widest.bit_length() - MODEL_BITS)
        # Half of the shifts bring the widest product near the limit, where rounding and saturation meet.
        near = widest.bit_length() - p.limit.bit_length() + int(generator.integers(-2, 3))
        drawn = int(generator.integers(lowest, max(lowest, p.highest_shift), endpoint=True))
        shift = near if generator.integers(2) and lowest <= near <= p.highest_shift else drawn
        inputs += scaler_beats(p, vector, multiplier, shift, generator)
        outputs += scaled_beats(p, vector, multiplier, shift, inputs[-1].get("sideband"))
    return Transactions({"i": inputs}, {"o": outputs})


def scaler_beats(
    parameters: ScalerParameters, vector: list[int], multiplier: int, shift: int, generator: np.random.Generator
) -> list:
    sideband: dict[str, Value] = {"shift": shift}
    if parameters.multiplier_bits:
        sideband["multiplier"] = multiplier
    if parameters.sideband_bits:
        sideband["sideband"] = int(generator.integers(0, 1 << parameters.sideband_bits))
    return beats(vector, parameters.lanes, fill=generator, fill_bits=parameters.magnitude_bits, **sideband)


def scaled_beats(parameters: ScalerParameters, vector: list[int], multiplier: int, shift: int, sideband: Value) -> list:
    limit = min(parameters.limit, (1 << MODEL_BITS) - 1)
    results = scale(np.array(vector, dtype=np.int64), multiplier, shift, -limit, limit)
    return beats(results.tolist(), parameters.lanes, **({} if sideband is None else {"sideband": sideband}))
