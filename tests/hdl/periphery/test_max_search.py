"""The maximum of magnitudes, against the model."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from hdl.periphery.max_search import MaxSearch, MaxSearchParameters
from sim.pysim import run
from sim.transactions import transactions_of
from sim.transactions.base import Transactions, beats


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("bits", (1, 15, 40))
@pytest.mark.parametrize("lanes", (1, 3, 8, 32))
def test_equals_the_model(lanes: int, bits: int, stall: float) -> None:
    block = MaxSearch(MaxSearchParameters(lanes=lanes, magnitude_bits=bits))
    work = transactions_of(block, np.random.default_rng(lanes + bits), 20)
    outcome = run(block, work, stall=stall)
    if not stall:
        taken = outcome.cycles["i"]
        assert taken == list(range(taken[0], taken[0] + len(taken)))
        ends = [cycle for cycle, beat in zip(taken, work.inputs["i"], strict=True) if beat["last"]]
        assert outcome.cycles["o"] == [end + block.latency for end in ends]


@pytest.mark.parametrize("cycles", (1, 2, 5, 9))
def test_reset_in_mid_vector(cycles: int) -> None:
    block = MaxSearch(MaxSearchParameters(lanes=8, magnitude_bits=15))
    run(block, transactions_of(block, np.random.default_rng(cycles), 5), reset_after=cycles)


@pytest.mark.parametrize("stall", (0.0, 0.4))
def test_masks_on_any_beat(stall: float) -> None:
    """What disabled lanes hold, here the largest magnitude, does not count; without any enabled lane the maximum is 0."""
    lanes, bits = 4, 6
    largest = (1 << bits) - 1
    generator = np.random.default_rng(7)
    inputs, outputs = [], []
    for segments in ([1, 1], [2, 4, 1], [3, 3, 3], [5, 2], [4]):
        vector = [int(v) for v in generator.integers(-9, 10, sum(segments))]
        inputs += beats(vector, lanes, segments=segments)
        outputs.append({"maximum": max(map(abs, vector))})
    inputs.append({"elements": [None] * lanes, "mask": 0, "last": 1})
    outputs.append({"maximum": 0})
    filled = [{**beat, "elements": [-largest if v is None else v for v in beat["elements"]]} for beat in inputs]
    block = MaxSearch(MaxSearchParameters(lanes=lanes, magnitude_bits=bits))
    run(block, Transactions({"i": filled}, {"o": outputs}), stall=stall)


@pytest.mark.parametrize("values", ({"lanes": 0}, {"lanes": 65}, {"magnitude_bits": 0}, {"magnitude_bits": 61}))
def test_refused_parameters(values: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        MaxSearchParameters(**values)
