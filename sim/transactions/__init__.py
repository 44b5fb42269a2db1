"""What goes into a block and what must come out, made by the golden model: a file per block, of the block's name.

For a component ``NAME`` of ``hdl/periphery/FILE.py`` there is ``sim/transactions/FILE.py`` with
``NAME_transactions(parameters, generator, vectors) -> Transactions``. The same transactions are used in all simulators.
"""

from __future__ import annotations

import importlib

import numpy as np

from hdl.block import Block
from hdl.blocks import block_name
from sim.transactions.base import Transactions


def transactions_of(block: Block, generator: np.random.Generator, vectors: int) -> Transactions:
    """``vectors`` drawn vectors (or words, where a block takes single words) for a block with its parameters."""
    module = importlib.import_module(f"sim.transactions.{type(block).__module__.rpartition('.')[2]}")
    return getattr(module, f"{block_name(type(block))}_transactions")(block.parameters, generator, vectors)
