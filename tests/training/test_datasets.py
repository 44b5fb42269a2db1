"""Data sets: the embedded digits, where others are found, and how they are checked. No test needs the network."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from emulator.training.datasets import DIGITS_FOLDER, default_cache_dir, load_published
from emulator.training.download import FASHION_MNIST, FILE_NAMES, MNIST
from emulator.training.resample import resample
from tests.training.idx_files import (
    COMPRESSED,
    NAMES,
    PLAIN,
    VALUES,
    assert_whole,
    encode,
    forbidden,
    load,
    message_of,
    published,
    write,
)

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
