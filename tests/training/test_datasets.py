"""Data sets: the embedded digits, where others are found, and how they are checked. No test needs the network."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from emulator.training.datasets import DIGITS_FOLDER, default_cache_dir, load_published
from emulator.training.download import FASHION_MNIST, FILE_NAMES, MNIST
from emulator.training.folder import TORCHVISION_FOLDERS
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
    expected = "label 4 at index 4; accepted: 0 to 3, for 4 classes (labels are 0 to 9: set classes = 10)"
    assert message == f"{DIGITS_FOLDER}/labels-idx1-ubyte.gz: {expected}"


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
    held = ", ".join(sorted(other for other in NAMES if other != name))
    assert message == (
        f"data set {tmp_path}: the folder holds no {name} (it holds {held}); accepted: {name} or {name}.gz"
    )


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
    message = message_of(lambda: load(tmp_path, classes=2))
    expected = "label 2 at index 2; accepted: 0 to 1, for 2 classes (labels are 0 to 3: set classes = 4)"
    assert message == f"{tmp_path / NAMES[1]}: {expected}"


def write_labels(folder: Path, train: list[int], test: list[int], dtype: str = "u1", type_number: int = 8) -> Path:
    """The small data set with other labels, which must be 6 and 3."""
    write(folder)
    for name, labels in ((NAMES[1], train), (NAMES[3], test)):
        (folder / name).write_bytes(encode(np.array(labels, dtype), type_number))
    return folder


@pytest.mark.parametrize("test", [[3, 2, 1], [1, 1, 1]])
def test_labels_from_one_are_counted_from_zero(tmp_path: Path, test: list[int]) -> None:
    write_labels(tmp_path, [1, 2, 3, 3, 2, 1], test)
    lines: list[str] = []
    dataset = load(tmp_path, classes=3, echo=lines.append, test_limit=2)
    assert lines == ["labels 1 to 3 are taken as 0 to 2"]
    assert dataset.train_labels.tolist() == [0, 1, 2, 2, 1, 0]
    assert dataset.test_labels.tolist() == [label - 1 for label in test[:2]]
    assert dataset.train_labels.dtype == dataset.test_labels.dtype == np.uint8
    # One class more takes them as they are.
    assert load(tmp_path, classes=4, echo=lines.append).train_labels.tolist() == [1, 2, 3, 3, 2, 1]
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([1, 2, 3, 1, 2, 3], [0, 1, 2], "label 3 at index 2; accepted: 0 to 2, for 3 classes (labels are 0 to 3: set classes = 4)"),
        ([1, 2, 2, 1, 2, 2], [1, 2, 3], "label 3 at index 2; accepted: 0 to 2, for 3 classes (labels are 1 to 3: set classes = 4)"),
        ([2, 3, 3, 3, 3, 3], [2, 2, 2], "label 3 at index 1; accepted: 0 to 2, for 3 classes (labels are 2 to 3: set classes = 4)"),
        ([2, 3, 3, 3, 3, 3], [1, 2, 3], "label 3 at index 1; accepted: 0 to 2, for 3 classes (labels are 1 to 3: set classes = 4)"),
        ([1, 2, 3, 4, 5, 6], [1, 2, 6], "label 3 at index 2; accepted: 0 to 2, for 3 classes (labels are 1 to 6: set classes = 6)"),
    ],
)  # fmt: skip
def test_labels_from_one_that_may_mean_something_else(
    tmp_path: Path, train: list[int], test: list[int], message: str
) -> None:
    write_labels(tmp_path, train, test)
    assert message in message_of(lambda: load(tmp_path, classes=3))


def test_labels_of_32_bits(tmp_path: Path) -> None:
    dataset = load(write_labels(tmp_path, [0, 1, 2, 3, 0, 1], [3, 2, 1], ">i4", 0x0C))
    assert_whole(dataset)
    assert dataset.train_labels.dtype == dataset.test_labels.dtype == np.uint8


@pytest.mark.parametrize(("label", "hint"), [(-1, ""), (256, ""), (255, " (labels are 0 to 255: set classes = 256)")])
def test_labels_that_no_byte_holds(tmp_path: Path, label: int, hint: str) -> None:
    write_labels(tmp_path, [0, 1, 2, 3, 0, label], [3, 2, 1], ">i4", 0x0C)
    message = message_of(lambda: load(tmp_path))
    assert message == f"{tmp_path / NAMES[1]}: label {label} at index 5; accepted: 0 to 3, for 4 classes{hint}"


def test_labels_of_qmnist(tmp_path: Path) -> None:
    """Its own names, and its own labels: 8 integers for each image, of which the first is the class."""
    for name, values in zip(NAMES, VALUES, strict=True):
        table = np.arange(8) + 100 * values.reshape(-1, 1)
        table[:, 0] = values if values.ndim == 1 else 0
        own = f"qmnist-{name}".replace("t10k", "test").replace("idx1-ubyte", "idx2-int")
        content = encode(values) if values.ndim == 3 else encode(table.astype(">i4"), 0x0C)
        (tmp_path / f"{own}.gz").write_bytes(gzip.compress(content))
    assert_whole(load(tmp_path))


def write_emnist(folder: Path, name: str) -> Path:
    """The small data set under EMNIST's names, its images as EMNIST holds them, and not symmetric."""
    folder.mkdir()
    for file, values in zip(NAMES, VALUES, strict=True):
        exchanged = values.transpose(0, 2, 1)[:, :, 1:] if values.ndim == 3 else values
        own = f"{name}-{file.replace('t10k', 'test')}.gz"
        (folder / own).write_bytes(gzip.compress(encode(np.ascontiguousarray(exchanged))))
    return folder


