"""A small data set in IDX files, as the tests of data sets and of downloads write, publish and load it."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from emulator.errors import DataError
from emulator.training.datasets import Dataset, load_dataset
from emulator.training.download import FILE_NAMES, Opener, PublishedFile, PublishedSet

RANDOM = np.random.default_rng(7)
VALUES = (
    RANDOM.integers(0, 256, (6, 5, 5), dtype=np.uint8),
    np.array([0, 1, 2, 3, 0, 1], dtype=np.uint8),
    RANDOM.integers(0, 256, (3, 5, 5), dtype=np.uint8),
    np.array([3, 2, 1], dtype=np.uint8),
)
NAMES = tuple(name for name, _ in FILE_NAMES)


def encode(values: NDArray[Any], type_number: int = 8) -> bytes:
    return bytes([0, 0, type_number, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


PLAIN = {name: encode(values) for name, values in zip(NAMES, VALUES, strict=True)}
COMPRESSED = {name: gzip.compress(plain, mtime=0) for name, plain in PLAIN.items()}


def published(digest_of: Literal["compressed", "uncompressed"] = "uncompressed") -> PublishedSet:
    """A data set like MNIST, of the files above, with two mirrors."""
    stored = COMPRESSED if digest_of == "compressed" else PLAIN
    return PublishedSet(
        name="small",
        torchvision="Small/raw",
        files=tuple(
            PublishedFile(name, holds, digest_of, hashlib.sha256(stored[name]).hexdigest())
            for name, holds in FILE_NAMES
        ),
        mirrors=("http://first.invalid/", "http://second.invalid/"),
    )


def write(folder: Path, *, compressed: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        if compressed:
            (folder / f"{name}.gz").write_bytes(COMPRESSED[name])
        else:
            (folder / name).write_bytes(PLAIN[name])
    return folder


def offline(url: str) -> IO[bytes]:
    raise urllib.error.URLError(OSError(101, "Network is unreachable"))


def forbidden(url: str) -> IO[bytes]:
    raise AssertionError(f"{url} opened, though the file is there")


def serving(answers: dict[str, bytes | Exception], opened: list[str] | None = None) -> Opener:
    """An opener that answers each address with the bytes, or fails with the exception, given for it."""

    def opener(url: str) -> IO[bytes]:
        if opened is not None:
            opened.append(url)
        answer = answers[url]
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer)

    return opener


def message_of(action: Callable[[], object]) -> str:
    """The message of the ``DataError`` that ``action`` raises, which must be one line that says what is accepted."""
    with pytest.raises(DataError) as caught:
        action()
    message = str(caught.value)
    assert message.isprintable()
    assert "accepted: " in message
    return message


def load(name: str | Path, **options: object) -> Dataset:
    arguments: dict[str, object] = {"height": 5, "width": 5, "classes": 4, "opener": forbidden}
    return load_dataset(str(name), **(arguments | options))  # type: ignore[arg-type]


def assert_whole(dataset: Dataset) -> None:
    loaded = (dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels)
    for values, expected in zip(loaded, VALUES, strict=True):
        assert np.array_equal(values, expected)
