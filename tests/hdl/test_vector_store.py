"""Vectors held back, sent or forgotten."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import signed

from hdl.shapes import beat
from hdl.vector_store import VectorStore
from sim.pysim import run
from sim.transactions.base import Transactions, beats


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("depth", (1, 2, 5))
def test_keeps_or_forgets(depth: int, stall: float) -> None:
    lanes = 3
    generator = np.random.default_rng(depth)
    inputs, decisions, outputs = [], [], []
    for _ in range(30):
        vector = generator.integers(-128, 128, int(generator.integers(1, depth * lanes + 1))).tolist()
        keep = int(generator.integers(0, 2))
        inputs += beats(vector, lanes, fill=generator, fill_bits=7)
        decisions.append({"keep": keep})
        outputs += beats(vector, lanes) if keep else []
    store = VectorStore(beat(signed(8), lanes), depth)
    run(store, Transactions({"i": inputs, "send": decisions}, {"o": outputs}), stall=stall)
