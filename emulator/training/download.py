"""Published data sets: which files they are, how each is checked, and how they are fetched."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from tqdm import tqdm

from emulator.atomic import write_atomically
from emulator.errors import DataError
from emulator.training.idx import IdxFile, decode_idx, printable

#: No published file is larger than this, compressed; a mirror that sends more is sending something else.
MAXIMUM_DOWNLOAD_BYTES = 64 << 20

PIECE_BYTES = 1 << 16

#: A mirror that is silent for this long is given up.
SILENCE_SECONDS = 30.0

#: A mirror that has not delivered a file after this long is given up, even if it still sends.
DEADLINE_SECONDS = 900.0

Opener = Callable[[str], AbstractContextManager[IO[bytes]]]


@dataclass(frozen=True)
class PublishedFile:
    """One idx file of a data set and the digest that identifies it, of the file as published or uncompressed."""

    name: str
    dimensions: int
    algorithm: Literal["sha256", "md5"]
    digest_of: Literal["compressed", "uncompressed"]
    digest: str

    def check(self, file: IdxFile) -> None:
        """Raises ``DataError``, naming ``file`` and both digests, if ``file`` is not the published one."""
        data = file.stored if self.digest_of == "compressed" else file.content
        # MD5 where that is what was published: it tells damage and other files, not a forger.
        found = hashlib.new(self.algorithm, data, usedforsecurity=False).hexdigest()
        if found != self.digest:
            raise DataError(
                f"{file.source}: {self.algorithm} of the {self.digest_of} file is {found}; accepted: {self.digest} "
                "(idx files of your own: name their folder as the data set)"
            )


@dataclass(frozen=True)
class PublishedSet:
    """A data set: its four files, in the order of ``FILE_NAMES``, and where to get them, in the order of preference.

    A mirror is an address that ends in a slash, to which ``NAME.gz`` is appended.
    """

    name: str
    files: tuple[PublishedFile, ...]
    mirrors: tuple[str, ...]


#: The four idx files of every data set, with their number of dimensions, in the order of use.
FILE_NAMES = (
    ("train-images-idx3-ubyte", 3),
    ("train-labels-idx1-ubyte", 1),
    ("t10k-images-idx3-ubyte", 3),
    ("t10k-labels-idx1-ubyte", 1),
)

MNIST_SHA256 = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)

FASHION_MNIST_MD5 = (
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79",
    "bb300cfdad3c16e7a12a480ee83cd310",
)

MNIST = PublishedSet(
    name="mnist",
    files=tuple(
        PublishedFile(name, dimensions, "sha256", "uncompressed", digest)
        for (name, dimensions), digest in zip(FILE_NAMES, MNIST_SHA256, strict=True)
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)

FASHION_MNIST = PublishedSet(
    name="fashion-mnist",
    files=tuple(
        PublishedFile(name, dimensions, "md5", "compressed", digest)
        for (name, dimensions), digest in zip(FILE_NAMES, FASHION_MNIST_MD5, strict=True)
    ),
    mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
)


def open_url(url: str) -> AbstractContextManager[IO[bytes]]:
    """The response to a GET of ``url``; raises ``OSError`` or ``http.client.HTTPException`` if there is none."""
    response: AbstractContextManager[IO[bytes]] = urllib.request.urlopen(url, timeout=SILENCE_SECONDS)
    return response


def fetch(
    file: PublishedFile,
    mirrors: Sequence[str],
    folder: Path,
    *,
    echo: Callable[[str], None],
    opener: Opener = open_url,
    maximum_bytes: int = MAXIMUM_DOWNLOAD_BYTES,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> IdxFile:
    """Downloads ``file`` from the first of ``mirrors`` that delivers it whole and correct, into ``folder``.

    The bytes are checked in memory before anything is written, and then appear in ``folder`` as ``NAME.gz`` at once
    or not at all. Raises ``DataError`` with what was tried if no mirror delivers, or if ``folder`` is not writable.
    """
    name = f"{file.name}.gz"
    failures = []
    for mirror in mirrors:
        url = mirror + name
        echo(f"downloading {url}")
        try:
            stored = _receive(url, opener, maximum_bytes, deadline_seconds)
            content = decode_idx(stored, "what was sent", file.dimensions, compressed=True)
            file.check(content)
        # ValueError: an address or a header the library cannot parse.
        except (OSError, http.client.HTTPException, ValueError, DataError) as error:
            failures.append(f"{url}: {printable(error) or type(error).__name__}")
            continue
        _store(stored, folder / name)
        return content
    raise DataError(
        f"{name}: cannot be downloaded (tried {'; '.join(failures)}); "
        f"accepted: a working connection, or --data-dir DIR with DIR holding {name}"
    )


def _receive(url: str, opener: Opener, maximum_bytes: int, deadline_seconds: float) -> bytes:
    """All that ``url`` sends. Raises ``DataError`` if that is more than ``maximum_bytes`` or takes too long."""
    give_up = time.monotonic() + deadline_seconds
    received = bytearray()
    # tqdm shows nothing unless the error output is a terminal.
    with opener(url) as response, tqdm(unit="B", unit_scale=True, leave=False, disable=None) as progress:
        while piece := response.read(PIECE_BYTES):
            received += piece
            progress.update(len(piece))
            if len(received) > maximum_bytes:
                raise DataError(f"sent more than {maximum_bytes} bytes")
            if time.monotonic() > give_up:
                raise DataError(f"not complete after {deadline_seconds:g} seconds")
    return bytes(received)


def _store(stored: bytes, path: Path) -> None:
    """Writes ``stored`` to ``path`` so that no reader, and no crash, ever sees a part of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, stored)
    except OSError as error:
        raise DataError(
            f"{printable(path)}: cannot be written ({printable(error.strerror or error)}); "
            f"accepted: a writable cache folder, or --data-dir DIR with DIR holding {path.name}"
        ) from error
