"""What is said between host and board: frames, and the commands that travel in the frames' streams. docs/link.md in Python.

    frame = COBS(content || CRC-32(content)) || 0x00

Pure functions. Numbers are little-endian; positions in a stream count bytes from the session's beginning, modulo 65536.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from cobs import cobs
from numpy.typing import NDArray

from board.gateware.wire import (
    LARGEST_BOARD_DATA,
    LARGEST_CONTENT,
    LARGEST_HOST_DATA,
    LARGEST_WIDTH,
    LITERAL_BIT,
    POSITION_BITS,
    REPEAT_BIT,
    TRAIN_BIT,
    BoardFrame,
    Command,
    HostFrame,
)

POSITIONS = 1 << POSITION_BITS
REPEAT, TRAIN = 1 << REPEAT_BIT, 1 << TRAIN_BIT

_CRC = struct.Struct("<I")
_HELLO = struct.Struct("<BH")
_DATA = struct.Struct("<BHHHB")
_HELLO_ANSWER = struct.Struct("<BHBQH")
_DATA_ANSWER = struct.Struct("<BHHHH")
_REFUSED = struct.Struct("<BHB")

#: Bytes of the longest frame, its end not counted.
LONGEST_FRAME = LARGEST_CONTENT + _CRC.size + 1
END = b"\0"


# --- frames -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    """Begins a session, 1 .. 65535."""

    session: int

    def content(self) -> bytes:
        return _HELLO.pack(HostFrame.HELLO, self.session)


@dataclass(frozen=True)
class Data:
    """Bytes of the host's stream, perhaps none. ``acknowledged``: how many of the board's were taken."""

    session: int
    position: int
    acknowledged: int
    repeat: bool
    data: bytes

    def content(self) -> bytes:
        return (
            _DATA.pack(HostFrame.DATA, self.session, self.position, self.acknowledged, REPEAT * self.repeat) + self.data
        )


@dataclass(frozen=True)
class HelloAnswer:
    """``capacity``: bytes of the board's input buffer."""

    session: int
    version: int
    identity: int
    capacity: int

    def content(self) -> bytes:
        return _HELLO_ANSWER.pack(BoardFrame.HELLO, self.session, self.version, self.identity, self.capacity)


@dataclass(frozen=True)
class DataAnswer:
    """Bytes of the board's stream, perhaps none. ``limit``: the position up to which the host may send."""

    session: int
    position: int
    acknowledged: int
    limit: int
    data: bytes

    def content(self) -> bytes:
        return (
            _DATA_ANSWER.pack(BoardFrame.DATA, self.session, self.position, self.acknowledged, self.limit) + self.data
        )


@dataclass(frozen=True)
class Refused:
    """``session``: the board's, 0 for none."""

    session: int
    reason: int

    def content(self) -> bytes:
        return _REFUSED.pack(BoardFrame.REFUSED, self.session, self.reason)


Frame = Hello | Data | HelloAnswer | DataAnswer | Refused


def encode(frame: Frame) -> bytes:
    """The bytes on the line, END included."""
    return encode_content(frame.content())


def encode_content(content: bytes) -> bytes:
    """The same for any content."""
    return cobs.encode(content + _CRC.pack(zlib.crc32(content))) + END


def decode_content(line: bytes) -> bytes | None:
    """The content of a frame, given without its END; None if it is not a good one."""
    try:
        whole = cobs.decode(line)
    except cobs.DecodeError:
        return None
    content, check = whole[: -_CRC.size], whole[-_CRC.size :]
    return content if len(whole) > _CRC.size and check == _CRC.pack(zlib.crc32(content)) else None


def from_host(content: bytes) -> Hello | Data | None:
    """What a host said; None for what is no frame of a host."""
    if len(content) == _HELLO.size and content[0] == HostFrame.HELLO:
        return Hello(_HELLO.unpack(content)[1])
    if _DATA.size <= len(content) <= _DATA.size + LARGEST_HOST_DATA and content[0] == HostFrame.DATA:
        _, session, position, acknowledged, flags = _DATA.unpack_from(content)
        return Data(session, position, acknowledged, bool(flags & REPEAT), content[_DATA.size :])
    return None


def from_board(content: bytes) -> HelloAnswer | DataAnswer | Refused | None:
    """What a board said; None for what is no frame of a board."""
    if len(content) == _HELLO_ANSWER.size and content[0] == BoardFrame.HELLO:
        return HelloAnswer(*_HELLO_ANSWER.unpack(content)[1:])
    if _DATA_ANSWER.size <= len(content) <= _DATA_ANSWER.size + LARGEST_BOARD_DATA and content[0] == BoardFrame.DATA:
        return DataAnswer(*_DATA_ANSWER.unpack_from(content)[1:], content[_DATA_ANSWER.size :])
    if len(content) == _REFUSED.size and content[0] == BoardFrame.REFUSED:
        return Refused(*_REFUSED.unpack(content)[1:])
    return None


class FrameReader:
    """Finds the good frames in a line's bytes, which may come in any portions. Whatever else there is, is dropped."""

    def __init__(self) -> None:
        self._begun = bytearray()
        self._too_long = False
        #: Bytes seen, and good frames found among them.
        self.seen = self.found = 0

    def feed(self, received: bytes) -> Iterator[bytes]:
        """The contents of the frames that end in these bytes."""
        self.seen += len(received)
        *ends, rest = received.split(END)
        for part in ends:
            self._append(part)
            line = bytes(self._begun)  # nothing of a frame that is too long
            self._begun.clear()
            self._too_long = False
            content = decode_content(line) if line else None
            if content is not None:
                self.found += 1
                yield content
        self._append(rest)

    def _append(self, part: bytes) -> None:
        if len(self._begun) + len(part) > LONGEST_FRAME:
            self._too_long = True
            self._begun.clear()
        if not self._too_long:
            self._begun += part


