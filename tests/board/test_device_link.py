"""Links to devices: they take the place of nothing, and nothing but them is removed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from board import device_link
from board.device_link import DeviceLink, DeviceLinkError


@pytest.fixture
def device() -> Iterator[str]:
    here, there = os.openpty()
    yield os.ttyname(there)
    os.close(here)
    os.close(there)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_link_is_made_and_removed(tmp_path: Path, device: str) -> None:
    link = DeviceLink(tmp_path / "link", device)
    assert os.readlink(tmp_path / "link") == device
    link.remove()
    assert names(tmp_path) == set()
    link.remove()  # nothing is there


def test_the_link_of_a_simulator_that_was_killed_is_replaced(tmp_path: Path, device: str) -> None:
    for left in (f"{os.path.dirname(device)}/none", device):  # its device is gone, or its number is now this one's
        (tmp_path / "link").symlink_to(left)
        DeviceLink(tmp_path / "link", device).remove()
        assert names(tmp_path) == set()


@pytest.mark.parametrize("target", ["victim", "/no/such/file", "/dev/null", "living"])
def test_a_link_that_is_another_s_stays(tmp_path: Path, device: str, target: str) -> None:
    here, there = os.openpty()
    if target == "living":  # another simulator's
        target = os.ttyname(there)
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(DeviceLinkError, match=rf"--link '.*/link': a link to '{target}' is there; accepted: a name"):
        DeviceLink(tmp_path / "link", device)
    assert os.readlink(tmp_path / "link") == target and names(tmp_path) == {"link", "victim"}
    os.close(here)
    os.close(there)


def put_file(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.write_text("mine")


def put_link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("put", [put_file, put_link])
def test_what_is_put_there_meanwhile_stays(tmp_path: Path, device: str, put: Callable[[Path], None]) -> None:
    link = DeviceLink(tmp_path / "link", device)
    put(tmp_path / "link")
    link.remove()
    assert names(tmp_path) == {"link"}


@pytest.mark.parametrize("put", [put_file, put_link])
def test_what_is_put_there_at_the_last_moment_is_given_back(
    tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path], None]
) -> None:
    """Between the look at the link and its removal."""
    link = DeviceLink(tmp_path / "link", device)
    rename = os.rename

    def late(source: Path, target: Path) -> None:
        put(tmp_path / "link")
        rename(source, target)

    monkeypatch.setattr(device_link.os, "rename", late)
    link.remove()
    assert names(tmp_path) == {"link"}
    assert (tmp_path / "link").is_symlink() == (put is put_link)
    if put is put_file:
        assert (tmp_path / "link").read_text() == "mine"
