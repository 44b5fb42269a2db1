"""Frames as the other end writes and reads them: COBS by a package of others, the CRC by zlib."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from cobs import cobs

DELIMITER = b"\0"


def framed(content: bytes) -> bytes:
    return cobs.encode(content + struct.pack("<I", zlib.crc32(content))) + DELIMITER


def contents(raw: bytes) -> list[bytes]:
    """Of all frames, which must be good, and the last one complete."""
    assert raw.endswith(DELIMITER) or not raw, f"a frame is cut off: {raw[-20:]!r}"
    found = []
    for frame in raw.split(DELIMITER):
        if frame:
            decoded = cobs.decode(frame)
            assert zlib.crc32(decoded[:-4]) == struct.unpack("<I", decoded[-4:])[0], f"CRC of {frame!r}"
            found.append(decoded[:-4])
    return found


def hello(session: int) -> bytes:
    return struct.pack("<BH", 1, session)


def data(session: int, position: int, acknowledged: int, content: bytes = b"", *, repeat: bool = False) -> bytes:
    return struct.pack("<BHHHB", 2, session, position % 65536, acknowledged % 65536, repeat) + content


def parsed(content: bytes) -> tuple[int, ...]:
    """Kind, session and the rest of a content from the board; the data of a data frame comes last, as bytes."""
    head: tuple[int, ...]
    match content[0]:
        case 0x81:
            return struct.unpack("<BHBQH", content)
        case 0x82:
            head = struct.unpack("<BHHHH", content[:9])
            return (*head, content[9:])  # type: ignore[return-value]
        case 0x83:
            return struct.unpack("<BHB", content)
    raise AssertionError(f"kind of {content!r}")


def stream_of(frames: Sequence[tuple[int, ...]], first: int = 0) -> bytes:
    """The board's stream, from position ``first`` on, from data frames that may repeat some of it but leave no gap."""
    found = b""
    for frame in frames:
        if frame[0] == 0x82:
            ahead = (first + len(found) - frame[2]) % 65536
            assert ahead < 32768, f"a gap before position {frame[2]}"
            found += frame[5][ahead:]  # type: ignore[index]
    return found
