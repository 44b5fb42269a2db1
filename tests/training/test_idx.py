"""The idx reader: intact files are read exactly, and every damaged one is one line of ``DataError``."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emulator.errors import DataError
from emulator.training import idx
from emulator.training.idx import decode_idx, printable, read_idx

VALUES = np.random.default_rng(3).integers(0, 4, (5, 4, 3), dtype=np.uint8)


def encode(values: NDArray[np.uint8]) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


PLAIN = encode(VALUES)
COMPRESSED = gzip.compress(PLAIN, mtime=0)


def failure(stored: bytes, *, compressed: bool = False, dimensions: int = 3) -> str:
    """The message of the error, which must be one line and begin with the file."""
    with pytest.raises(DataError) as caught:
        decode_idx(stored, "the-file", dimensions, compressed=compressed)
    message = str(caught.value)
    assert message.startswith("the-file: ")
    assert "accepted: " in message
    assert message.isprintable()
    return message


@pytest.mark.parametrize(("stored", "compressed"), [(PLAIN, False), (COMPRESSED, True)])
def test_intact(stored: bytes, compressed: bool) -> None:
    file = decode_idx(stored, "the-file", 3, compressed=compressed)
    assert np.array_equal(file.values, VALUES)
    assert (file.source, file.compressed, file.stored, file.content) == ("the-file", compressed, stored, PLAIN)
    assert not file.values.flags.writeable


def test_one_dimension() -> None:
    labels = np.array([3, 1, 255], dtype=np.uint8)
    assert decode_idx(encode(labels), "the-file", 1, compressed=False).values.tolist() == [3, 1, 255]


def test_gzip_of_several_members_is_one_file() -> None:
    stored = gzip.compress(PLAIN[:21]) + gzip.compress(PLAIN[21:])
    assert np.array_equal(decode_idx(stored, "the-file", 3, compressed=True).values, VALUES)


def test_empty() -> None:
    assert "empty file" in failure(b"")
    assert "empty file" in failure(b"", compressed=True)
    assert "0 bytes, truncated in the header; accepted: at least 16" in failure(gzip.compress(b""), compressed=True)


@pytest.mark.parametrize("length", range(1, len(PLAIN)))
def test_truncated(length: int) -> None:
    expected = (
        f"{length} bytes, truncated in the header" if length < 16 else f"{length} bytes uncompressed; accepted: 76"
    )
    assert expected in failure(PLAIN[:length])
    assert expected in failure(gzip.compress(PLAIN[:length]), compressed=True)


@pytest.mark.parametrize("length", range(1, len(COMPRESSED)))
def test_truncated_gzip(length: int) -> None:
    message = failure(COMPRESSED[:length], compressed=True)
    assert f"truncated gzip, {length} bytes" in message or length == 1


def test_extra_bytes() -> None:
    expected = "more than 76 bytes uncompressed; accepted: 76, as the header says 5x4x3"
    assert expected in failure(PLAIN + b"\0")
    assert expected in failure(gzip.compress(PLAIN + b"\0"), compressed=True)


def test_magic_number() -> None:
    assert "magic number 0x00000d03; accepted: 0x00000803" in failure(b"\0\0\x0d\x03" + PLAIN[4:])
    assert "magic number 0x3c68746d; accepted: 0x00000803" in failure(b"<html>")


def test_dimensions() -> None:
    assert "3 dimensions; accepted: 1" in failure(PLAIN, dimensions=1)
    assert "1 dimensions; accepted: 3" in failure(encode(np.zeros(4, dtype=np.uint8)))


@pytest.mark.parametrize("shape", [(0, 28, 28), (5, 0, 3), (2**32 - 1, 2**32 - 1, 2**32 - 1)])
def test_sizes_that_cannot_be(shape: tuple[int, int, int]) -> None:
    header = b"\0\0\x08\x03" + struct.pack(">3I", *shape)
    shown = "x".join(map(str, shape))
    assert f"header promises {shown} values; accepted: 1 to {idx.MAXIMUM_BYTES}" in failure(header)


def test_not_gzip_and_bad_checksum() -> None:
    assert "corrupt gzip" in failure(PLAIN, compressed=True)
    wrong_checksum = bytearray(COMPRESSED)
    wrong_checksum[-8] ^= 1
    assert "corrupt gzip (CRC check failed" in failure(bytes(wrong_checksum), compressed=True)


def test_bomb_is_not_uncompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 MB after a header that promises 60 bytes, one byte more than promised is taken."""
    taken = []
    read = gzip.GzipFile.read

    def counting(self: gzip.GzipFile, size: int | None = -1) -> bytes:
        data = read(self, size)
        taken.append(len(data))
        return data

    bomb = gzip.compress(PLAIN[:16] + bytes(20_000_000), compresslevel=1)
    monkeypatch.setattr(gzip.GzipFile, "read", counting)
    assert "more than 76 bytes" in failure(bomb, compressed=True)
    assert sum(taken) == 77


