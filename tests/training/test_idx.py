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

from emulator.errors import DataError
from emulator.training import idx
from emulator.training.idx import Holds, decode_idx, printable, read_idx
from tests.training.idx_files import encode

VALUES = np.random.default_rng(3).integers(0, 4, (5, 4, 3), dtype=np.uint8)


PLAIN = encode(VALUES)
COMPRESSED = gzip.compress(PLAIN, mtime=0)


def failure(stored: bytes, holds: Holds = "images") -> str:
    """The message of the error, which must be one line and begin with the file."""
    with pytest.raises(DataError) as caught:
        decode_idx(stored, "the-file", holds)
    message = str(caught.value)
    assert message.startswith("the-file: ")
    assert "accepted: " in message
    assert message.isprintable()
    return message


@pytest.mark.parametrize(("stored", "compressed"), [(PLAIN, False), (COMPRESSED, True)])
def test_intact(stored: bytes, compressed: bool) -> None:
    file = decode_idx(stored, "the-file", "images")
    assert np.array_equal(file.values, VALUES)
    assert (file.source, file.compressed, file.stored, file.content) == ("the-file", compressed, stored, PLAIN)
    assert not file.values.flags.writeable


def test_one_dimension() -> None:
    labels = np.array([3, 1, 255], dtype=np.uint8)
    assert decode_idx(encode(labels), "the-file", "labels").values.tolist() == [3, 1, 255]


@pytest.mark.parametrize(("type_number", "dtype"), [(0x09, ">i1"), (0x0B, ">i2"), (0x0C, ">i4")])
def test_labels_of_other_integers(type_number: int, dtype: str) -> None:
    labels = np.array([3, 1, -128, 127], dtype=dtype)
    assert decode_idx(encode(labels, type_number), "the-file", "labels").values.tolist() == [3, 1, -128, 127]


def test_labels_of_qmnist_are_the_first_of_eight() -> None:
    table = np.arange(24, dtype=">i4").reshape(3, 8)
    file = decode_idx(gzip.compress(encode(table, 0x0C)), "the-file", "labels")
    assert file.values.tolist() == [0, 8, 16]
    assert not file.values.flags.writeable


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (encode(np.zeros((3, 5), ">i4"), 0x0C), "5 integers for each image; accepted: 1, or 8 as in QMNIST"),
        (encode(np.zeros((3, 8), ">i2"), 0x0B), "2 dimensions of 16-bit integers; accepted: labels, which have 1"),
        (encode(np.zeros((3, 8), np.uint8)), "2 dimensions of unsigned bytes; accepted: labels, which have 1"),
        (encode(np.zeros((3, 8), ">i4"), 0x0C)[:-1], "107 bytes uncompressed; accepted: 108, as the header says 3x8"),
        (encode(np.zeros((3, 8), ">i4"), 0x0C)[:10], "10 bytes, truncated in the header; accepted: at least 12"),
        (encode(np.zeros((1 << 20, 0), ">i4"), 0x0C)[:8] + struct.pack(">I", 8), "12 bytes uncompressed"),
        (b"\0\0\x0c\x02" + struct.pack(">2I", 1 << 28, 8), "268435456x8 values; accepted: 1 to 268435456 in all"),
        (
            encode(np.zeros(3, ">f4"), 0x0D),
            "32-bit floats (idx type 0x0d); accepted: labels of unsigned bytes (0x08) or ",
        ),
        (
            encode(np.zeros(3, ">f8"), 0x0E),
            "64-bit floats (idx type 0x0e); accepted: labels of unsigned bytes (0x08) or ",
        ),
    ],
)
def test_labels_that_cannot_be(stored: bytes, message: str) -> None:
    assert message in failure(stored, "labels")
    assert message in failure(gzip.compress(stored), "labels")


@pytest.mark.parametrize(
    ("type_number", "name"),
    [
        (0x09, "signed bytes"),
        (0x0B, "16-bit integers"),
        (0x0C, "32-bit integers"),
        (0x0D, "32-bit floats"),
        (0x0E, "64-bit floats"),
    ],
)
def test_images_of_other_types_are_named(type_number: int, name: str) -> None:
    expected = f"{name} (idx type 0x{type_number:02x}); accepted: images of unsigned bytes (0x08)"
    assert expected in failure(bytes([0, 0, type_number, 3]) + PLAIN[4:])
    assert expected in failure(bytes([0, 0, type_number, 3]))


def test_gzip_of_several_members_is_one_file() -> None:
    stored = gzip.compress(PLAIN[:21]) + gzip.compress(PLAIN[21:])
    assert np.array_equal(decode_idx(stored, "the-file", "images").values, VALUES)


def test_empty() -> None:
    assert failure(b"") == "the-file: an empty file; accepted: an idx file of images"
    assert "0 bytes, truncated in the header; accepted: at least 16" in failure(gzip.compress(b""))
    assert "0 bytes, truncated in the header; accepted: at least 8" in failure(gzip.compress(b""), "labels")


@pytest.mark.parametrize("length", range(1, len(PLAIN)))
def test_truncated(length: int) -> None:
    expected = (
        f"{length} bytes, truncated in the header" if length < 16 else f"{length} bytes uncompressed; accepted: 76"
    )
    assert expected in failure(PLAIN[:length])
    assert expected in failure(gzip.compress(PLAIN[:length]))


