"""Data sets are downloaded once, checked, and kept; whatever a mirror answers. No test needs the network."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import threading
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import IncompleteRead
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from emulator.training import download
from emulator.training.datasets import load_published
from emulator.training.download import fetch, open_url
from tests.training.idx_files import (
    COMPRESSED,
    NAMES,
    PLAIN,
    VALUES,
    encode,
    forbidden,
    load,
    message_of,
    offline,
    published,
    serving,
)


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
    (b"", "what was sent: an empty file"),
    (b"<html>not found</html>", "what was sent: an HTML page"),
    (PLAIN[FILE.name], "what was sent: not compressed"),
    (COMPRESSED[FILE.name][:-9], "what was sent: truncated gzip"),
    (COMPRESSED[NAMES[1]], "what was sent: 1 dimension of unsigned bytes"),
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


def test_offline_fashion_mnist(tmp_path: Path) -> None:
    message = message_of(lambda: load("fashion-mnist", cache_dir=tmp_path, opener=offline))
    assert "(tried https://fashion-mnist.s3.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz: " in message
    assert "; https://storage.googleapis.com/tensorflow/tf-keras-datasets/train-images-idx3-ubyte.gz: " in message


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
