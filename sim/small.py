"""Every block at a size that simulates in seconds, with its transactions."""

from __future__ import annotations

from functools import cache

import numpy as np

from hdl.blocks import BLOCKS
from sim.runner import Design
from sim.transactions import transactions_of
from sim.transactions.base import Transactions

VECTORS = 12
#: Parameters where the defaults make large designs or long runs; lanes that are no power of two where that is legal.
SMALL: dict[str, dict[str, int]] = {
    "activation": {"lanes": 3},
    "activation_back": {"lanes": 3},
    "crossbar": {"devices": 4, "weight_words": 116},
    "im2col": {"lanes": 4, "height": 4, "width": 5, "channels": 2},
    "im2col_back": {"lanes": 4, "height": 4, "width": 5, "channels": 2},
    "max_search": {"lanes": 5},
    "pooling": {"lanes": 4, "height": 4, "width": 4, "channels": 5},
    "pooling_back": {"lanes": 4, "height": 4, "width": 4, "channels": 5},
    "pulse_generator": {"lanes": 4},
    "replicate": {"lanes": 3, "beats": 8, "copies": 3},
    "scaler": {"lanes": 3},
    "softmax": {"lanes": 3, "classes": 5},
}


@cache
def work(name: str) -> tuple[Design, Transactions]:
    """The exported block, and what goes through it."""
    block_class = BLOCKS[name]
    block = block_class(block_class.parameters_class(**SMALL.get(name, {})))
    return Design.of(block), transactions_of(block, np.random.default_rng(len(name)), VECTORS)
