"""Packets of logits for beats of any masks, and what is refused. Images, and all else: tests/cosim/test_axi.py."""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import signed
from amaranth.sim import Simulator, SimulatorContext

from hdl.axi.axi_stream import ImagePackets, LogitPackets
from hdl.block import warnings_as_errors
from hdl.shapes import beat

LOGIT_BITS = 9


def drawn_beats(lanes: int, images: int, seed: int) -> list[tuple[list[int], int, bool]]:
    """Elements, mask, last: only the last beat of an image must have an enabled lane."""
    chance = random.Random(seed)
    limit = 1 << LOGIT_BITS - 1
    beats = []
    for _ in range(images):
        count = chance.randint(1, 4)
        for number in range(count):
            last = number == count - 1
            elements = [chance.randrange(-limit, limit) for _ in range(lanes)]
            beats.append((elements, chance.randint(int(last), (1 << lanes) - 1), last))
    return beats


def expected(beats: list[tuple[list[int], int, bool]], word_bits: int) -> list[tuple[int, bool]]:
    words: list[tuple[int, bool]] = []
    for elements, mask, last in beats:
        enabled = [element % (1 << word_bits) for lane, element in enumerate(elements) if mask >> lane & 1]
        words += [(word, last and number == len(enabled) - 1) for number, word in enumerate(enabled)]
    return words


def simulate(packets: LogitPackets, beats: list[tuple[list[int], int, bool]], stall: float, count: int) -> list:
    """The words that come out, with ``tlast``. A reader that is not ready sees them offered all the same."""
    simulator = Simulator(packets)
    simulator.add_clock(1e-6)
    chance = random.Random(7)
    seen: list[tuple[int, bool]] = []

    async def give(context: SimulatorContext) -> None:
        for elements, mask, last in beats:
            while chance.random() < stall:
                await context.tick()
            context.set(packets.i.payload, {"elements": elements, "mask": mask, "last": last})
            context.set(packets.i.valid, 1)
            await context.tick().until(packets.i.ready)
            context.set(packets.i.valid, 0)

    async def take(context: SimulatorContext) -> None:
        axi = packets.axi
        while len(seen) < count:
            # Ready comes after valid: a valid that waited for it would never come.
            *_, offered = await context.tick().sample(axi.tdata, axi.tlast).until(axi.tvalid)
            while chance.random() < stall:
                await context.tick()
            context.set(axi.tready, 1)
            *_, valid, data, last, keep = await context.tick().sample(axi.tvalid, axi.tdata, axi.tlast, axi.tkeep)
            context.set(axi.tready, 0)
            assert valid and last == offered and keep == (1 << packets.word_bits // 8) - 1
            seen.append((data, bool(last)))
        for _ in range(50):
            await context.tick()
            assert not context.get(axi.tvalid), "a word too many"

    simulator.add_testbench(give, background=True)
    simulator.add_testbench(take)
    with warnings_as_errors():
        simulator.run_until(1e-6 * 100 * (count + 50))
    return seen


@pytest.mark.parametrize("lanes", (1, 2, 3, 4, 8))
@pytest.mark.parametrize(("word_bits", "stall"), [(32, 0.0), (32, 0.5), (64, 0.3)])
def test_enabled_lanes_become_words(lanes: int, word_bits: int, stall: float) -> None:
    beats = drawn_beats(lanes, images=20, seed=lanes)
    words = expected(beats, word_bits)
    seen = simulate(LogitPackets(beat(signed(LOGIT_BITS), lanes), word_bits), beats, stall, len(words))
    assert seen == words
    assert sum(last for _, last in seen) == 20


@pytest.mark.parametrize(("bits", "word_bits"), [(33, 32), (20, 16), (65, 64)])
def test_logits_that_do_not_fit_are_refused(bits: int, word_bits: int) -> None:
    with pytest.raises(ValueError, match="accepted: 32 or 64"):
        LogitPackets(beat(signed(bits), 2), word_bits)


@pytest.mark.parametrize("classes", (0, 257))
def test_labels_that_are_no_bytes_are_refused(classes: int) -> None:
    with pytest.raises(ValueError, match=r"accepted: 1 \.\. 256"):
        ImagePackets(6, classes)
