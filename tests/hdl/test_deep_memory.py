"""A memory in columns: words come back whole, and the columns are those that fit block memories best."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Fragment, signed
from amaranth.sim import Simulator

from hdl.deep_memory import DeepMemory, column_bits

BITS, DEPTH, ACCESSES = 18, 1100, 400


@pytest.mark.parametrize(
    ("bits", "depth", "expected"),
    [
        (18, 1024, 18),  # one block memory
        (18, 2704, 18),  # three, or four of half the width
        (18, 5172, 9),  # six either way
        (18, 10344, 9),  # eleven, or twelve of half the width
        (16, 16384, 1),  # sixteen either way
        (8, 100, 8),  # narrower than a block memory, in one of them
        (8, 1500, 8),
    ],
)
def test_columns(bits: int, depth: int, expected: int) -> None:
    assert min(bits, column_bits(bits, depth)) == expected


def test_words_come_back() -> None:
    """Negative ones too; a word is written while another one is read."""
    random = np.random.default_rng(1)
    memory = DeepMemory(signed(BITS), DEPTH)
    assert len(Fragment.get(memory, None).subfragments) == BITS // column_bits(BITS, DEPTH) > 1
    half = 1 << BITS - 1
    kept: dict[int, int] = {}

    async def bench(context: Any) -> None:
        context.set(memory.write, 1)
        for address, word in zip(
            random.permutation(DEPTH)[:ACCESSES], random.integers(-half, half, ACCESSES), strict=True
        ):
            context.set(memory.write_address, int(address))
            context.set(memory.data, int(word))
            other = int(random.choice(list(kept))) if kept else None
            context.set(memory.read_address, other or 0)
            await context.tick().repeat(2)
            if other is not None:
                assert context.get(memory.q) == kept[other]
            kept[int(address)] = int(word)
        context.set(memory.write, 0)
        context.set(memory.data, 0)
        for address, word in kept.items():
            context.set(memory.read_address, address)
            await context.tick().repeat(2)
            assert context.get(memory.q) == word

    simulator = Simulator(memory)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