@pytest.mark.parametrize("length", range(1, len(COMPRESSED)))
def test_truncated_gzip(length: int) -> None:
    message = failure(COMPRESSED[:length])
    assert f"truncated gzip, {length} bytes" in message or length == 1


def test_extra_bytes() -> None:
    expected = "more than 76 bytes uncompressed; accepted: 76, as the header says 5x4x3"
    assert expected in failure(PLAIN + b"\0")
    assert expected in failure(gzip.compress(PLAIN + b"\0"))


def test_magic_number() -> None:
    assert "no idx file: magic number 0x00000a03; accepted: 0x00000803" in failure(b"\0\0\x0a\x03" + PLAIN[4:])
    assert "no idx file: magic number 0x00000000; accepted: 0x00000801" in failure(bytes(50), "labels")
    assert "no idx file: magic number 0x91929394; accepted: 0x00000803" in failure(b"\x91\x92\x93\x94")


@pytest.mark.parametrize("packed", [False, True])
def test_what_a_file_is_instead(packed: bool) -> None:
    page = b"<!DOCTYPE html><title>403</title>"
    expected = "the-file: an HTML page; accepted: an idx file of images, plain or gzip (download the file itself)"
    assert failure(gzip.compress(page) if packed else page) == expected


def test_gzip_within_gzip() -> None:
    assert "gzip within gzip; accepted: an idx file of images, plain or gzip (unpack it once)" in failure(
        gzip.compress(COMPRESSED)
    )


def test_dimensions() -> None:
    assert "3 dimensions of unsigned bytes; accepted: labels, which have 1" in failure(PLAIN, "labels")
    assert "1 dimension of unsigned bytes; accepted: images, which have 3" in failure(encode(np.zeros(4, np.uint8)))
    assert "255 dimensions of unsigned bytes" in failure(b"\0\0\x08\xff" + bytes(20))
    assert "0 dimensions of 32-bit integers" in failure(b"\0\0\x0c\0\0\0\0\0", "labels")


@pytest.mark.parametrize("shape", [(0, 28, 28), (5, 0, 3), (2**32 - 1, 2**32 - 1, 2**32 - 1)])
def test_sizes_that_cannot_be(shape: tuple[int, int, int]) -> None:
    header = b"\0\0\x08\x03" + struct.pack(">3I", *shape)
    shown = "x".join(map(str, shape))
    assert f"header promises {shown} values; accepted: 1 to {idx.MAXIMUM_BYTES}" in failure(header)


def test_bad_gzip() -> None:
    assert "corrupt gzip (Unknown compression method" in failure(b"\x1f\x8b\x07" + COMPRESSED[3:])
    wrong_checksum = bytearray(COMPRESSED)
    wrong_checksum[-8] ^= 1
    assert "corrupt gzip (CRC check failed" in failure(bytes(wrong_checksum))


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
    assert "more than 76 bytes" in failure(bomb)
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
        file = decode_idx(bytes(damaged[:length]) + extra, "the-file", "images")
    except DataError as error:
        assert str(error).startswith("the-file: ")
        assert str(error).isprintable()
    else:
        assert file.values.shape == VALUES.shape
        assert np.array_equal(file.values, VALUES)


@given(start=st.sampled_from([b"", b"\0\0", b"\x1f\x8b", b"\x1f\x8b\x08", b"PK\x03\x04"]), rest=st.binary(max_size=80))
def test_anything_else_is_refused(start: bytes, rest: bytes) -> None:
    failure(start + rest)


@pytest.mark.parametrize("name", ["a", "a.gz"])
@pytest.mark.parametrize(("stored", "compressed"), [(PLAIN, False), (COMPRESSED, True)])
def test_the_content_tells_gzip_and_not_the_name(tmp_path: Path, name: str, stored: bytes, compressed: bool) -> None:
    path = tmp_path / name
    path.write_bytes(stored)
    file = read_idx(path, "images")
    assert (file.source, file.compressed) == (str(path), compressed)
    assert np.array_equal(file.values, VALUES)


def read_failure(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_idx(path, "images")
    message = str(caught.value)
    assert message.startswith(f"{printable(path)}: ")
    assert message.isprintable()
    return message


def test_read_of_something_else_than_a_file(tmp_path: Path) -> None:
    assert "a folder; accepted: an idx file (if the file lies in it, move it out)" in read_failure(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "not a regular file" in read_failure(pipe)
    device = tmp_path / "device"
    device.symlink_to("/dev/zero")
    assert "not a regular file" in read_failure(device)
    broken, endless = tmp_path / "broken", tmp_path / "endless"
    broken.symlink_to("nothing")
    endless.symlink_to(endless)
    assert "cannot be read (No such file or directory)" in read_failure(broken)
    assert "cannot be read (Too many levels of symbolic links)" in read_failure(endless)


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
    assert "cannot be read (No such file or directory)" in read_failure(Path("nothing"))
    assert "cannot be read (No such file or directory)" in read_failure(Path("not-utf-8-\udcff"))
    assert "cannot be read (embedded null byte)" in read_failure(Path("a\0b"))
    assert "cannot be read" in read_failure(Path("line\nbreak\0"))
