"""The interpreter: words on the bus, images, logits, and what stops it. The network is played by the test."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

import pytest
from amaranth.hdl import signed
from amaranth.sim import SimulatorContext

from board.gateware.commands import Commands
from hdl.shapes import beat, record
from tests.board.gateware.bench import Bench

LOGIT_BITS = 20


def interpreter(lanes: int = 4) -> Commands:
    return Commands(job=record(train=1, label=4), result=beat(signed(LOGIT_BITS), lanes))


def access(code: int, width: int, address: int, step: int, count: int) -> bytes:
    return struct.pack("<BBIHH", code, width, address, step, count)


def write(width: int, address: int, step: int, words: Sequence[int]) -> bytes:
    content = b"".join(word.to_bytes(width, "little", signed=True) for word in words)
    return access(1, width, address, step, len(words)) + content


def read(width: int, address: int, step: int, count: int) -> bytes:
    return access(2, width, address, step, count)


def image(train: int, label: int, pixels: int, tokens: bytes) -> bytes:
    return struct.pack("<BBBH", 3, train, label, pixels) + tokens


def bus_writes(width: int, address: int, step: int, words: Sequence[int]) -> list[tuple[int, int, int]]:
    return [(1, (address + k * step) % 2**32, word % 2**64) for k, word in enumerate(words)]


class Played:
    """What the interpreter did with a stream: ``bus`` (write, address, data if written), ``jobs``, ``pixels``, ``answers``."""

    def __init__(
        self,
        stream: bytes,
        *,
        lanes: int = 4,
        replies: Sequence[int] = (),
        results: Sequence[dict[str, object]] = (),
        stall: float = 0.0,
    ) -> None:
        commands = interpreter(lanes)
        bench = Bench(commands, stall=stall)
        bench.give("i", list(stream))
        bench.give("reply", [{"data": word} for word in replies])
        bench.give("result", results)
        bench.take("o")
        bench.take("bus", lambda payload: (payload.write, payload.address, payload.data))
        bench.take("job", lambda payload: (payload.train, payload.label))
        bench.take("pixel")
        self.stopped: list[int] = []

        async def conduct(context: SimulatorContext) -> None:
            while bench.left and bench.now - bench.last_transfer < 400:
                await context.tick()
            self.left = bench.left
            self.stopped.append(context.get(commands.stopped))
            bench.left = 0

        bench.run(conduct)
        self.bus = [(w, address, word if w else None) for w, address, word in bench.words["bus"]]
        self.jobs, self.pixels, self.answers = bench.words["job"], bench.words["pixel"], bytes(bench.words["o"])


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("width", range(1, 9))
def test_words_of_every_width_are_extended_by_their_sign(width: int, stall: float) -> None:
    chance = random.Random(width)
    limit = 1 << 8 * width - 1
    words = [0, -1, limit - 1, -limit, 1, *(chance.randrange(-limit, limit) for _ in range(3))]
    played = Played(write(width, 0x1FFF_FFFE, 0x0101, words), stall=stall)
    assert played.bus == bus_writes(width, 0x1FFF_FFFE, 0x0101, words)
    assert played.answers == b"" and played.stopped == [0] and played.left == 0


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("width", (1, 2, 3, 7, 8))
def test_reads_give_the_lowest_bytes(width: int, stall: float) -> None:
    chance = random.Random(width)
    words = [chance.getrandbits(64) for _ in range(6)]
    played = Played(read(width, 0xFFFF_FF00, 256, 6), replies=words, stall=stall)
    assert played.bus == [(0, (0xFFFF_FF00 + 256 * k) % 2**32, None) for k in range(6)]
    assert played.answers == b"".join(word.to_bytes(8, "little")[:width] for word in words)


@pytest.mark.parametrize("step", (0, 1, 255, 256, 0x8001, 0xFFFF))
def test_addresses_advance_by_any_step(step: int) -> None:
    words = [5, 6, 7, 8, 9]
    played = Played(write(1, 0xFEDC_BAFF, step, words) + write(1, 0x0000_00FF, step, words))
    assert played.bus == bus_writes(1, 0xFEDC_BAFF, step, words) + bus_writes(1, 0xFF, step, words)


def test_counts_of_two_bytes() -> None:
    words = [k % 100 for k in range(0x103)]
    assert Played(write(1, 0, 1, words)).bus == bus_writes(1, 0, 1, words)


def test_commands_follow_each_other() -> None:
    stream = write(8, 1, 1, [-(2**63)]) + read(1, 2, 1, 1) + write(1, 3, 1, [-128]) + read(8, 4, 1, 1)
    played = Played(stream, replies=[0x1122, 0x8877665544332211], stall=0.3)
    assert [entry[:2] for entry in played.bus] == [(1, 1), (0, 2), (1, 3), (0, 4)]
    assert played.answers == bytes([0x22, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88])


def logits(values: Sequence[int], lanes: int, seed: int) -> list[dict[str, object]]:
    """Beats with these values in their enabled lanes, of which the last beat has one at least."""
    chance, beats, left = random.Random(seed), [], list(values)
    while left:
        mask = chance.randrange(1 << lanes) if len(left) > lanes else (1 << len(left)) - 1
        elements = [left.pop(0) if mask >> lane & 1 else chance.randrange(-5, 5) for lane in range(lanes)]
        beats.append({"elements": elements, "mask": mask, "last": not left})
    return beats


@pytest.mark.parametrize("lanes", (1, 3, 4, 8))
@pytest.mark.parametrize("stall", (0.0, 0.4))
def test_an_image_gives_the_logits_of_enabled_lanes(lanes: int, stall: float) -> None:
    limit = 1 << LOGIT_BITS - 1
    values = [0, -1, limit - 1, -limit, *(random.Random(lanes).randrange(-limit, limit) for _ in range(7))]
    stream = image(1, 9, 8, bytes([1, 0x82, 7, 0, 255, 0x00, 0x81, 1, 2])) + image(0, 3, 200, bytes([127, 71]))
    results = logits(values, lanes, 1) + logits(values[:3], lanes, 2)
    played = Played(stream, lanes=lanes, results=results, stall=stall)
    assert played.jobs == [(1, 9), (0, 3)]
    assert played.pixels == [0, 0, 7, 0, 255, 0, 1, 2] + [0] * 200
    assert played.answers == b"".join(value.to_bytes(4, "little", signed=True) for value in values + values[:3])
    assert played.stopped == [0] and played.left == 0


def test_the_longest_runs() -> None:
    pixels = [k % 255 + 1 for k in range(128)]
    played = Played(image(1, 0, 300, bytes([127, 255, *pixels, 43])), results=logits([1], 4, 1))
    assert played.pixels == [0] * 128 + pixels + [0] * 44


MALFORMED = {
    "code 0": b"\0",
    "code 4": b"\4",
    "code 255": b"\xff",
    "width 0": access(1, 0, 0, 1, 1),
    "width 9": access(2, 9, 0, 1, 1),
    "width 255": access(1, 255, 0, 1, 1),
    "no words": access(1, 1, 0, 1, 0),
    "no words read": access(2, 8, 0, 1, 0),
    "no pixels": image(1, 0, 0, b""),
    "zeros beyond the last pixel": image(1, 0, 4, bytes([2, 1])),
    "pixels beyond the last pixel": image(1, 0, 4, bytes([2, 0x81, 1, 2])),
}


@pytest.mark.parametrize("stream", MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_stops_it(stream: bytes) -> None:
    before = write(2, 5, 1, [77])
    played = Played(before + stream + write(1, 9, 1, [1]) * 2, replies=[0])
    assert played.stopped == [1] and played.left > 10
    assert played.bus == bus_writes(2, 5, 1, [77]) and played.answers == b""


def test_a_reset_begins_anew() -> None:
    commands = interpreter()
    bench = Bench(commands)
    bench.take("bus", lambda payload: (payload.write, payload.address, payload.data))
    half, whole = write(8, 1, 1, [5, 6])[:14], write(1, 0x40, 1, [-3])

    async def conduct(context: SimulatorContext) -> None:
        for number, stream in enumerate((b"\xff", half, half[:3], image(1, 1, 5, b""), whole)):
            if number:
                await bench.reset(context)
            for value in stream:
                context.set(commands.i.payload.value, value)
                context.set(commands.i.valid, 1)
                await context.tick().until(commands.i.ready)
            context.set(commands.i.valid, 0)

    bench.run(conduct)
    assert bench.words["bus"] == bus_writes(1, 0x40, 1, [-3])


def test_logits_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="logits of 33 bits: accepted: up to 32"):
        Commands(job=record(train=1, label=4), result=beat(signed(33), 1))
