"""Data sets of small labelled images, resampled to the input of the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.errors import DataError
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
from emulator.training.idx import IdxFile, printable, read_idx
from emulator.training.resample import resample

DIGITS = "digits"
DIGITS_FOLDER = Path(__file__).with_name("digits")
DIGITS_TRAINING_COUNT = 1437
DIGITS_BRIGHTEST = 16

Bytes = NDArray[np.uint8]
Echo = Callable[[str], None]


@dataclass(frozen=True)
class Dataset:
    """Images, shape (count, height, width), pixels 0 to 255, and their labels, shape (count,)."""

    name: str
    train_images: Bytes
    train_labels: Bytes
    test_images: Bytes
    test_labels: Bytes


def silent(message: str) -> None:
    """An ``echo`` that shows nothing."""


def load_dataset(
    name: str,
    *,
    height: int,
    width: int,
    classes: int,
    data_dir: Path | None = None,
    train_limit: int | None = None,
    test_limit: int | None = None,
    cache_dir: Path | None = None,
    echo: Echo = silent,
    opener: Opener = open_url,
) -> Dataset:
    """The data set ``name``: images resampled to (``height``, ``width``), labels checked to be below ``classes``.

    ``name`` is one of

    - ``digits``: part of this package; 1437 training and 360 test images of 8x8;
    - ``mnist`` or ``fashion-mnist``: four idx files, all in ``data_dir/NAME`` or all in ``data_dir``; if ``data_dir``
      is not given or holds none of them, in ``cache_dir/NAME`` (default: see ``default_cache_dir``), where those
      missing are downloaded. Wherever they are, they must be the published files;
    - the path of a folder of idx files ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
      ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``.

    An idx file may have ``.gz`` appended to its name and be gzip; if both are there, the ``.gz`` is read. Files of
    ``fashion-mnist`` must be ``.gz``, since that is the form their digests are known for.

    ``train_limit`` and ``test_limit`` take the first so many images. ``echo`` gets a line for each download, which
    is made through ``opener``. Raises ``DataError`` if anything is missing, unreadable, corrupt or out of range.
    """
    if name == DIGITS:
        whole = _digits(classes)
    elif name in (MNIST.name, FASHION_MNIST.name):
        published = MNIST if name == MNIST.name else FASHION_MNIST
        files = load_published(published, data_dir=data_dir, cache_dir=cache_dir, echo=echo, opener=opener)
        whole = _dataset(name, files, classes)
    else:
        whole = _dataset(name, _load_folder(name), classes)
    train_count = _limit("train_limit", train_limit, len(whole.train_labels))
    test_count = _limit("test_limit", test_limit, len(whole.test_labels))
    return Dataset(
        name,
        resample(whole.train_images[:train_count], height, width),
        whole.train_labels[:train_count],
        resample(whole.test_images[:test_count], height, width),
        whole.test_labels[:test_count],
    )


def default_cache_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """``crosspoint`` in ``XDG_CACHE_HOME`` if that is an absolute path, as its specification asks, or in ``~/.cache``.

    Raises ``DataError`` if there is no home directory either.
    """
    base = environment.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "crosspoint"
    try:
        return Path.home() / ".cache" / "crosspoint"
    except RuntimeError as error:
        raise DataError(f"XDG_CACHE_HOME: {base!r} without a home directory; accepted: an absolute path") from error


def load_published(
    published: PublishedSet,
    *,
    data_dir: Path | None,
    cache_dir: Path | None,
    echo: Echo = silent,
    opener: Opener = open_url,
) -> list[IdxFile]:
    """The files of ``published``, in their order, each checked; arguments and errors as of ``load_dataset``."""
    if data_dir is not None:
        _check_folder(data_dir, f"data folder {printable(data_dir)}", "an existing, readable folder")
        for folder in (data_dir / published.name, data_dir):
            found = {file.name: _read_published(file, folder) for file in published.files}
            present = [content for content in found.values() if content is not None]
            if len(present) == len(found):
                return present
            if present:
                missing = ", ".join(name for name, content in found.items() if content is None)
                raise DataError(
                    f"data folder {printable(folder)}: no {missing}; accepted: all files of {published.name}"
                )
        echo(f"{printable(data_dir)} holds no file of {published.name}: using the cache folder")
    cache = (default_cache_dir() if cache_dir is None else cache_dir) / published.name
    files = []
    for file in published.files:
        content = _read_published(file, cache)
        if content is None:
            content = fetch(file, published.mirrors, cache, echo=echo, opener=opener)
        files.append(content)
    return files


def _read_published(file: PublishedFile, folder: Path) -> IdxFile | None:
    """``file`` from ``folder``, checked to be the published one; None if it is not there."""
    compressed, plain = folder / f"{file.name}.gz", folder / file.name
    content = read_idx([compressed, plain], file.dimensions)
    if content is None:
        return None
    if file.digest_of == "compressed" and not content.compressed:
        raise DataError(f"{content.source}: cannot be checked uncompressed; accepted: {compressed.name} as published")
    file.check(content)
    return content


def _load_folder(name: str) -> list[IdxFile]:
    """The four idx files of the folder ``name``, in their order."""
    # Checked as text: an empty name is no folder, but as a ``Path`` it would be the current one.
    expanded = os.path.expanduser(name)
    _check_folder(
        expanded,
        f"data set {printable(name) or repr(name)}",
        f"{DIGITS}, {MNIST.name}, {FASHION_MNIST.name} or the path of a folder of idx files",
    )
    folder = Path(expanded)
    files = []
    for file_name, dimensions in FILE_NAMES:
        content = read_idx([folder / f"{file_name}.gz", folder / file_name], dimensions)
        if content is None:
            raise DataError(
                f"data set {printable(name)}: the folder holds no {file_name}; accepted: {file_name} or {file_name}.gz"
            )
        files.append(content)
    return files


def _check_folder(folder: Path | str, what: str, accepted: str) -> None:
    """Raises ``DataError`` that ``what`` is not ``accepted`` if ``folder`` is not a folder or cannot be listed."""
    try:
        with os.scandir(folder):
            pass
    except (OSError, ValueError) as error:  # ValueError: a path with characters no file name can have
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise DataError(f"{what}: {printable(reason)}; accepted: {accepted}") from error


def _digits(classes: int) -> Dataset:
    """The handwritten digits of this package, their pixels 0 to 16 scaled to 0 to 255, halves rounded up."""
    pixels, labels = (DIGITS_FOLDER / f"{name}.gz" for name in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    image_file, label_file = read_idx([pixels], 3), read_idx([labels], 1)
    if image_file is None or label_file is None:
        raise DataError(
            f"data set {DIGITS}: its files are missing in {printable(DIGITS_FOLDER)}; accepted: a whole package"
        )
    _check_pair(image_file, label_file, classes)
    twice = 2 * 255 * image_file.values.astype(np.int64) + DIGITS_BRIGHTEST
    images = (twice // (2 * DIGITS_BRIGHTEST)).astype(np.uint8)
    split = DIGITS_TRAINING_COUNT
    return Dataset(DIGITS, images[:split], label_file.values[:split], images[split:], label_file.values[split:])


def _dataset(name: str, files: list[IdxFile], classes: int) -> Dataset:
    """The data set of four ``files``, in the order of ``FILE_NAMES``, checked to belong together."""
    train_images, train_labels, test_images, test_labels = files
    _check_pair(train_images, train_labels, classes)
    _check_pair(test_images, test_labels, classes)
    size, accepted = (f"{file.values.shape[1]}x{file.values.shape[2]}" for file in (test_images, train_images))
    if size != accepted:
        raise DataError(f"{test_images.source}: images of {size}; accepted: {accepted}, as {train_images.source}")
    return Dataset(name, *(file.values for file in files))


def _check_pair(images: IdxFile, labels: IdxFile, classes: int) -> None:
    """Raises ``DataError`` if there is not one label for each image, or a label is not below ``classes``."""
    if len(images.values) != len(labels.values):
        raise DataError(
            f"{labels.source}: {len(labels.values)} labels; accepted: {len(images.values)}, "
            f"one for each image of {images.source}"
        )
    outside = np.flatnonzero(labels.values >= classes)
    if len(outside):
        raise DataError(
            f"{labels.source}: label {labels.values[outside[0]]} at index {outside[0]}; "
            f"accepted: 0 to {classes - 1}, for {classes} classes"
        )


def _limit(what: str, limit: int | None, available: int) -> int:
    """How many of ``available`` images to take: ``limit``, checked, or all if it is None."""
    if limit is None:
        return available
    if not 1 <= limit <= available:
        raise DataError(f"{what}: {limit}; accepted: 1 to {available}, the number of images")
    return limit
