"""Files replaced in one step, whoever else writes there, and whatever ends the write."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from emulator.atomic import is_written_to_itself, replacing, write_atomically, write_together

SIZE = 1 << 20


def in_a_process(target: Callable[..., None], *arguments: Any) -> Any:
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    return process


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def write_again_and_again(path: Path, letter: bytes, times: int) -> None:
    os.fsync = lambda handle: None  # type: ignore[assignment]
    for _ in range(times):
        write_atomically(path, letter * SIZE)


def test_two_writers_never_leave_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"a" * SIZE)
    writers = [in_a_process(write_again_and_again, path, letter, 150) for letter in (b"a", b"b")]
    looks = 0
    while any(writer.is_alive() for writer in writers):
        contents = path.read_bytes()
        assert contents in (b"a" * SIZE, b"b" * SIZE), len(contents)
        looks += 1
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert looks > 10 and names(tmp_path) == {"file"}


def test_links_in_the_place_are_replaced_and_not_followed(tmp_path: Path) -> None:
    """Neither the file's own place nor a name that a temporary file has had leads elsewhere."""
    (tmp_path / "victim").write_text("mine")
    for name in ("file", "file.tmp"):
        (tmp_path / name).symlink_to("victim")
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "file").is_symlink() and (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "file.tmp").is_symlink()


def test_permissions_are_those_of_any_new_file_or_of_the_old_one(tmp_path: Path) -> None:
    for mask in (0o022, 0o077):
        with umask(mask):
            write_atomically(tmp_path / f"{mask}", b"")
        assert stat.S_IMODE((tmp_path / f"{mask}").stat().st_mode) == 0o666 & ~mask
    (tmp_path / "old").touch()
    (tmp_path / "old").chmod(0o640)
    write_atomically(tmp_path / "old", b"new")
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o640


def test_devices_and_pipes_are_written_to_themselves(tmp_path: Path) -> None:
    """By links and names of this test's own: a fault must not harm the machine's devices."""
    (tmp_path / "null").symlink_to("/dev/null")
    write_atomically(tmp_path / "null", b"gone")
    with replacing(tmp_path / "null") as name:
        assert name == tmp_path / "null"
    assert (tmp_path / "null").is_symlink()
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(tmp_path / "pipe", b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*/full'"):
        write_atomically(tmp_path / "full", b"much")
    assert names(tmp_path) == {"null", "pipe", "full"}
    assert all(is_written_to_itself(Path("/dev") / name) for name in ("null", "stdout", "none"))
    assert not is_written_to_itself(Path("/dev/shm/file"))


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd"])
def test_an_open_file_s_name_stands_for_it(tmp_path: Path, folder: str) -> None:
    with (tmp_path / "file").open("wb") as file:
        write_atomically(Path(folder) / str(file.fileno()), b"through")
        assert os.fstat(file.fileno()).st_nlink == 1
    assert (tmp_path / "file").read_bytes() == b"through"
    assert names(tmp_path) == {"file"}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt(), SystemExit()])
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_whatever_ends_a_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, error: BaseException
) -> None:
    for name in ("one", "two"):
        write_atomically(tmp_path / name, b"old")

    def end(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(os, function, end)
    with pytest.raises(type(error)) as caught:
        write_together({tmp_path / "one": b"new", tmp_path / "two": b"new"})
    if isinstance(error, OSError):
        assert caught.value.filename == str(tmp_path / "one")  # type: ignore[attr-defined]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"one": b"old", "two": b"old"}


def test_all_are_written_before_the_first_is_replaced(tmp_path: Path) -> None:
    write_atomically(tmp_path / "one", b"old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match="folder"):
        write_together({tmp_path / "one": b"new", tmp_path / "folder": b"new"})
    assert (tmp_path / "one").read_bytes() == b"old" and names(tmp_path) == {"one", "folder"}


def test_a_writer_that_needs_a_name_has_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as name:
        name.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    with pytest.raises(ZeroDivisionError), replacing(path) as name:
        name.write_text("newer")
        raise ZeroDivisionError
    assert path.read_text() == "new" and names(tmp_path) == {"file"}


def write_and_wait(path: Path) -> None:
    with replacing(path):
        time.sleep(60)


def test_leftovers_of_a_killed_writer_go_with_the_next_write_and_those_of_a_living_one_stay(tmp_path: Path) -> None:
    writers = [in_a_process(write_and_wait, tmp_path / name) for name in ("killed", "living")]
    try:
        deadline = time.monotonic() + 30
        while len(names(tmp_path)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)  # both hold theirs
        writers[0].kill()
        writers[0].join()
        assert len(names(tmp_path)) == 2
        (tmp_path / ".crosspoint-link.tmp").symlink_to("/dev/null")
        os.mkfifo(tmp_path / ".crosspoint-pipe.tmp")
        write_atomically(tmp_path / "file", b"")
        left = names(tmp_path) - {"file", ".crosspoint-link.tmp"}
        assert len(left) == 1 and next(iter(left)).startswith(".crosspoint-")
    finally:
        for writer in writers:
            writer.kill()
            writer.join()
    write_atomically(tmp_path / "file", b"")
    assert names(tmp_path) == {"file", ".crosspoint-link.tmp"}


def test_a_file_system_without_locks_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    (tmp_path / ".crosspoint-0.tmp").touch()
    monkeypatch.setattr("fcntl.flock", refuse)
    write_atomically(tmp_path / "file", b"new")
    assert names(tmp_path) == {"file", ".crosspoint-0.tmp"}  # perhaps a living writer's


def terminated(path: Path) -> None:
    from emulator.termination import raising_terminated

    with raising_terminated(), replacing(path):
        signal.raise_signal(signal.SIGTERM)


def test_a_request_to_terminate_leaves_nothing(tmp_path: Path) -> None:
    process = in_a_process(terminated, tmp_path / "file")
    process.join()
    assert process.exitcode not in (0, -signal.SIGTERM)
    assert names(tmp_path) == set()
