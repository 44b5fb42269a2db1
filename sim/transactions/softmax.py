"""`softmax`: logits near each other, at the end of the exponential, far apart, equal; of every length."""

from __future__ import annotations

import numpy as np

from emulator.config.tables import EXPONENTIAL_RANGE
from emulator.periphery.softmax import softmax_error
from hdl.periphery.softmax import SoftmaxParameters
from sim.transactions.base import Transactions, beats, draw


def softmax_transactions(parameters: SoftmaxParameters, generator: np.random.Generator, vectors: int) -> Transactions:
    p = parameters
    largest = (1 << p.magnitude_bits) - 1
    reaches = [min(reach, largest) for reach in (2 << p.adc_fraction, 9 << p.adc_fraction, largest, 0)]
    half_range = (EXPONENTIAL_RANGE << p.adc_fraction) // 2
    inputs, outputs = [], []
    for number in range(vectors):
        reach = reaches[number % len(reaches)]
        logits = draw(generator, p.classes, -reach, reach)
        if number % len(reaches) == 1 and half_range < largest:
            # The others are as far away as the exponential reaches, or one less, or one more.
            logits = [half_range, *(-half_range + generator.integers(-1, 1, p.classes - 1, endpoint=True)).tolist()]
        label = int(generator.integers(0, p.classes))
        inputs += beats(logits, p.lanes, fill=generator, fill_bits=p.magnitude_bits, label=label)
        outputs += beats(softmax_error(np.array(logits), label, p.adc_fraction).tolist(), p.lanes)
    return Transactions({"i": inputs}, {"o": outputs})
