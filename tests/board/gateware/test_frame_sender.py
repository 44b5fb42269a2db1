"""Frames are what others' COBS and CRC make of the same contents."""

from __future__ import annotations

import random

import pytest
from amaranth.sim import SimulatorContext

from board.gateware.frame_sender import FrameSender
from board.gateware.wire import LARGEST_CONTENT
from tests.board.gateware.bench import Bench
from tests.board.gateware.frames import DELIMITER, framed


def words(content: bytes) -> list[dict[str, int]]:
    return [{"value": value, "last": number == len(content) - 1} for number, value in enumerate(content)]


def sent(contents: list[bytes], *, stall: float = 0.0) -> bytes:
    bench = Bench(FrameSender(), stall=stall)
    bench.give("i", [word for content in contents for word in words(content)])
    bench.take("o")
    bench.run()
    return bytes(bench.words["o"])


def expected(contents: list[bytes]) -> bytes:
    """After a reset comes a delimiter."""
    return DELIMITER + b"".join(map(framed, contents))


@pytest.mark.parametrize("stall", (0.0, 0.4))
def test_frames(stall: float) -> None:
    chance = random.Random(3)
    sparse = [bytes(chance.choice((0, 0, 0, 9)) for _ in range(chance.randint(1, 20))) for _ in range(4)]
    contents = [b"\0", b"\1", b"\0\0", b"\1\0", b"\0\1", bytes(12), *sparse, chance.randbytes(40)]
    assert sent(contents, stall=stall) == expected(contents)


def test_every_byte_and_the_longest_content() -> None:
    longest = bytes(1 + k % 255 for k in range(LARGEST_CONTENT))
    contents = [longest, bytes(range(250)), b"\0"]
    assert sent(contents) == expected(contents)


@pytest.mark.parametrize("cycles", (20, 95, 230, 300))
def test_a_frame_cut_off_by_a_reset_is_ended_and_the_next_is_whole(cycles: int) -> None:
    content = bytes(range(1, 22))
    sender = FrameSender()
    bench = Bench(sender)
    bench.take("o")

    async def conduct(context: SimulatorContext) -> None:
        for number in range(cycles):  # given and taken as fast as it goes
            context.set(sender.i.valid, number < 240)
            context.set(sender.i.payload, {"value": content[number // 10 % 21], "last": number >= 180})
            await context.tick()
        context.set(sender.i.valid, 0)
        await bench.reset(context)
        for word in words(content):
            context.set(sender.i.valid, 1)
            context.set(sender.i.payload, word)
            await context.tick().until(sender.i.ready)
        context.set(sender.i.valid, 0)

    bench.run(conduct)
    assert bytes(bench.words["o"]).endswith(DELIMITER + framed(content))
