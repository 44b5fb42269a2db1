"""Contents of frames to the host: what is owed, what is due, what is kept for a repeat."""

from __future__ import annotations

import random
import struct
from collections.abc import Awaitable, Callable

import pytest
from amaranth.sim import SimulatorContext

from board.gateware.outlet import Outlet
from board.gateware.wire import LARGEST_BOARD_DATA, Refusal
from tests.board.gateware.bench import Bench
from tests.board.gateware.frames import parsed, stream_of

RING, WAIT, STEP, CAPACITY = 512, 256, 128, 508
IDENTITY = 0x1122334455667788
SESSION = 0xBEEF

Conduct = Callable[[SimulatorContext, Outlet], Awaitable[None]]


def run(
    conduct: Conduct, stream: bytes = b"", *, stall: float = 0.0, taken: int = 0, limit: int = CAPACITY
) -> list[tuple[int, ...]]:
    """Contents, parsed, that came while and after ``conduct`` was done."""
    outlet = Outlet(ring=RING, wait=WAIT, step=STEP, capacity=CAPACITY, identity=IDENTITY)
    bench = Bench(outlet, stall=stall)
    bench.give("i", list(stream))
    bench.take("o", lambda payload: (payload.value, payload.last))

    async def whole(context: SimulatorContext) -> None:
        context.set(outlet.session, SESSION)
        context.set(outlet.taken, taken)
        context.set(outlet.limit, limit)
        await conduct(context, outlet)
        for _ in range(2 * WAIT):
            await context.tick()

    bench.run(whole)
    contents, content = [], b""
    for value, last in bench.words["o"]:
        content += bytes([value])
        if last:
            contents.append(parsed(content))
            content = b""
    assert not content
    return contents


async def pulse(context: SimulatorContext, *signals: object) -> None:
    for signal in signals:
        context.set(signal, 1)  # type: ignore[arg-type]
    await context.tick()
    for signal in signals:
        context.set(signal, 0)  # type: ignore[arg-type]


async def acknowledge(context: SimulatorContext, outlet: Outlet, position: int, *, repeat: bool = False) -> None:
    context.set(outlet.acknowledged, position % 65536)
    await pulse(context, outlet.acknowledge, *([outlet.repeat] if repeat else []))


async def wait(context: SimulatorContext, cycles: int) -> None:
    for _ in range(cycles):
        await context.tick()


def test_nothing_is_said_unasked() -> None:
    async def conduct(context: SimulatorContext, outlet: Outlet) -> None:
        await wait(context, 3 * WAIT)

    assert run(conduct) == []


@pytest.mark.parametrize("stall", (0.0, 0.5))
def test_hello(stall: float) -> None:
    async def conduct(context: SimulatorContext, outlet: Outlet) -> None:
        await pulse(context, outlet.hello)

    assert run(conduct, stall=stall) == [(0x81, SESSION, 1, IDENTITY, CAPACITY)]


@pytest.mark.parametrize("reason", Refusal)
def test_refusal(reason: Refusal) -> None:
    async def conduct(context: SimulatorContext, outlet: Outlet) -> None:
        context.set(outlet.reason, reason)
        await pulse(context, outlet.refuse)
        context.set(outlet.reason, 3 - reason)

    assert run(conduct) == [(0x83, SESSION, reason)]


def test_an_answer_without_data_has_all_positions() -> None:
    async def conduct(context: SimulatorContext, outlet: Outlet) -> None:
        await pulse(context, outlet.answer)

    assert run(conduct, taken=0xA1B2, limit=CAPACITY) == [(0x82, SESSION, 0, 0xA1B2, CAPACITY, b"")]


def test_everything_owed_at_once_is_paid_once_each() -> None:
    async def conduct(context: SimulatorContext, outlet: Outlet) -> None:
        context.set(outlet.reason, Refusal.NO_SESSION)
        await pulse(context, outlet.answer, outlet.hello, outlet.refuse)

    assert [content[0] for content in run(conduct)] == [0x81, 0x83, 0x82]


