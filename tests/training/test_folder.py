"""The files of a set are found by all names that published sets and unpackers give them, or refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emulator.training.folder import TORCHVISION_FOLDERS, find_set, idx_sets, listing
from tests.training.idx_files import NAMES, message_of

DOTTED = [name.replace("-idx", ".idx") for name in NAMES]


def of_emnist(name: str) -> list[str]:
    return [f"emnist-{name}-{file.replace('t10k', 'test')}" for file in NAMES]


OF_QMNIST = [f"qmnist-{file.replace('t10k', 'test').replace('idx1-ubyte', 'idx2-int')}" for file in NAMES]


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def chosen(folder: Path) -> list[str]:
    found = find_set(folder)
    return [found.files[name].relative_to(folder).as_posix() for name in NAMES]


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("names", [list(NAMES), DOTTED, of_emnist("letters"), OF_QMNIST], ids=lambda names: names[0])
def test_names(tmp_path: Path, names: list[str], ending: str) -> None:
    expected = [name + ending for name in names]
    touch(tmp_path, *expected, "README.md", "emnist-letters-mapping.txt", f".{NAMES[0]}.gz.abc.part")
    assert chosen(tmp_path) == expected


def test_names_of_several_kinds_are_one_set(tmp_path: Path) -> None:
    mixed = [NAMES[0], f"{DOTTED[1]}.gz", f"{NAMES[2]}.gz", DOTTED[3]]
    assert chosen(touch(tmp_path, *mixed)) == mixed


def test_which_of_several_files_is_taken(tmp_path: Path) -> None:
    order = [f"{NAMES[2]}.gz", NAMES[2], f"{DOTTED[2]}.gz", DOTTED[2], "test-images-idx3-ubyte.gz"]
    touch(tmp_path, *order, *NAMES)
    for name in order:
        assert chosen(tmp_path)[2] == name
        (tmp_path / name).unlink()


def test_a_file_goes_before_a_folder_of_the_name(tmp_path: Path) -> None:
    """Some archives hold each file twice: once in a folder of its name, once beside it with a dot."""
    for name in NAMES:
        touch(tmp_path / name, name)
    touch(tmp_path, *DOTTED)
    assert chosen(tmp_path) == DOTTED


def test_several_sets_are_refused_by_name(tmp_path: Path) -> None:
    touch(tmp_path, *of_emnist("letters"), *of_emnist("digits"), "emnist-mnist-train-images-idx3-ubyte")
    assert message_of(lambda: find_set(tmp_path)) == (
        f"data set {tmp_path}: the folder holds 2 sets (emnist-digits, emnist-letters); "
        "accepted: a folder that holds one"
    )
    touch(tmp_path, *NAMES)
    assert "3 sets (emnist-digits, emnist-letters, train-* and t10k-*)" in message_of(lambda: find_set(tmp_path))


def test_one_whole_set_beside_a_part_of_another(tmp_path: Path) -> None:
    touch(tmp_path, *of_emnist("letters")[:3], *NAMES)
    assert chosen(tmp_path) == list(NAMES)


@pytest.mark.parametrize("place", TORCHVISION_FOLDERS)
def test_folders_of_torchvision(tmp_path: Path, place: str) -> None:
    touch(tmp_path / place, *NAMES)
    touch(tmp_path, NAMES[0])
    assert chosen(tmp_path) == [f"{place}/{name}" for name in NAMES]


def test_the_folder_itself_goes_before_those_of_torchvision(tmp_path: Path) -> None:
    touch(tmp_path / "MNIST/raw", *NAMES)
    assert chosen(touch(tmp_path, *NAMES)) == list(NAMES)


def test_several_folders_of_torchvision_are_refused_by_name(tmp_path: Path) -> None:
    touch(tmp_path / "MNIST/raw", *NAMES)
    touch(tmp_path / "FashionMNIST/raw", *NAMES)
    touch(tmp_path / "EMNIST/raw", *of_emnist("letters"))
    assert "holds 3 sets (EMNIST/raw/emnist-letters, FashionMNIST/raw, MNIST/raw)" in message_of(
        lambda: find_set(tmp_path)
    )


def test_nothing_found(tmp_path: Path) -> None:
    touch(tmp_path, "b.csv", "a\nb")
    (tmp_path / "images").mkdir()
    assert message_of(lambda: find_set(tmp_path)) == (
        f"data set {tmp_path}: the folder holds no train-images-idx3-ubyte (it holds 'a\\nb', b.csv, images/); "
        "accepted: train-images-idx3-ubyte or train-images-idx3-ubyte.gz"
    )


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("names", [list(NAMES), of_emnist("letters")], ids=lambda names: names[0])
def test_a_part_of_a_set(tmp_path: Path, names: list[str], index: int) -> None:
    held = sorted(name for name in names if name != names[index])
    touch(tmp_path, *held)
    assert message_of(lambda: find_set(tmp_path)) == (
        f"data set {tmp_path}: the folder holds no {names[index]} (it holds {', '.join(held)}); "
        f"accepted: {names[index]} or {names[index]}.gz"
    )


def test_a_part_of_a_set_of_torchvision(tmp_path: Path) -> None:
    touch(tmp_path / "MNIST/raw", *NAMES[:3])
    message = message_of(lambda: find_set(tmp_path))
    assert f"holds no {NAMES[3]} (it holds {NAMES[2]}, {NAMES[0]}, {NAMES[1]}); accepted: " in message


def test_listing(tmp_path: Path) -> None:
    assert listing(tmp_path) == "nothing"
    touch(tmp_path, *"abcde")
    assert listing(tmp_path) == "a, b, c, d, e"
    touch(tmp_path, "f", "A" * 41, os.fsdecode(b"B\xff"))
    assert listing(tmp_path) == f"{'A' * 40}..., 'B\\udcff', a, b, c and 3 more"


def test_a_folder_that_is_not_there_has_no_sets(tmp_path: Path) -> None:
    assert idx_sets(tmp_path / "nothing") == {}
    assert idx_sets(touch(tmp_path, "file"), "file") == {}


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    endless = tmp_path / "endless"
    endless.symlink_to(endless)
    message = message_of(lambda: idx_sets(endless))
    assert message == f"{endless}: cannot be read (Too many levels of symbolic links); accepted: a readable folder"
