"""Both kinds of counters against sums in Python: phases of all operations, images, the host's reads and writes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from amaranth.sim import Simulator

from hdl.network.compact_counters import FIRST_OF_HOST, GROUPS, HOST_COUNTS, CompactCounters
from hdl.network.counters import COUNTERS, LAYER_WORDS, Counters
from hdl.network.tile_parts import Operation

LAYERS, ADD_BITS, DESCRIPTORS = 2, 5, 6
PHASES, CYCLES = 40, 12
#: Of what a phase can count here; the first phases of each operation count as much.
PHASE_BITS = (CYCLES * ((1 << ADD_BITS) - 1)).bit_length()
PHASES_OF_AN_IMAGE = 4
PATIENCE = 4 * len(COUNTERS)


async def store(context, counters: Counters | CompactCounters, event) -> int:  # type: ignore[no-untyped-def]
    """A flush, or the end of an image, until it is done; how many cycles that takes."""
    context.set(event, 1)
    await context.tick()
    context.set(event, 0)
    for cycles in range(1, PATIENCE):
        done = context.get(counters.done)
        await context.tick()
        if done:
            return cycles + 1
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


def choose(context, counters: Counters | CompactCounters, operation: Operation) -> None:  # type: ignore[no-untyped-def]
    """Tell the operation, to counters that want it."""
    if isinstance(counters, CompactCounters):
        context.set(counters.operation, operation)


async def fill(context, counters: Counters | CompactCounters, words: Counter[int]) -> None:  # type: ignore[no-untyped-def]
    for address, word in words.items():
        await write(context, counters.write, address, word)
    if isinstance(counters, CompactCounters):
        for number in range(DESCRIPTORS):
            await write(context, counters.descriptors_write, number, ~number % (1 << 64))


async def count(  # type: ignore[no-untyped-def]
    context, counters, names, generator, words: Counter[str], *, full: bool = False
) -> None:
    """Some cycles in which ``names`` count what is drawn, or as much as they can."""
    for _ in range(CYCLES):
        for name in names:
            most = (1 << len(getattr(counters, name))) - 1
            added = most if full else int(generator.integers(most + 1)) * int(generator.integers(2))
            context.set(getattr(counters, name), added)
            words[name] += added
        await context.tick()
    for name in names:
        context.set(getattr(counters, name), 0)


async def end_image(  # type: ignore[no-untyped-def]
    context, counters: CompactCounters, words: Counter[str], *, last: bool = False
) -> None:
    """An image and a wrong answer. Cycles go on being counted meanwhile, but after the ``last`` one nothing stores them."""
    for name in ("image", "error"):
        context.set(getattr(counters, name), 1)
        words[name] += 1
    await context.tick()
    for name in ("image", "error"):
        context.set(getattr(counters, name), 0)
    context.set(counters.cycle, not last)
    cycles = await store(context, counters, counters.finish)
    context.set(counters.cycle, 0)
    words["cycle"] += 0 if last else cycles


@pytest.mark.parametrize("kind", ("wide", "compact"))
def test_what_is_added_is_read(kind: str) -> None:
    counters: Counters | CompactCounters = Counters(LAYERS, ADD_BITS)
    if kind != "wide":
        counters = CompactCounters(LAYERS, ADD_BITS, PHASE_BITS, DESCRIPTORS)
    generator = np.random.default_rng(1)
    begin = Counter({address: int(generator.integers(1 << 40)) for address in range(LAYERS * LAYER_WORDS)})
    counted = [Counter[str]() for _ in range(LAYERS)]
    checked = 0

    async def bench(context) -> None:  # type: ignore[no-untyped-def]
        nonlocal checked
        await fill(context, counters, begin)
        for phase in range(PHASES):
            layer, operation = int(generator.integers(LAYERS)), list(GROUPS)[phase % len(GROUPS)]
            context.set(counters.layer, layer)
            choose(context, counters, operation)
            full = phase < len(GROUPS)
            await count(context, counters, GROUPS[operation], generator, counted[layer], full=full)
            if isinstance(counters, CompactCounters):
                await count(context, counters, ["cycle"], generator, counted[0])
            await store(context, counters, counters.flush)
            if isinstance(counters, CompactCounters) and phase % PHASES_OF_AN_IMAGE == 0:
                await end_image(context, counters, counted[0])
        if isinstance(counters, CompactCounters):
            await end_image(context, counters, counted[0], last=True)
        names = (*COUNTERS, *HOST_COUNTS)
        assert names.index(HOST_COUNTS[0]) == FIRST_OF_HOST
        for address, word in begin.items():
            layer, place = divmod(address, LAYER_WORDS)
            added = counted[layer][names[place]] if place < len(names) else 0
            assert await read(context, counters.read, address) == word + added, address
            checked += 1
        if isinstance(counters, CompactCounters):
            for number in range(DESCRIPTORS):
                assert await read(context, counters.descriptors_read, number) == ~number % (1 << 64)
                checked += 1

    simulator = Simulator(counters)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert checked == LAYERS * LAYER_WORDS + (DESCRIPTORS if kind == "compact" else 0)
    assert all(counted[0][name] for name in COUNTERS)