def test_a_large_promise_costs_no_memory() -> None:
    header = b"\0\0\x08\x03" + struct.pack(">3I", 1 << 20, 32, 32)
    assert "16 bytes uncompressed; accepted: 1073741840" in failure(header)


@settings(max_examples=300, deadline=None)
@given(
    flips=st.lists(st.tuples(st.integers(0, len(COMPRESSED) - 1), st.integers(1, 255)), max_size=4),
    length=st.one_of(st.just(len(COMPRESSED)), st.integers(0, len(COMPRESSED))),
    extra=st.binary(max_size=3),
)
def test_damaged_gzip_is_read_exactly_or_refused(flips: list[tuple[int, int]], length: int, extra: bytes) -> None:
    damaged = bytearray(COMPRESSED)
    for position, flip in flips:
        damaged[position] ^= flip
    try:
        file = decode_idx(bytes(damaged[:length]) + extra, "the-file", 3, compressed=True)
    except DataError as error:
        assert str(error).startswith("the-file: ")
        assert str(error).isprintable()
    else:
        assert file.values.shape == VALUES.shape
        assert np.array_equal(file.values, VALUES)


@given(stored=st.binary(max_size=80), compressed=st.booleans())
def test_anything_else_is_refused(stored: bytes, compressed: bool) -> None:
    failure(stored, compressed=compressed)


def test_read_takes_the_first_that_exists(tmp_path: Path) -> None:
    first, second = tmp_path / "a.gz", tmp_path / "a"
    assert read_idx([first, second], 3) is None
    assert read_idx([first / "below-nothing"], 3) is None
    second.write_bytes(PLAIN)
    file = read_idx([first, second], 3)
    assert file is not None
    assert (file.source, file.compressed) == (str(second), False)
    assert read_idx([second / "below-a-file"], 3) is None
    first.write_bytes(COMPRESSED)
    file = read_idx([first, second], 3)
    assert file is not None
    assert (file.source, file.compressed) == (str(first), True)


def read_failure(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_idx([path], 3)
    message = str(caught.value)
    assert message.startswith(f"{printable(path)}: ")
    assert message.isprintable()
    return message


def test_read_of_something_else_than_a_file(tmp_path: Path) -> None:
    assert "not a regular file" in read_failure(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "not a regular file" in read_failure(pipe)


def test_read_too_large(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(idx.MAXIMUM_BYTES + 1)
    assert f"{idx.MAXIMUM_BYTES + 1} bytes; accepted: up to {idx.MAXIMUM_BYTES}" in read_failure(path)


def test_read_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Injected, because the superuser may read everything.
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    path = tmp_path / "locked"
    path.write_bytes(PLAIN)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "cannot be read (Permission denied)" in read_failure(path)


def test_read_of_a_path_that_cannot_be() -> None:
    assert "cannot be read (embedded null byte)" in read_failure(Path("a\0b"))
    assert "cannot be read" in read_failure(Path("line\nbreak\0"))