@pytest.mark.parametrize("name", ["letters", "digits", "balanced", "byclass", "bymerge", "mnist"])
def test_images_of_emnist_are_upright(tmp_path: Path, name: str) -> None:
    lines: list[str] = []
    dataset = load(write_emnist(tmp_path / "a", f"emnist-{name}"), height=4, width=5, echo=lines.append)
    assert lines == [f"emnist-{name}: images are turned upright, rows and columns exchanged, as EMNIST is published"]
    assert np.array_equal(dataset.train_images, VALUES[0][:, 1:, :])
    assert np.array_equal(dataset.test_images, VALUES[2][:, 1:, :])
    assert dataset.train_images.flags.c_contiguous


def test_images_of_other_names_are_as_they_are(tmp_path: Path) -> None:
    lines: list[str] = []
    dataset = load(write_emnist(tmp_path / "a", "mine"), height=5, width=4, echo=lines.append)
    assert lines == []
    assert np.array_equal(dataset.train_images, VALUES[0].transpose(0, 2, 1)[:, :, 1:])


def test_folder_of_torchvision(tmp_path: Path) -> None:
    write(tmp_path / "FashionMNIST/raw")
    assert_whole(load(tmp_path))


def test_folder_with_files_of_the_other_name(tmp_path: Path) -> None:
    """Browsers and unpackers leave plain files called .gz, and gzip files that are not."""
    for name in NAMES[:2]:
        (tmp_path / f"{name}.gz").write_bytes(PLAIN[name])
    for name in NAMES[2:]:
        (tmp_path / name).write_bytes(COMPRESSED[name])
    assert_whole(load(tmp_path))


def test_folder_with_a_pipe(tmp_path: Path) -> None:
    path = write(tmp_path) / NAMES[2]
    path.unlink()
    os.mkfifo(path)
    assert message_of(lambda: load(tmp_path)) == f"{path}: not a regular file; accepted: an idx file"


def test_folder_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"B\xff")
    assert_whole(load(write(folder)))
    (folder / NAMES[3]).unlink()
    assert message_of(lambda: load(folder)).startswith(f"data set {str(folder)!r}: the folder holds no {NAMES[3]} ")


def test_test_images_of_another_size(tmp_path: Path) -> None:
    path = write(tmp_path) / NAMES[2]
    path.write_bytes(encode(np.zeros((3, 5, 4), dtype=np.uint8)))
    assert message_of(lambda: load(tmp_path)) == f"{path}: images of 5x4; accepted: 5x5, as {tmp_path / NAMES[0]}"


# Published data sets in the data folder or the cache folder


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("place", [".", "small", "Small/raw"])
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
    assert lines == [f"{data} holds no file of small (it holds nothing): using the cache folder"]


def test_data_folder_with_files_of_the_other_name(tmp_path: Path) -> None:
    """Content decides what is gzip, for files in the form that was published too."""
    for name in NAMES:
        (tmp_path / f"{name.replace('-idx', '.idx')}").write_bytes(COMPRESSED[name])
    load_published(published("compressed"), data_dir=tmp_path, cache_dir=tmp_path / "cache", opener=forbidden)
    path = tmp_path / f"{NAMES[0]}.gz"
    path.write_bytes(PLAIN[NAMES[0]])
    load_published(published(), data_dir=tmp_path, cache_dir=tmp_path / "cache", opener=forbidden)
    small = published("compressed")
    message = message_of(lambda: load_published(small, data_dir=tmp_path, cache_dir=tmp_path, opener=forbidden))
    assert message.startswith(f"{path}: cannot be checked uncompressed; accepted: {NAMES[0]}.gz as published")


def test_data_folder_with_sets_of_other_names(tmp_path: Path) -> None:
    """A published set has MNIST's names: EMNIST's beside them are another set."""
    write(tmp_path)
    for name in NAMES:
        (tmp_path / f"emnist-digits-{name.replace('t10k', 'test')}").touch()
    load_published(published(), data_dir=tmp_path, cache_dir=tmp_path / "cache", opener=forbidden)


def test_data_folder_missing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    message = message_of(lambda: load("mnist", data_dir=data, cache_dir=tmp_path))
    assert message == f"data folder {data}: No such file or directory; accepted: an existing, readable folder"


def test_data_folder_with_a_part_of_the_set(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / NAMES[1]).unlink()
    (tmp_path / NAMES[2]).unlink()
    message = message_of(lambda: load_published(published(), data_dir=tmp_path, cache_dir=tmp_path, opener=forbidden))
    held = f"{NAMES[3]}, {NAMES[0]}"
    assert message == (
        f"data folder {tmp_path}: no {NAMES[1]}, {NAMES[2]} (it holds {held}); accepted: all files of small"
    )


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
    found = hashlib.sha256(COMPRESSED[NAMES[0]]).hexdigest()
    assert message.startswith(
        f"{tmp_path / NAMES[0]}.gz: sha256 of the compressed file is {found}; "
        "accepted: 3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
    )


def test_fashion_mnist_cannot_be_checked_uncompressed(tmp_path: Path) -> None:
    path = write(tmp_path) / NAMES[0]
    message = message_of(lambda: load("fashion-mnist", data_dir=tmp_path))
    assert message == (
        f"{path}: cannot be checked uncompressed; accepted: {NAMES[0]}.gz as published "
        "(without a check: name the folder as the data set)"
    )


def test_published_digests_are_well_formed() -> None:
    for known in (MNIST, FASHION_MNIST):
        assert tuple((file.name, file.holds) for file in known.files) == FILE_NAMES
        for file in known.files:
            assert len(bytes.fromhex(file.digest)) == hashlib.sha256().digest_size
        assert len({file.digest for file in known.files}) == len(known.files)
        assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in known.mirrors)
        assert known.torchvision in TORCHVISION_FOLDERS


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
