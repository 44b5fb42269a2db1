"""Data sets: where they are found, how they are checked, and how they are downloaded. No test needs the network."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import socket
import struct
import threading
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import IncompleteRead
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from emulator.errors import DataError
from emulator.training import download
from emulator.training.datasets import DIGITS_FOLDER, Dataset, default_cache_dir, load_dataset, load_published
from emulator.training.download import (
    FASHION_MNIST,
    FILE_NAMES,
    MNIST,
    Opener,
    PublishedFile,
    PublishedSet,
    fetch,
    open_url,
)
from emulator.training.resample import resample

RANDOM = np.random.default_rng(7)
VALUES = (
    RANDOM.integers(0, 256, (6, 5, 5), dtype=np.uint8),
    np.array([0, 1, 2, 3, 0, 1], dtype=np.uint8),
    RANDOM.integers(0, 256, (3, 5, 5), dtype=np.uint8),
    np.array([3, 2, 1], dtype=np.uint8),
)
NAMES = tuple(name for name, _ in FILE_NAMES)


def encode(values: NDArray[np.uint8]) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


PLAIN = {name: encode(values) for name, values in zip(NAMES, VALUES, strict=True)}
COMPRESSED = {name: gzip.compress(plain, mtime=0) for name, plain in PLAIN.items()}


def published(digest_of: Literal["compressed", "uncompressed"] = "uncompressed") -> PublishedSet:
    """A data set like MNIST, of the files above, with two mirrors."""
    stored = COMPRESSED if digest_of == "compressed" else PLAIN
    return PublishedSet(
        name="small",
        files=tuple(
            PublishedFile(name, dimensions, "sha256", digest_of, hashlib.sha256(stored[name]).hexdigest())
            for name, dimensions in FILE_NAMES
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


# The embedded digits


def test_digits() -> None:
    dataset = load("digits", height=8, width=8, classes=10)
    assert dataset.name == "digits"
    assert dataset.train_images.shape == (1437, 8, 8)
    assert dataset.test_images.shape == (360, 8, 8)
    assert dataset.train_labels[:10].tolist() == list(range(10))
    assert np.bincount(dataset.test_labels).tolist() == [35, 36, 35, 37, 37, 37, 37, 36, 33, 37]
    # 0 to 16, scaled to 0 to 255: 8 is 127.5, rounded up. The first row of the first image is 0 0 5 13 9 1 0 0.
    assert dataset.train_images[0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
    assert sorted(set(dataset.train_images.ravel().tolist())) == [(v * 255 + 8) // 16 for v in range(17)]
    for values in (dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels):
        assert values.dtype == np.uint8


def test_digits_are_small_and_credited() -> None:
    files = list(DIGITS_FOLDER.iterdir())
    assert sum(file.stat().st_size for file in files) < 100_000
    notice = (DIGITS_FOLDER / "README.md").read_text()
    assert "Alpaydin" in notice
    assert "CC BY 4.0" in notice


def test_digits_resampled_and_limited() -> None:
    whole = load("digits", height=8, width=8, classes=10)
    dataset = load("digits", height=4, width=12, classes=10, train_limit=7, test_limit=1)
    assert np.array_equal(dataset.train_images, resample(whole.train_images[:7], 4, 12))
    assert np.array_equal(dataset.test_images, resample(whole.test_images[:1], 4, 12))
    assert np.array_equal(dataset.train_labels, whole.train_labels[:7])
    assert np.array_equal(dataset.test_labels, whole.test_labels[:1])


@pytest.mark.parametrize("limit", [0, -1, 1438])
def test_limit_out_of_range(limit: int) -> None:
    message = message_of(lambda: load("digits", classes=10, train_limit=limit))
    assert message == f"train_limit: {limit}; accepted: 1 to 1437, the number of images"


def test_test_limit_out_of_range() -> None:
    message = message_of(lambda: load("digits", classes=10, test_limit=361))
    assert message == "test_limit: 361; accepted: 1 to 360, the number of images"


def test_size_out_of_range() -> None:
    assert "height is 0; accepted: 1 to 4096" in message_of(lambda: load("digits", classes=10, height=0))


def test_too_few_classes_for_digits() -> None:
    message = message_of(lambda: load("digits", classes=4))
    assert "labels-idx1-ubyte.gz: label 4 at index 4; accepted: 0 to 3, for 4 classes" in message


# Folders of idx files


@pytest.mark.parametrize("compressed", [False, True])
def test_folder(tmp_path: Path, compressed: bool) -> None:
    dataset = load(write(tmp_path / "mine", compressed=compressed))
    assert dataset.name == str(tmp_path / "mine")
    assert_whole(dataset)


@pytest.mark.parametrize("name", ["", "cifar", "MNIST", "no\nsuch", "nul\0"])
def test_unknown_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = message_of(lambda: load(name))
    assert message.startswith(f"data set {name if name.isprintable() and name else repr(name)}: ")
    assert message.endswith("accepted: digits, mnist, fashion-mnist or the path of a folder of idx files")


def test_name_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert message_of(lambda: load(path)).startswith(f"data set {path}: Not a directory; accepted: digits, ")


def test_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Injected, because the superuser may list everything.
    def refuse(path: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    message = message_of(lambda: load(tmp_path))
    assert message.startswith(f"data set {tmp_path}: Permission denied; accepted: digits, ")


@pytest.mark.parametrize("name", NAMES)
def test_folder_lacks_a_file(tmp_path: Path, name: str) -> None:
    (write(tmp_path) / name).unlink()
    message = message_of(lambda: load(tmp_path))
    assert message == f"data set {tmp_path}: the folder holds no {name}; accepted: {name} or {name}.gz"


@pytest.mark.parametrize("name", NAMES)
def test_folder_with_a_damaged_file(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, compressed=True) / f"{name}.gz"
    path.write_bytes(COMPRESSED[name][:-3])
    assert message_of(lambda: load(tmp_path)).startswith(f"{path}: truncated gzip")


def test_labels_for_images(tmp_path: Path) -> None:
    path = write(tmp_path) / NAMES[3]
    path.write_bytes(encode(np.zeros(4, dtype=np.uint8)))
    message = message_of(lambda: load(tmp_path))
    assert message == f"{path}: 4 labels; accepted: 3, one for each image of {tmp_path / NAMES[2]}"


def test_label_out_of_range(tmp_path: Path) -> None:
    write(tmp_path)
    message = message_of(lambda: load(tmp_path, classes=3))
    assert message == f"{tmp_path / NAMES[1]}: label 3 at index 3; accepted: 0 to 2, for 3 classes"


def test_test_images_of_another_size(tmp_path: Path) -> None:
    path = write(tmp_path) / NAMES[2]
    path.write_bytes(encode(np.zeros((3, 5, 4), dtype=np.uint8)))
    assert message_of(lambda: load(tmp_path)) == f"{path}: images of 5x4; accepted: 5x5, as {tmp_path / NAMES[0]}"


# Published data sets in the data folder or the cache folder


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("place", [".", "small"])
def test_data_folder(tmp_path: Path, place: str, compressed: bool) -> None:
    write(tmp_path / place, compressed=compressed)
    files = load_published(published(), data_dir=tmp_path, cache_dir=tmp_path / "cache", opener=forbidden)
    for file, expected in zip(files, VALUES, strict=True):
        assert np.array_equal(file.values, expected)
    assert not (tmp_path / "cache").exists()


def test_data_folder_without_the_set_gives_way_to_the_cache(tmp_path: Path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    data.mkdir()
    write(cache / "small", compressed=True)
    lines: list[str] = []
    load_published(published(), data_dir=data, cache_dir=cache, echo=lines.append, opener=forbidden)
    assert lines == [f"{data} holds no file of small: using the cache folder"]


def test_data_folder_missing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    message = message_of(lambda: load("mnist", data_dir=data, cache_dir=tmp_path))
    assert message == f"data folder {data}: No such file or directory; accepted: an existing, readable folder"


def test_data_folder_with_a_part_of_the_set(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / NAMES[1]).unlink()
    (tmp_path / NAMES[2]).unlink()
    message = message_of(lambda: load_published(published(), data_dir=tmp_path, cache_dir=tmp_path, opener=forbidden))
    assert message == f"data folder {tmp_path}: no {NAMES[1]}, {NAMES[2]}; accepted: all files of small"


@pytest.mark.parametrize("where", ["data_dir", "cache_dir"])
@pytest.mark.parametrize("compressed", [False, True])
def test_mnist_must_be_mnist(tmp_path: Path, where: str, compressed: bool) -> None:
    folder = write(tmp_path / "mnist", compressed=compressed)
    path = folder / (f"{NAMES[0]}.gz" if compressed else NAMES[0])
    message = message_of(lambda: load("mnist", **{where: tmp_path}))
    found = hashlib.sha256(PLAIN[NAMES[0]]).hexdigest()
    assert message.startswith(
        f"{path}: sha256 of the uncompressed file is {found}; "
        "accepted: ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    )


def test_fashion_mnist_must_be_fashion_mnist(tmp_path: Path) -> None:
    write(tmp_path, compressed=True)
    message = message_of(lambda: load("fashion-mnist", data_dir=tmp_path))
    found = hashlib.md5(COMPRESSED[NAMES[0]]).hexdigest()
    assert message.startswith(
        f"{tmp_path / NAMES[0]}.gz: md5 of the compressed file is {found}; accepted: 8d4fb7e6c68d591d4c3dfef9ec88bf0d"
    )


def test_fashion_mnist_cannot_be_checked_uncompressed(tmp_path: Path) -> None:
    path = write(tmp_path) / NAMES[0]
    message = message_of(lambda: load("fashion-mnist", data_dir=tmp_path))
    assert message == f"{path}: cannot be checked uncompressed; accepted: {NAMES[0]}.gz as published"


def test_published_digests_are_well_formed() -> None:
    for known in (MNIST, FASHION_MNIST):
        assert tuple((file.name, file.dimensions) for file in known.files) == FILE_NAMES
        for file in known.files:
            assert len(bytes.fromhex(file.digest)) == hashlib.new(file.algorithm).digest_size
        assert all(mirror.endswith("/") for mirror in known.mirrors)


def test_default_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path.home()
    assert default_cache_dir({"XDG_CACHE_HOME": "/somewhere"}) == Path("/somewhere/crosspoint")
    for environment in ({}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "relative"}):
        assert default_cache_dir(environment) == home / ".cache" / "crosspoint"

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    message = message_of(lambda: default_cache_dir({"XDG_CACHE_HOME": "relative"}))
    assert message == "XDG_CACHE_HOME: 'relative' without a home directory; accepted: an absolute path"


# Downloads


def answers_of(mirror: str) -> dict[str, bytes | Exception]:
    return {f"{mirror}{name}.gz": COMPRESSED[name] for name in NAMES}


@pytest.mark.parametrize("digest_of", ["compressed", "uncompressed"])
def test_download_fills_the_cache_once(tmp_path: Path, digest_of: Literal["compressed", "uncompressed"]) -> None:
    cache, lines = tmp_path / "new" / "cache", list[str]()
    opener = serving(answers_of("http://first.invalid/"))
    files = load_published(published(digest_of), data_dir=None, cache_dir=cache, echo=lines.append, opener=opener)
    for file, expected in zip(files, VALUES, strict=True):
        assert np.array_equal(file.values, expected)
    assert lines == [f"downloading http://first.invalid/{name}.gz" for name in NAMES]
    stored = {path.name: path.read_bytes() for path in (cache / "small").iterdir()}
    assert stored == {f"{name}.gz": COMPRESSED[name] for name in NAMES}
    load_published(published(digest_of), data_dir=None, cache_dir=cache, opener=forbidden)


FILE = published().files[0]
URL = f"http://first.invalid/{FILE.name}.gz"
OTHER_URL = f"http://second.invalid/{FILE.name}.gz"


def fetch_from(
    folder: Path, answers: dict[str, bytes | Exception], opened: list[str] | None = None, maximum_bytes: int = 10_000
) -> NDArray[np.uint8]:
    return fetch(
        FILE,
        published().mirrors,
        folder,
        echo=lambda line: None,
        opener=serving(answers, opened),
        maximum_bytes=maximum_bytes,
    ).values


OTHER = encode(np.zeros((6, 5, 5), dtype=np.uint8))

BAD_ANSWERS: list[tuple[bytes | Exception, str]] = [
    (urllib.error.URLError(OSError(101, "Network is unreachable")), "Network is unreachable"),
    (TimeoutError(), "TimeoutError"),
    (TimeoutError("The read operation timed out"), "timed out"),
    (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
    (IncompleteRead(b"part"), "IncompleteRead"),
    (ValueError("two\nlines"), r"two\nlines"),
    (b"", "what was sent: empty file"),
    (b"<html>not found</html>", "what was sent: corrupt gzip"),
    (COMPRESSED[FILE.name][:-9], "what was sent: truncated gzip"),
    (COMPRESSED[NAMES[1]], "what was sent: 1 dimensions"),
    (
        gzip.compress(OTHER, mtime=0),
        f"what was sent: sha256 of the uncompressed file is {hashlib.sha256(OTHER).hexdigest()}",
    ),
    (bytes(10_001), "sent more than 10000 bytes"),
]


@pytest.mark.parametrize(("answer", "reason"), BAD_ANSWERS, ids=[reason.split(" of ")[0] for _, reason in BAD_ANSWERS])
def test_bad_mirror(tmp_path: Path, answer: bytes | Exception, reason: str) -> None:
    folder = tmp_path / "cache"
    # Another mirror makes up for it.
    assert np.array_equal(fetch_from(folder, {URL: answer, OTHER_URL: COMPRESSED[FILE.name]}), VALUES[0])
    (folder / f"{FILE.name}.gz").unlink()
    # No mirror: what was tried, what happened, and what to do, and nothing is left behind.
    message = message_of(lambda: fetch_from(folder, {URL: answer, OTHER_URL: answer}))
    assert message.startswith(f"{FILE.name}.gz: cannot be downloaded (tried {URL}: ")
    assert f"; {OTHER_URL}: " in message
    assert message.count(reason) == 2
    assert message.endswith(f"accepted: a working connection, or --data-dir DIR with DIR holding {FILE.name}.gz")
    assert list(folder.iterdir()) == []
    # Later, with the mirror well again.
    opened: list[str] = []
    assert np.array_equal(fetch_from(folder, {URL: COMPRESSED[FILE.name]}, opened), VALUES[0])
    assert opened == [URL]


def test_offline_mnist(tmp_path: Path) -> None:
    message = message_of(lambda: load("mnist", cache_dir=tmp_path, opener=offline))
    assert message.startswith("train-images-idx3-ubyte.gz: cannot be downloaded (tried https://ossci-datasets.")
    assert message.count("Network is unreachable") == 2
    assert "--data-dir DIR" in message
    assert list(tmp_path.iterdir()) == []


def test_slow_mirror(tmp_path: Path) -> None:
    message = message_of(
        lambda: fetch(
            FILE,
            ["http://first.invalid/"],
            tmp_path,
            echo=lambda line: None,
            opener=serving({URL: COMPRESSED[FILE.name]}),
            deadline_seconds=-1.0,
        )
    )
    assert f"tried {URL}: not complete after -1 seconds" in message


def test_remains_of_a_killed_download_are_not_used(tmp_path: Path) -> None:
    (tmp_path / f".{FILE.name}.gz.abc.part").write_bytes(b"part")
    assert np.array_equal(fetch_from(tmp_path, {URL: COMPRESSED[FILE.name]}), VALUES[0])
    assert (tmp_path / f"{FILE.name}.gz").read_bytes() == COMPRESSED[FILE.name]


def test_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    message = message_of(lambda: fetch_from(in_the_way, {URL: COMPRESSED[FILE.name]}))
    assert message.startswith(f"{in_the_way / FILE.name}.gz: cannot be written (File exists); accepted: a writable")
    assert "--data-dir DIR" in message

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    folder = tmp_path / "cache"
    assert "(No space left on device)" in message_of(lambda: fetch_from(folder, {URL: COMPRESSED[FILE.name]}))
    assert list(folder.iterdir()) == []


def test_interrupted_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch_from(tmp_path, {URL: COMPRESSED[FILE.name]})
    assert list(tmp_path.iterdir()) == []


class Handler(BaseHTTPRequestHandler):
    """``/good/`` has the files, ``/short/`` ends early, ``/silent/`` hangs up, and the rest is not found."""

    def do_GET(self) -> None:
        _, place, name = self.path.split("/")
        body = COMPRESSED[name.removesuffix(".gz")]
        if place == "silent":
            return
        self.send_response(200 if place in ("good", "short") else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:-4] if place == "short" else body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def loopback() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(5)


def test_real_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def get(*mirrors: str) -> NDArray[np.uint8]:
        return fetch(FILE, mirrors, tmp_path, echo=lambda line: None, opener=open_url).values

    with loopback() as address:
        bad = [f"{address}/{place}/" for place in ("short", "missing", "silent")]
        message = message_of(lambda: get(*bad))
        assert "/short/train-images-idx3-ubyte.gz: what was sent: truncated gzip" in message
        assert "/missing/train-images-idx3-ubyte.gz: HTTP Error 404: Not Found" in message
        assert "/silent/train-images-idx3-ubyte.gz: " in message
        assert list(tmp_path.iterdir()) == []
        assert np.array_equal(get(bad[0], f"{address}/good/"), VALUES[0])
    # The server is gone: nobody listens.
    assert "Connection refused" in message_of(lambda: get(f"{address}/good/"))


def test_real_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "SILENCE_SECONDS", 0.1)
    # Connections are taken by the system, and never answered.
    with socket.create_server(("127.0.0.1", 0)) as server:
        mirror = f"http://127.0.0.1:{server.getsockname()[1]}/"
        message = message_of(lambda: fetch(FILE, [mirror], tmp_path, echo=lambda line: None))
    assert f"(tried {mirror}{FILE.name}.gz: timed out)" in message
