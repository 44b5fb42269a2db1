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
from emulator.training.idx import Holds, IdxFile, decode_idx, printable

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
    """One idx file of a data set and the SHA-256 that identifies it, of the file as published or uncompressed."""

    name: str
    holds: Holds
    digest_of: Literal["compressed", "uncompressed"]
    digest: str

    def check(self, file: IdxFile) -> None:
        """Raises ``DataError``, naming ``file`` and both digests, if ``file`` is not the published one.

        If the digest is of the published gzip file, an uncompressed one cannot be checked and is refused too.
        """
        if self.digest_of == "compressed" and not file.compressed:
            raise DataError(
                f"{file.source}: cannot be checked uncompressed; accepted: {self.name}.gz as published "
                "(without a check: name the folder as the data set)"
            )
        data = file.stored if self.digest_of == "compressed" else file.content
        found = hashlib.sha256(data).hexdigest()
        if found != self.digest:
            raise DataError(
                f"{file.source}: sha256 of the {self.digest_of} file is {found}; accepted: {self.digest} "
                "(idx files of your own: name their folder as the data set)"
            )


@dataclass(frozen=True)
class PublishedSet:
    """A data set: its four files, in the order of ``FILE_NAMES``, and where to get them, in the order of preference.

    ``torchvision`` is the folder in which torchvision keeps the files, below the one that it is given. A mirror is an
    address that ends in a slash, to which ``NAME.gz`` is appended.
    """

    name: str
    torchvision: str
    files: tuple[PublishedFile, ...]
    mirrors: tuple[str, ...]


#: The four idx files of every data set, with what they hold, in the order of use.
FILE_NAMES: tuple[tuple[str, Holds], ...] = (
    ("train-images-idx3-ubyte", "images"),
    ("train-labels-idx1-ubyte", "labels"),
    ("t10k-images-idx3-ubyte", "images"),
    ("t10k-labels-idx1-ubyte", "labels"),
)

MNIST_SHA256 = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)

#: Of the .gz files, as TensorFlow Datasets (url_checksums/fashion_mnist.txt) and Keras (datasets/fashion_mnist.py)
#: have them; both give the same four.
FASHION_MNIST_SHA256 = (
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
)

MNIST = PublishedSet(
    name="mnist",
    torchvision="MNIST/raw",
    files=tuple(
        PublishedFile(name, holds, "uncompressed", digest)
        for (name, holds), digest in zip(FILE_NAMES, MNIST_SHA256, strict=True)
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)

FASHION_MNIST = PublishedSet(
    name="fashion-mnist",
    torchvision="FashionMNIST/raw",
    files=tuple(
        PublishedFile(name, holds, "compressed", digest)
        for (name, holds), digest in zip(FILE_NAMES, FASHION_MNIST_SHA256, strict=True)
    ),
    # The publisher's bucket by https, which its address as a web site does not speak, and the copy that Keras uses.
    mirrors=(
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
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
            content = decode_idx(stored, "what was sent", file.holds)
            if not content.compressed:
                raise DataError("what was sent: not compressed; accepted: gzip")
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
