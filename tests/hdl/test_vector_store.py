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


@pytest.mark.parametrize("cycles", (1, 2, 3, 4, 6, 9, 14))
def test_reset_in_mid_vector(cycles: int) -> None:
    """Vectors of three beats, of a depth that is a power of two and full: loaded, decided, kept, sent."""
    lanes, depth = 2, 4
    vectors = [beats(list(range(first, first + lanes * count)), lanes) for first, count in ((0, 3), (20, 4), (40, 1))]
    keeps = (1, 1, 0)
    outputs = [word for vector, keep in zip(vectors, keeps, strict=True) for word in vector if keep]
    inputs = {"i": [word for vector in vectors for word in vector], "send": [{"keep": keep} for keep in keeps]}
    run(VectorStore(beat(signed(8), lanes), depth), Transactions(inputs, {"o": outputs}), stall=0.2, reset_after=cycles)


def test_takes_a_vector_while_it_sends_one() -> None:
    """Beats go out without gaps, ``latency`` after the word of ``send``; meanwhile two more vectors come in."""
    lanes, count, vectors = 2, 6, 4
    words = beats(list(range(count * lanes)), lanes)
    store = VectorStore(beat(signed(8), lanes), count)
    outcome = run(store, Transactions({"i": words * vectors, "send": [{"keep": 1}] * vectors}, {"o": words * vectors}))
    taken, given, sent = outcome.cycles["i"], outcome.cycles["o"], outcome.cycles["send"]
    for vector in range(vectors):
        own = slice(vector * count, (vector + 1) * count)
        assert given[own] == list(range(given[own.start], given[own.start] + count))
    assert given[0] == sent[0] + store.latency
    assert taken[count : 2 * count] == list(range(sent[0] + 1, sent[0] + 1 + count))
