"""One run at a time in a folder, however the one before has ended."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from emulator.errors import RunFolderError
from emulator.training.run_folder import run_folder


def hold(out: Path) -> None:
    with run_folder(out, new=True):
        (out / "begun").touch()
        time.sleep(60)


@pytest.fixture
def holder(tmp_path: Path) -> Any:
    """Another process that has the folder."""
    process = multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path / "run",))
    process.start()
    deadline = time.monotonic() + 30
    while not (tmp_path / "run" / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    yield process
    process.kill()
    process.join()


@pytest.mark.parametrize("new", [True, False])
def test_a_second_run_is_refused_in_a_line_and_one_that_is_killed_is_not_in_the_way(
    tmp_path: Path, holder: Any, new: bool
) -> None:
    out = tmp_path / "run"
    said = (
        rf"run folder '{out}': in use by another run \(process {holder.pid} on [^)]+\); accepted: another --out, [^\n]*"
    )
    for _ in range(2):  # a refusal is not in the way either
        with pytest.raises(RunFolderError) as caught, run_folder(out, new=new):
            pass
        assert re.fullmatch(said, str(caught.value))
    holder.kill()
    holder.join()
    assert (out / ".lock").exists()
    with run_folder(out, new=new):
        assert f"process {os.getpid()} " in (out / ".lock").read_text()
    assert [path.name for path in out.iterdir()] == ["begun"]


def test_a_folder_in_which_nothing_is_written_is_not_left(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), run_folder(tmp_path / "a" / "run", new=True):
        raise ZeroDivisionError
    assert list((tmp_path / "a").iterdir()) == []
    with run_folder(tmp_path, new=True):  # that was there stays
        pass
    assert tmp_path.is_dir()


def test_what_is_no_folder_or_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "nowhere").symlink_to("none")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / ".lock").symlink_to(tmp_path / "file")
    for name, reason in (
        ("file", "File exists"),
        ("file/run", "Not a directory"),
        ("nowhere", "File exists"),
        ("link", "Too many levels of symbolic links"),
    ):
        with pytest.raises(RunFolderError, match=rf"{name}'?.*: {reason}; accepted: --out FOLDER"):
            with run_folder(tmp_path / name, new=True):
                pass
    assert (tmp_path / "file").read_text() == "mine"

    def read_only(*arguments: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(arguments[0]))

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(RunFolderError, match="Read-only file system"), run_folder(tmp_path, new=False):
        pass


def test_without_locks_a_run_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with run_folder(tmp_path, new=True):
        pass
    assert re.fullmatch(r"run folder '.*': No locks available: cannot be locked; let [^\n]*\n", capsys.readouterr().err)


def test_a_run_that_ends_at_that_moment_is_no_other_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lock file was opened before it was removed: a lock on what has no name any more keeps no other run away."""
    import fcntl

    flock, calls = fcntl.flock, []

    def late(handle: int, how: int) -> None:
        if not calls:
            (tmp_path / ".lock").unlink()
        calls.append(handle)
        flock(handle, how)

    monkeypatch.setattr("fcntl.flock", late)
    with run_folder(tmp_path, new=True):
        assert len(calls) == 2
        monkeypatch.undo()
        with pytest.raises(RunFolderError, match="in use"), run_folder(tmp_path, new=True):
            pass
