"""Frames and commands: known answers, and that what is packed is unpacked again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from board import protocol
from board.gateware.wire import LARGEST_BOARD_DATA, LARGEST_CONTENT, LARGEST_HOST_DATA
from board.model import BoardModel
from board.protocol import Data, DataAnswer, FrameReader, Hello, HelloAnswer, Refused
from tests.board.networks import Recording

NUMBERS = st.integers(0, 65535)
FRAMES = st.one_of(
    st.builds(Hello, NUMBERS),
    st.builds(Data, NUMBERS, NUMBERS, NUMBERS, st.booleans(), st.binary(max_size=LARGEST_HOST_DATA)),
    st.builds(HelloAnswer, NUMBERS, st.integers(0, 255), st.integers(0, (1 << 64) - 1), NUMBERS),
    st.builds(DataAnswer, NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.binary(max_size=LARGEST_BOARD_DATA)),
    st.builds(Refused, NUMBERS, st.integers(0, 255)),
)

#: By hand from the tables of docs/link.md.
KNOWN = [
    (Hello(0x1234), "01 34 12"),
    (Data(0x1234, 258, 65535, True, b"\x00\x11"), "02 34 12 02 01 ff ff 01 00 11"),
    (HelloAnswer(7, 1, 0x8877665544332211, 2048), "81 07 00 01 11 22 33 44 55 66 77 88 00 08"),
    (DataAnswer(7, 1, 2, 3, b""), "82 07 00 01 00 02 00 03 00"),
    (Refused(0, 1), "83 00 00 01"),
]


@pytest.mark.parametrize(("frame", "content"), KNOWN)
def test_known_contents(frame: protocol.Frame, content: str) -> None:
    assert frame.content() == bytes.fromhex(content)


def test_other_flags_are_not_repeat() -> None:
    content = Data(1, 2, 3, False, b"x").content()
    assert protocol.from_host(content[:7] + b"\xfe" + content[8:]) == Data(1, 2, 3, False, b"x")


def test_a_known_line() -> None:
    """CRC-32 of "123456789" is cbf43926 in every catalogue of CRCs."""
    assert protocol.encode_content(b"123456789") == b"\x0e123456789\x26\x39\xf4\xcb\x00"
    assert protocol.encode_content(b"\x00") == bytes.fromhex("01 05 8d ef 02 d2 00")


@given(FRAMES)
def test_frames_come_back(frame: protocol.Frame) -> None:
    line = protocol.encode(frame)
    assert line.count(0) == 1
    assert line[-1] == 0
    assert len(line) - 1 <= protocol.LONGEST_FRAME
    content = protocol.decode_content(line[:-1])
    assert content is not None
    assert len(content) <= LARGEST_CONTENT
    assert [protocol.from_host(content), protocol.from_board(content)].count(None) == 1
    assert (protocol.from_host(content) or protocol.from_board(content)) == frame


@given(FRAMES, st.data())
def test_a_changed_line_is_no_frame(frame: protocol.Frame, data: st.DataObject) -> None:
    line = bytearray(protocol.encode(frame)[:-1])
    line[data.draw(st.integers(0, len(line) - 1))] ^= data.draw(st.integers(1, 255))
    assert list(FrameReader().feed(bytes(line) + b"\0")) == []


@given(st.lists(st.one_of(FRAMES, st.binary(max_size=600)), max_size=6), st.lists(st.integers(1, 300), min_size=1))
def test_frames_are_found_in_any_portions(parts: list[protocol.Frame | bytes], sizes: list[int]) -> None:
    """Behind and before what is no frame, of any length, in whatever portions the line gives."""
    line = b"".join(b"\0" + part + b"\0" if isinstance(part, bytes) else protocol.encode(part) for part in parts)
    reader, found, first = FrameReader(), [], 0
    for size in sizes * (len(line) // sum(sizes) + 1):
        found += reader.feed(line[first : first + size])
        first += size
    assert found == [part.content() for part in parts if not isinstance(part, bytes)]
    assert reader.seen == len(line)
    assert reader.found == len(found)


def test_the_longest_frame_is_found_and_a_longer_one_is_not() -> None:
    """Nor what ends it, should it look like a frame; the one behind it is."""
    for size in (LARGEST_CONTENT - 1, LARGEST_CONTENT):
        assert list(FrameReader().feed(protocol.encode_content(b"x" * size))) == [b"x" * size]
    assert list(FrameReader().feed(protocol.encode_content(b"x" * (LARGEST_CONTENT + 1)))) == []
    reader, frame = FrameReader(), protocol.encode_content(b"frame")
    assert list(reader.feed(b"x" * (protocol.LONGEST_FRAME + 1))) == []
    assert list(reader.feed(frame)) == []
    assert list(reader.feed(frame)) == [b"frame"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01\x00",
        b"\x01\x00\x00\x00",
        b"\x02\x00\x00\x00\x00\x00\x00",
        b"\x02" + bytes(8 + LARGEST_HOST_DATA),
        b"\x03\x00\x00",
        b"\x81" + bytes(12),
        b"\x82" + bytes(9 + LARGEST_BOARD_DATA),
        b"\x83" + bytes(4),
    ],
)
def test_wrong_lengths_and_kinds_are_no_frames(content: bytes) -> None:
    assert protocol.from_host(content) is None
    assert protocol.from_board(content) is None


@given(st.integers(0, 1 << 40), st.integers(-32768, 32767))
def test_positions_are_counted_on(since: int, step: int) -> None:
    assert protocol.ahead((since + step) % 65536, since) == step


# --- commands ---------------------------------------------------------------------------------------------------------

ADDRESSES = st.integers(0, (1 << 32) - 1)


@st.composite
def address_lists(draw: st.DrawFn) -> list[int]:
    """Runs of constant steps among addresses without order."""
    addresses: list[int] = []
    for _ in range(draw(st.integers(1, 6))):
        first, step, count = draw(ADDRESSES), draw(st.integers(0, 70000)), draw(st.integers(1, 9))
        addresses += [place for place in range(first, first + step * count, step or 1) if place < 1 << 32][:count]
        addresses += [first] * draw(st.integers(0, 3))
    return addresses


def interpreted(network: Recording, commands: bytes) -> bytes:
    """What a board answers to a stream."""
    model = BoardModel(network, 0, capacity=1 << 14, kept=1 << 15)
    model.feed(protocol.encode(Hello(1)))
    model.take()
    answers, reader, taken = b"", FrameReader(), 0
    for first in range(0, max(1, len(commands)), LARGEST_HOST_DATA):
        part = commands[first : first + LARGEST_HOST_DATA]
        model.feed(protocol.encode(Data(1, first % 65536, taken % 65536, False, part)))
        for content in reader.feed(model.take()):
            frame = protocol.from_board(content)
            assert isinstance(frame, DataAnswer), frame
            answers += frame.data
            taken += len(frame.data)
    return answers


@given(address_lists(), st.data())
def test_writes_and_reads_reach_their_words(addresses: list[int], data: st.DataObject) -> None:
    bits = st.sampled_from([1, 7, 8, 17, 18, 63, 64])
    words = [data.draw(bits.flatmap(lambda n: st.integers(-(1 << n - 1), (1 << n - 1) - 1))) for _ in addresses]
    values = np.array(words, np.int64).view(np.uint64)
    order: list[tuple[int, int]] = []

    class InOrder(Recording):
        def write(self, address: int, word: int) -> None:
            order.append((address, word))
            super().write(address, word)

    network, places = InOrder(), np.array(addresses, np.uint32)
    assert interpreted(network, protocol.write_commands(places, values)) == b""
    assert order == list(zip(addresses, values.tolist(), strict=True))
    widths = np.array([data.draw(st.integers(1, 8)) for _ in addresses])
    commands, parts = protocol.read_commands(places, widths)
    assert sum(count for count, _ in parts) == len(addresses)
    answers = interpreted(network, commands)
    expected = b"".join(
        network.words[address].to_bytes(8, "little")[:width]
        for address, width in zip(addresses, widths.tolist(), strict=True)
    )
    assert answers == expected


@pytest.mark.parametrize(
    ("word", "width"),
    [
        (0, 1),
        (127, 1),
        (-128, 1),
        (128, 2),
        (-129, 2),
        (131071, 3),
        (-131072, 3),
        (1 << 62, 8),
        (-(1 << 63), 8),
        (-1, 1),
    ],
)
def test_words_are_as_narrow_as_their_sign_allows(word: int, width: int) -> None:
    assert protocol.bytes_needed(np.array([word, 0], np.int64).view(np.uint64)) == width


def test_long_runs_are_one_command_each_65535_words() -> None:
    addresses = np.arange(70000, dtype=np.uint32) * 3
    runs = list(protocol.runs(addresses))
    assert [(run.first, run.address, run.step, run.count) for run in runs] == [
        (0, 0, 3, 65535),
        (65535, 65535 * 3, 3, 70000 - 65535),
    ]


def test_known_commands() -> None:
    words = np.array([1, -2, 3], np.int64).view(np.uint64)
    commands = protocol.write_commands(np.array([0x70000000, 0x70000100, 0x70000200], np.uint32), words)
    assert commands == bytes.fromhex("01 01 00000070 0001 0300 01 fe 03")
    commands, parts = protocol.read_commands(np.array([5, 5], np.uint32), np.array([3, 3]))
    assert (commands, parts) == (bytes.fromhex("02 03 05000000 0000 0200"), [(2, 3)])
    image = protocol.image_command(bytes([0, 0, 0, 9, 0, 8]), 4, train=True)
    assert image == bytes.fromhex("03 01 04 0600 02 82 09 00 08")


# --- pixels -----------------------------------------------------------------------------------------------------------

PIXELS = st.lists(st.one_of(st.just(0), st.integers(0, 255)), min_size=1, max_size=900).map(bytes)


@given(PIXELS, st.integers(0, 255), st.booleans())
def test_images_come_back(pixels: bytes, label: int, train: bool) -> None:
    network = Recording()
    logits = protocol.logits_of(interpreted(network, protocol.image_command(pixels, label, train=train)), 3)
    assert network.images == [(pixels, label, train)]
    assert logits.tolist() == [[1, -sum(pixels), label]]
    assert len(protocol.compress(pixels)) <= len(pixels) + 1 + len(pixels) // protocol.LONGEST_RUN


@pytest.mark.parametrize("run", [1, 2, 127, 128, 129, 256, 257, 784])
@pytest.mark.parametrize("value", [0, 255])
def test_runs_of_one_pixel(run: int, value: int) -> None:
    network, pixels = Recording(), bytes([value]) * run
    interpreted(network, protocol.image_command(pixels, 0, train=False))
    assert network.images == [(pixels, 0, False)]
