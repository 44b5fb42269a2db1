"""What the link takes from frames, frame by frame, and what it drops. Model: a list of bytes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from amaranth.sim import SimulatorContext

from board.gateware.intake import Intake
from board.gateware.wire import LARGEST_HOST_DATA
from tests.board.gateware.bench import Bench
from tests.board.gateware.frames import data, hello

RING = 512
SESSION = 0x1234
CRC = b"\xaa\xbb\xcc\xdd"

Event = tuple[str, int, int]  # name, field, repeat


@dataclass
class Seen:
    """Events of all frames, the stream, and the positions after each frame."""

    events: list[Event] = field(default_factory=list)
    stream: bytes = b""
    taken: list[int] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)


def run(frames: Sequence[bytes], *, good: Sequence[bool] | None = None, session: int = SESSION, stop: int = 0) -> Seen:
    """Frames, of which the stream is taken but for the first ``stop`` frames; without CRCs, which stand for any bytes."""
    intake, seen = Intake(RING), Seen()
    bench = Bench(intake)

    async def conduct(context: SimulatorContext) -> None:
        context.set(intake.session, session)
        for number, frame in enumerate(frames):
            for value in frame:
                await word(context, number, {"value": value})
            end = {"value": 0, "end": 1, "good": good is None or good[number]}
            await word(context, number, end)
            seen.taken.append(context.get(intake.taken))
            seen.limits.append(context.get(intake.limit))
        for _ in range(2 * RING):
            await step(context, len(frames))

    async def word(context: SimulatorContext, number: int, payload: dict[str, int]) -> None:
        context.set(intake.i.payload, payload)
        context.set(intake.i.valid, 1)
        for name in ("hello", "data", "stranger"):
            if context.get(getattr(intake, name)):
                repeat = context.get(intake.repeat) if name == "data" else 0
                seen.events.append((name, context.get(intake.field), repeat))
        await step(context, number)
        context.set(intake.i.valid, 0)
        await step(context, number)

    async def step(context: SimulatorContext, number: int) -> None:
        context.set(intake.o.ready, number >= stop)
        if number >= stop and context.get(intake.o.valid):
            seen.stream += bytes([context.get(intake.o.payload.value)])
        await context.tick()

    bench.run(conduct)
    return seen


def test_data_in_order_becomes_the_stream() -> None:
    contents = [b"first", b"", bytes(range(100)), b"\0"]
    frames, position = [], 0
    for number, content in enumerate(contents):
        frames.append(data(SESSION, position, 1000 + number, content, repeat=number == 1) + CRC)
        position += len(content)
    seen = run(frames)
    assert seen.events == [("data", 1000 + number, number == 1) for number in range(4)]
    assert seen.stream == b"".join(contents)
    assert seen.taken == [5, 5, 105, 106]


def test_data_out_of_order_is_dropped_and_its_header_counts() -> None:
    seen = run([data(SESSION, position, 7, b"xyz") + CRC for position in (1, 0x100, 0, 0, 3, 0x8003)])
    assert seen.events == [("data", 7, 0)] * 6
    assert seen.stream == b"xyzxyz" and seen.taken == [0, 0, 3, 3, 6, 6]


def test_frames_that_are_not_good_are_as_if_they_had_not_come() -> None:
    frames = [data(SESSION, 0, 1, b"lost") + CRC, data(SESSION, 0, 2, b"kept") + CRC, hello(3) + CRC]
    seen = run(frames, good=[False, True, False])
    assert seen.events == [("data", 2, 0)] and seen.stream == b"kept"


@pytest.mark.parametrize("session", (0, 0x1234, 0x1235, 0x1334))
def test_data_of_another_session_is_a_stranger_s(session: int) -> None:
    seen = run([data(0x1234, 0, 0, b"abc") + CRC], session=session)
    assert seen.events == [("data" if session == 0x1234 else "stranger", 0, 0)]
    assert seen.stream == (b"abc" if session == 0x1234 else b"")


def test_data_without_a_session_is_a_stranger_s() -> None:
    assert run([data(0, 0, 0, b"abc") + CRC], session=0).events == [("stranger", 0, 0)]


def test_hello_has_its_length_and_a_session() -> None:
    frames = [hello(0x4567), hello(0), hello(9)[:-1], hello(9) + b"\0", hello(0xFFFF)]
    assert run([frame + CRC for frame in frames]).events == [("hello", 0x4567, 0), ("hello", 0xFFFF, 0)]


def test_unknown_kinds_and_lengths_are_dropped() -> None:
    longest = data(SESSION, 0, 5, bytes(range(LARGEST_HOST_DATA)))
    frames = [
        *(bytes([kind, *data(SESSION, 0, 0, b"abc")[1:]]) for kind in (0, 3, 0x81, 0x82, 0xFF)),
        data(SESSION, 0, 0)[:-1],
        b"",
        longest + b"\0",
        longest + bytes(400),
        longest,
    ]
    seen = run([frame + CRC for frame in frames])
    assert seen.events == [("data", 5, 0)] and seen.stream == longest[8:]


def test_the_ring_takes_its_capacity_and_not_a_byte_more() -> None:
    capacity = Intake(RING).capacity
    assert capacity == RING - 4
    chance = random.Random(2)
    parts = [chance.randbytes(size) for size in (200, 200, capacity - 400)]
    frames, position = [], 0
    for part in parts[:2]:
        frames.append(data(SESSION, position, 0, part))
        position += len(part)
    # The two bytes that wait at the outlet have left the ring, the second of them after the first frame.
    frames.append(data(SESSION, position, 0, parts[2] + b"!!!"))
    frames.append(data(SESSION, position, 0, parts[2]))
    frames.append(data(SESSION, position + len(parts[2]), 0, b"!!!"))
    seen = run([frame + CRC for frame in frames], stop=5)
    assert seen.taken == [200, 400, 400, capacity, capacity]
    assert seen.stream == b"".join(parts)
    assert seen.limits == [capacity + 1] + [capacity + 2] * 4


@pytest.mark.parametrize("seed", range(2))
def test_random_frames_against_a_model(seed: int) -> None:
    chance = random.Random(seed)
    frames, good, expected, stream, position = [], [], [], b"", 0
    for _ in range(60):
        content = chance.randbytes(chance.choice((0, 1, 3, 50, 238)))
        right = chance.random() < 0.6
        session = chance.choice((SESSION, SESSION, SESSION, 77))
        acknowledged, repeat = chance.randrange(65536), chance.random() < 0.3
        start = position if right else chance.randrange(65536)
        good.append(chance.random() < 0.8)
        frames.append(data(session, start, acknowledged, content, repeat=repeat) + CRC)
        if good[-1]:
            ours = session == SESSION
            expected.append(("data", acknowledged, int(repeat)) if ours else ("stranger", acknowledged, 0))
            if ours and start == position:
                stream += content
                position += len(content)
    seen = run(frames, good=good)
    assert seen.events == expected
    assert seen.stream == stream