@pytest.mark.parametrize("stall", (0.0, 0.6))
def test_data_comes_when_it_rests(stall: float) -> None:
    async def conduct(context: SimulatorContext, outlet: Outlet) -> None:
        await wait(context, WAIT // 2)

    (content,) = run(conduct, b"some bytes", stall=stall)
    assert content == (0x82, SESSION, 0, 0, CAPACITY, b"some bytes")


def test_a_full_frame_does_not_wait() -> None:
    async def conduct(context: SimulatorContext, outlet: Outlet) -> None:
        await wait(context, 300)  # bytes are still coming, one a cycle

    stream = bytes(k % 256 for k in range(RING))
    contents = run(conduct, stream)
    assert [len(content[5]) for content in contents] == [
        LARGEST_BOARD_DATA,
        LARGEST_BOARD_DATA,
        RING - 2 * LARGEST_BOARD_DATA,
    ]  # type: ignore[arg-type]
    assert [content[2] for content in contents] == [0, LARGEST_BOARD_DATA, 2 * LARGEST_BOARD_DATA]
    assert stream_of(contents) == stream


def test_the_ring_holds_what_is_not_acknowledged_and_goes_on_when_it_is() -> None:
    stream = random.Random(1).randbytes(3 * RING)
    seen = []

    async def conduct(context: SimulatorContext, outlet: Outlet) -> None:
        await wait(context, 4000)
        seen.append(context.get(outlet.i.ready))
        for position in (100, 99, 700, 65535, 100, RING):  # only 100 and RING can be
            await acknowledge(context, outlet, position)
        await wait(context, 4000)
        await acknowledge(context, outlet, 2 * RING)
        await wait(context, 4000)

    contents = run(conduct, stream)
    assert stream_of(contents) == stream and seen == [0]


def test_a_repeat_goes_back_to_what_is_acknowledged() -> None:
    stream = bytes(range(200))

    async def conduct(context: SimulatorContext, outlet: Outlet) -> None:
        await wait(context, 1500)
        await acknowledge(context, outlet, 50, repeat=True)
        await wait(context, 1500)
        await acknowledge(context, outlet, 50, repeat=True)
        await wait(context, 300)  # in the middle of the frame
        await acknowledge(context, outlet, 60, repeat=True)
        await wait(context, 1500)
        await acknowledge(context, outlet, 200, repeat=True)
        await wait(context, 500)

    assert [(content[2], content[5]) for content in run(conduct, stream)] == [
        (0, stream), (50, stream[50:]), (50, stream[50:]), (60, stream[60:]),
    ]  # fmt: skip


def test_the_limit_is_told_when_a_part_of_the_ring_has_drained() -> None:
    async def conduct(context: SimulatorContext, outlet: Outlet) -> None:
        for limit in range(CAPACITY, CAPACITY + 3 * STEP):
            context.set(outlet.limit, limit)
            await wait(context, 10)

    limits = [content[4] for content in run(conduct)]
    assert len(limits) == 3
    assert [limit // STEP for limit in limits] == [4, 5, 6]


def test_both_bytes_of_a_word_are_of_the_same_time() -> None:
    """Positions change at any time: 0x00ff to 0x0100 in the middle of a header."""

    async def conduct(context: SimulatorContext, outlet: Outlet) -> None:
        for cycles in range(0, 48):
            context.set(outlet.taken, 0x00FF)
            await pulse(context, outlet.answer)
            await wait(context, cycles)
            context.set(outlet.taken, 0x0100)
            await wait(context, 100)

    contents = run(conduct)
    assert len(contents) == 48 and {content[3] for content in contents} == {0x00FF, 0x0100}


def test_positions_go_around() -> None:
    stream = random.Random(9).randbytes(1200)

    async def conduct(context: SimulatorContext, outlet: Outlet) -> None:
        start = 65536 - 300
        context.set(outlet._sent, start)
        context.set(outlet._oldest, start)
        context.set(outlet._written, start % (2 * RING))
        for position in range(start, start + 1200, 100):
            await wait(context, 700)
            await acknowledge(context, outlet, position, repeat=position % 300 == 0)
        await wait(context, 3000)

    contents = run(conduct, stream)
    positions = [content[2] for content in contents]
    assert struct.unpack("<H", struct.pack("<I", 65536 - 300)[:2])[0] == positions[0]
    assert max(positions) > 65_236 - 1 and min(positions) < 900
    assert stream_of(contents, 65536 - 300) == stream
