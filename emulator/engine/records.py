"""`records`: the trace of an image from the engine's recorder (source/recorder.hpp).

The engine has no multipliers and shifts of its own, since it holds a gain as one double, and no mantissas before the
derivative: it leaves these items out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emulator.config import Stage
from emulator.fixed import Integers
from emulator.trace import GENERATORS, Trace

#: The same names, in the same order, as recorder.hpp.
OPERATIONS = ("forward", "error", "backward", "update")
ITEMS = (
    *"x scale dac adc saturated y activation pooled argmax logits".split(),
    *"fraction softmax sums exponent delta z".split(),
    *"column_probability row_probability column_pulses column_negative row_pulses row_negative".split(),
    *"device coincidences weight weights row_pulse column_pulse row_noise column_noise".split(),
)
#: Words before the values of a record: layer, operation, item, position, attempt, number of values.
HEADER = 6


def read_records(words: Integers, stages: Sequence[Stage]) -> Trace:
    """The trace of records that follow each other in ``words``."""
    trace = Trace(stages)
    start = 0
    while start < len(words):
        layer, operation, item, position, attempt, length = (int(word) for word in words[start : start + HEADER])
        values = words[start + HEADER : start + HEADER + length]
        if ITEMS[item] in GENERATORS:
            values = values.view(np.uint64)
        trace.record(stages[layer].name, OPERATIONS[operation], ITEMS[item], values, position, attempt)
        start += HEADER + length
    return trace
