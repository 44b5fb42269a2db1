"""Both kinds of counters against sums in Python: phases of all operations, images, the host's reads and writes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from amaranth.sim import Simulator

from hdl.network.compact_counters import FIRST_OF_HOST, GROUPS, HOST_COUNTS, CompactCounters
from hdl.network.counters import COUNTERS, LAYER_WORDS, Counters

LAYERS, ADD_BITS, PHASE_BITS, DESCRIPTORS = 2, 5, 12, 6
PHASES, CYCLES = 40, 12
PHASES_OF_AN_IMAGE = 4
PATIENCE = 4 * len(COUNTERS)


async def store(context, counters: Counters | CompactCounters, event) -> None:  # type: ignore[no-untyped-def]
    """A flush, or the end of an image, until it is done."""
    context.set(event, 1)
    await context.tick()
    context.set(event, 0)
    for _ in range(PATIENCE):
        if context.get(counters.done):
            await context.tick()
            return
        await context.tick()
    raise AssertionError("never done")


async def read(context, port, address: int) -> int:  # type: ignore[no-untyped-def]
    context.set(port.address, address)
    context.set(port.enable, 1)
    await context.tick()
    context.set(port.enable, 0)
    return context.get(port.data)


async def write(context, port, address: int, word: int) -> None:  # type: ignore[no-untyped-def]
    context.set(port.address, address)
    context.set(port.data, word)
    context.set(port.enable, 1)
    await context.tick()
    context.set(port.enable, 0)


@pytest.mark.parametrize("kind", ("wide", "compact", "compact without descriptors"))
def test_what_is_added_is_read(kind: str) -> None:
    compact = kind != "wide"
    counters: Counters | CompactCounters = Counters(LAYERS, ADD_BITS)
    if compact:
        keeps = kind == "compact"
        counters = CompactCounters(LAYERS, ADD_BITS, PHASE_BITS, DESCRIPTORS, keeps_descriptors=keeps)
    generator = np.random.default_rng(1)
    expected: Counter[int] = Counter()
    checked = 0

    async def bench(context) -> None:  # type: ignore[no-untyped-def]
        nonlocal checked
        for layer in range(LAYERS):
            for place in range(LAYER_WORDS):
                word = int(generator.integers(0, 1 << 40))
                expected[layer * LAYER_WORDS + place] = word
                await write(context, counters.write, layer * LAYER_WORDS + place, word)
        if kind == "compact":
            for number in range(DESCRIPTORS):
                await write(context, counters.descriptors_write, number, ~number % (1 << 64))
        for phase in range(PHASES):
            layer, operation = int(generator.integers(LAYERS)), list(GROUPS)[int(generator.integers(len(GROUPS)))]
            context.set(counters.layer, layer)
            if compact:
                context.set(counters.operation, operation)
            ends = phase % PHASES_OF_AN_IMAGE == PHASES_OF_AN_IMAGE - 1
            for cycle in range(CYCLES):
                for name in GROUPS[operation]:
                    added = int(generator.integers(1 << ADD_BITS)) * int(generator.integers(2))
                    context.set(getattr(counters, name), added)
                    expected[layer * LAYER_WORDS + COUNTERS.index(name)] += added
                if compact:
                    for place, name in enumerate(HOST_COUNTS):
                        # Images and errors come once in an image.
                        happens = name == "cycle" or (ends and cycle == 0)
                        context.set(getattr(counters, name), happens)
                        expected[FIRST_OF_HOST + place] += happens
                await context.tick()
            for name in GROUPS[operation]:
                context.set(getattr(counters, name), 0)
            if compact:
                context.set(counters.cycle, 0)
            await store(context, counters, counters.flush)
            if compact and ends:
                await store(context, counters, counters.finish)
        for address, word in expected.items():
            assert await read(context, counters.read, address) == word, address
            checked += 1
        if kind == "compact":
            for number in range(DESCRIPTORS):
                assert await read(context, counters.descriptors_read, number) == ~number % (1 << 64)
                checked += 1

    simulator = Simulator(counters)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert checked == LAYERS * LAYER_WORDS + (DESCRIPTORS if kind == "compact" else 0)
