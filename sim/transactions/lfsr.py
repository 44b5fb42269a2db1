"""`lfsr`: states of every kind, single bits among them."""

from __future__ import annotations

import numpy as np

from emulator.fixed import TAPS
from emulator.periphery.lfsr import Lfsr
from hdl.periphery.lfsr import LfsrParameters
from sim.transactions.base import Transactions


def lfsr_transactions(parameters: LfsrParameters, generator: np.random.Generator, vectors: int) -> Transactions:
    width = parameters.width
    corners = [0, *(1 << (tap - 1) for tap in TAPS[width])]
    drawn = generator.integers(1, (1 << width) - 1, vectors, dtype=np.uint64, endpoint=True)
    states = np.concatenate([np.array(corners, dtype=np.uint64), drawn])
    after = Lfsr(width).advance(states)
    words = Lfsr(width).word(after)
    return Transactions(
        {"i": [{"state": state} for state in states.tolist()]},
        {"o": [{"next_state": s, "word": w} for s, w in zip(after.tolist(), words.tolist(), strict=True)]},
    )
