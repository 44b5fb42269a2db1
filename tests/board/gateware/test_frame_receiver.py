"""Frames that were made by others' COBS and CRC, and frames that are not as they should be."""

from __future__ import annotations

import random
from functools import reduce

import pytest
from cobs import cobs

from board.gateware.frame_receiver import FrameReceiver
from board.gateware.wire import LARGEST_CONTENT
from tests.board.gateware.bench import Bench
from tests.board.gateware.frames import framed

Decoded = tuple[bytes, bool]


def received(raw: bytes, *, stall: float = 0.0) -> list[Decoded]:
    """Decoded bytes of every frame, and whether it was good."""
    receiver = FrameReceiver()
    bench = Bench(receiver, stall=stall)
    bench.give("i", list(raw))
    bench.take("o", lambda payload: (payload.value, payload.end, payload.good))
    bench.run()
    frames, content = [], b""
    for value, end, good in bench.words["o"]:
        if end:
            frames.append((content, bool(good)))
            content = b""
        else:
            content += bytes([value])
    assert not content
    return frames


def checked(content: bytes) -> bytes:
    """With its CRC."""
    return cobs.decode(framed(content)[:-1])


def contents(seed: int) -> list[bytes]:
    chance = random.Random(seed)
    sparse = bytes(chance.choice((0, 0, chance.randrange(256))) for _ in range(40))
    return [b"\0", b"\1", bytes(20), b"\0\xff\0", sparse, chance.randbytes(33), b""]


@pytest.mark.parametrize("stall", (0.0, 0.4))
def test_good_frames(stall: float) -> None:
    given = contents(1)
    assert received(b"".join(map(framed, given)), stall=stall) == [(checked(content), True) for content in given]


def test_every_byte_and_the_longest_frame() -> None:
    longest = bytes(1 + k % 255 for k in range(LARGEST_CONTENT))
    given = [bytes(range(250)), longest]
    assert received(b"".join(map(framed, given))) == [(checked(content), True) for content in given]


def test_a_whole_block_may_be_followed_by_an_empty_one() -> None:
    """Some encoders end a block of 254 bytes so, others do not."""
    content = next(
        candidate
        for candidate in (bytes([k, *[7] * (LARGEST_CONTENT - 1)]) for k in range(1, 256))
        if 0 not in checked(candidate)
    )
    raw = framed(content)
    assert raw[0] == 255
    assert received(raw + raw[:-1] + b"\1\0") == [(checked(content), True)] * 2


@pytest.mark.parametrize("seed", range(3))
def test_a_frame_with_a_wrong_bit_or_byte_is_not_good_and_the_next_one_is(seed: int) -> None:
    chance = random.Random(seed)
    content = chance.randbytes(24)
    raw = framed(content)
    broken = []
    for _ in range(8):
        place, bit = chance.randrange(len(raw) - 1), 1 << chance.randrange(8)
        wrong = bytes([*raw[:place], raw[place] ^ bit, *raw[place + 1 :]])
        lost = raw[:place] + raw[place + 1 :]
        doubled = raw[:place] + raw[place : place + 1] + raw[place:]
        broken += [chance.choice((wrong, lost, doubled)), framed(content)]
    frames = received(b"".join(broken))
    assert [good for _, good in frames].count(True) == 8
    assert all(content == checked(content[:-4]) for content, good in frames if good)
    assert frames[-1] == (checked(content), True)


def test_a_frame_that_is_cut_off_is_not_good_wherever_it_is_cut() -> None:
    raw = framed(bytes(range(0, 40, 4)))
    cut = [raw[:length] + b"\0" for length in range(len(raw) - 1)]
    assert [good for _, good in received(b"".join(cut) + raw)] == [False] * len(cut) + [True]


def test_a_crc_of_wrong_bytes_is_wrong_in_each_of_its_bits() -> None:
    whole = checked(b"a crc")
    wrong = [
        bytes([*whole[:-4], *((int.from_bytes(whole[-4:], "little") ^ 1 << bit).to_bytes(4, "little"))])
        for bit in range(32)
    ]
    raw = reduce(bytes.__add__, (cobs.encode(each) + b"\0" for each in wrong))
    assert [good for _, good in received(raw)] == [False] * 32


def test_garbage_is_not_good() -> None:
    assert not any(good for _, good in received(random.Random(5).randbytes(400) + b"\0\0\0"))
