"""Data sets of small labelled images, resampled to the input of the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
from emulator.training.folder import find_set, idx_sets, listing
from emulator.training.idx import IdxFile, Integers, printable, read_idx
from emulator.training.resample import resample

DIGITS = "digits"
DIGITS_FOLDER = Path(__file__).with_name("digits")
DIGITS_TRAINING_COUNT = 1437
DIGITS_BRIGHTEST = 16

#: Labels are bytes.
MAXIMUM_CLASSES = 256

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
    - ``mnist`` or ``fashion-mnist``: four idx files, all in ``data_dir/NAME``, in the folder that torchvision makes in
      ``data_dir``, or in ``data_dir``; if ``data_dir`` is not given or holds none of them, in ``cache_dir/NAME``
      (default: see ``default_cache_dir``), where those missing are downloaded. Wherever they are, they must be the
      published files;
    - the path of a folder of idx files ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
      ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, or of one set of EMNIST or QMNIST (names: see
      ``emulator.training.folder``). Images of EMNIST, published with rows and columns exchanged, are turned upright.
      Labels 1 to ``classes``, as in EMNIST's letters, become 0 to ``classes`` - 1.

    An idx file may be plain or gzip, whatever its name. Files of ``fashion-mnist`` must be gzip, since that is the form
    their digests are known for.

    ``train_limit`` and ``test_limit`` take the first so many images. ``echo`` gets a line for each download, which
    is made through ``opener``, and for each change of images or labels. Raises ``DataError`` if anything is missing,
    unreadable, corrupt or out of range.
    """
    if name == DIGITS:
        whole = _digits(classes)
    elif name in (MNIST.name, FASHION_MNIST.name):
        published = MNIST if name == MNIST.name else FASHION_MNIST
        files = load_published(published, data_dir=data_dir, cache_dir=cache_dir, echo=echo, opener=opener)
        whole = _dataset(name, files, classes, echo)
    else:
        whole = _dataset(name, _load_folder(name, echo), classes, echo)
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
        for place in (published.name, published.torchvision, ""):
            found = idx_sets(data_dir, place).get("")
            if found is None:
                continue
            if found.missing:
                folder = data_dir / place
                raise DataError(
                    f"data folder {printable(folder)}: no {', '.join(found.missing)} (it holds {listing(folder)}); "
                    f"accepted: all files of {published.name}"
                )
            return [_read_published(file, found.files[file.name]) for file in published.files]
        echo(
            f"{printable(data_dir)} holds no file of {published.name} (it holds {listing(data_dir)}): "
            "using the cache folder"
        )
    cache = (default_cache_dir() if cache_dir is None else cache_dir) / published.name
    cached = idx_sets(cache).get("")
    files = {} if cached is None else cached.files
    return [
        _read_published(file, files[file.name])
        if file.name in files
        else fetch(file, published.mirrors, cache, echo=echo, opener=opener)
        for file in published.files
    ]


def _read_published(file: PublishedFile, path: Path) -> IdxFile:
    """``file`` from ``path``, checked to be the published one."""
    content = read_idx(path, file.holds)
    file.check(content)
    return content


def _load_folder(name: str, echo: Echo) -> list[IdxFile]:
    """The four idx files of the folder ``name``, in the order of ``FILE_NAMES``, their images upright."""
    # Checked as text: an empty name is no folder, but as a ``Path`` it would be the current one.
    expanded = os.path.expanduser(name)
    _check_folder(
        expanded,
        f"data set {printable(name) or repr(name)}",
        f"{DIGITS}, {MNIST.name}, {FASHION_MNIST.name} or the path of a folder of idx files",
    )
    found = find_set(Path(expanded))
    files = [read_idx(found.files[file_name], holds) for file_name, holds in FILE_NAMES]
    if not found.transposed:
        return files
    echo(f"{found.label}: images are turned upright, rows and columns exchanged, as EMNIST is published")
    return [
        replace(file, values=np.ascontiguousarray(file.values.transpose(0, 2, 1))) if holds == "images" else file
        for file, (_, holds) in zip(files, FILE_NAMES, strict=True)
    ]


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
    image_file = read_idx(DIGITS_FOLDER / "images-idx3-ubyte.gz", "images")
    label_file = read_idx(DIGITS_FOLDER / "labels-idx1-ubyte.gz", "labels")
    _check_pair(image_file, label_file)
    (labels,) = _labels([label_file], classes, silent)
    twice = 2 * 255 * image_file.values.astype(np.int64) + DIGITS_BRIGHTEST
    images = (twice // (2 * DIGITS_BRIGHTEST)).astype(np.uint8)
    split = DIGITS_TRAINING_COUNT
    return Dataset(DIGITS, images[:split], labels[:split], images[split:], labels[split:])


def _dataset(name: str, files: list[IdxFile], classes: int, echo: Echo) -> Dataset:
    """The data set of four ``files``, in the order of ``FILE_NAMES``, checked to belong together."""
    train_images, train_labels, test_images, test_labels = files
    _check_pair(train_images, train_labels)
    _check_pair(test_images, test_labels)
    size, accepted = (f"{file.values.shape[1]}x{file.values.shape[2]}" for file in (test_images, train_images))
    if size != accepted:
        raise DataError(f"{test_images.source}: images of {size}; accepted: {accepted}, as {train_images.source}")
    train, test = _labels([train_labels, test_labels], classes, echo)
    return Dataset(name, _bytes(train_images.values), train, _bytes(test_images.values), test)


def _check_pair(images: IdxFile, labels: IdxFile) -> None:
    """Raises ``DataError`` if there is not one label for each image."""
    if len(images.values) != len(labels.values):
        raise DataError(
            f"{labels.source}: {len(labels.values)} labels; accepted: {len(images.values)}, "
            f"one for each image of {images.source}"
        )


def _labels(files: list[IdxFile], classes: int, echo: Echo) -> list[Bytes]:
    """The labels in ``files``, training first, as 0 to ``classes`` - 1.

    Labels from 1 are counted down by one where nothing else fits: those of training reach from 1 to ``classes``, and no
    other goes beyond. Raises ``DataError`` for a label outside, with the number of classes that takes all if one does.
    """
    lowest = min(int(file.values.min()) for file in files)
    highest = max(int(file.values.max()) for file in files)
    training = files[0].values
    first = 1 if lowest == 1 and training.min() == 1 and training.max() == highest else 0
    fitting = highest + 1 - first
    if fitting != classes:
        first = 0
    if first:
        echo(f"labels 1 to {classes} are taken as 0 to {classes - 1}")
    for file in files:
        outside = np.flatnonzero((file.values < first) | (file.values >= first + classes))
        if len(outside):
            fits = lowest >= 0 and fitting <= MAXIMUM_CLASSES
            hint = f" (labels are {lowest} to {highest}: set classes = {fitting})" if fits else ""
            raise DataError(
                f"{file.source}: label {file.values[outside[0]]} at index {outside[0]}; "
                f"accepted: 0 to {classes - 1}, for {classes} classes{hint}"
            )
    return [_bytes(file.values - first if first else file.values) for file in files]


def _bytes(values: Integers) -> Bytes:
    """``values``, which are 0 to 255, as bytes."""
    return values.astype(np.uint8, copy=False)


def _limit(what: str, limit: int | None, available: int) -> int:
    """How many of ``available`` images to take: ``limit``, checked, or all if it is None."""
    if limit is None:
        return available
    if not 1 <= limit <= available:
        raise DataError(f"{what}: {limit}; accepted: 1 to {available}, the number of images")
    return limit