def ahead(position: int, since: int) -> int:
    """How far ``position`` (modulo 65536) lies behind the full count ``since``: -32768 .. 32767."""
    return (position - since + POSITIONS // 2) % POSITIONS - POSITIONS // 2


# --- commands ---------------------------------------------------------------------------------------------------------

LARGEST_STEP = LARGEST_COUNT = (1 << 16) - 1
#: The first token of pixels that follow it; before it are those of zeros. A token stands for so many pixels at the most.
LITERAL = LONGEST_RUN = 1 << LITERAL_BIT

_ACCESS = struct.Struct("<BBIHH")
_IMAGE = struct.Struct("<BBBH")
ACCESS_REST, IMAGE_REST = struct.Struct("<BIHH"), struct.Struct("<BBH")

Words = NDArray[np.uint64]
Addresses = NDArray[np.uint32]


@dataclass(frozen=True)
class Run:
    """Words ``first`` .. ``first + count - 1`` of a list lie ``step`` apart, from ``address`` on."""

    first: int
    address: int
    step: int
    count: int


def runs(addresses: Addresses) -> Iterator[Run]:
    """Any addresses as runs, in their order."""
    places = addresses.astype(np.int64)
    steps = np.diff(places)
    # Where a run could go on at the latest: the first step from each on that is another.
    turns = np.flatnonzero(np.diff(steps)) + 1
    first = 0
    while first < len(places):
        step, count = 0, 1
        if first < len(steps) and 0 <= steps[first] <= LARGEST_STEP:
            step = int(steps[first])
            turn = np.searchsorted(turns, first, side="right")
            last = int(turns[turn]) if turn < len(turns) else len(steps)
            count = min(last - first + 1, LARGEST_COUNT)
        yield Run(first, int(places[first]), step, count)
        first += count


def write_commands(addresses: Addresses, words: Words) -> bytes:
    """Commands that write the words at their addresses, in this order, each run as narrow as its words are."""
    parts = []
    for run in runs(addresses):
        chosen = words[run.first : run.first + run.count]
        width = bytes_needed(chosen)
        parts += [_ACCESS.pack(Command.WRITE, width, run.address, run.step, run.count), to_bytes(chosen, width)]
    return b"".join(parts)


def read_commands(addresses: Addresses, widths: NDArray[np.int64]) -> tuple[bytes, list[tuple[int, int]]]:
    """Commands that read the lowest bytes at addresses, ``widths`` of each; and count and width of each answer."""
    parts, answers = [], []
    borders = np.flatnonzero(np.diff(widths)) + 1
    for part in np.split(np.arange(len(addresses)), borders):
        if len(part):
            width = int(widths[part[0]])
            for run in runs(addresses[part]):
                parts.append(_ACCESS.pack(Command.READ, width, run.address, run.step, run.count))
                answers.append((run.count, width))
    return b"".join(parts), answers


def image_command(pixels: bytes, label: int, *, train: bool) -> bytes:
    """The command that hands an image to the network."""
    return _IMAGE.pack(Command.IMAGE, TRAIN * train, label, len(pixels)) + compress(pixels)


def bytes_needed(words: Words) -> int:
    """How many of the lowest bytes give all words when the sign is extended."""
    values = words.view(np.int64)
    magnitude = int((values ^ (values >> np.int64(63))).max())
    return magnitude.bit_length() // 8 + 1


def to_bytes(words: Words, width: int) -> bytes:
    """The lowest ``width`` bytes of each word."""
    return words.astype("<u8").view(np.uint8).reshape(-1, LARGEST_WIDTH)[:, :width].tobytes()


def from_bytes(content: bytes, width: int) -> Words:
    """Words from their lowest ``width`` bytes, above which they have zeros."""
    words = np.zeros((len(content) // width, LARGEST_WIDTH), np.uint8)
    words[:, :width] = np.frombuffer(content, np.uint8).reshape(-1, width)
    return words.view("<u8").reshape(-1).astype(np.uint64)


def logits_of(content: bytes, classes: int) -> NDArray[np.int64]:
    """The logits of the images whose answers these are, a row for each."""
    return np.frombuffer(content, "<i4").reshape(-1, classes).astype(np.int64)


# --- pixels -----------------------------------------------------------------------------------------------------------

#: Two zeros or more, or pixels among which no two zeros follow each other: a lone zero costs a byte either way.
_SPAN = re.compile(rb"\x00{2,%d}|(?:[^\x00]|\x00(?!\x00)){1,%d}" % (LONGEST_RUN, LONGEST_RUN), re.DOTALL)


def compress(pixels: bytes) -> bytes:
    """Tokens: 0 .. 127, that many zeros and one more; 128 .. 255, that many pixels less 127 follow. At most one byte in 128
    longer than the pixels."""
    parts = []
    for match in _SPAN.finditer(pixels):
        span = match[0]
        if span[0] == 0 and len(span) > 1 and span[1] == 0:
            parts.append(bytes([len(span) - 1]))
        else:
            parts.append(bytes([LITERAL + len(span) - 1]) + span)
    return b"".join(parts)
