"""Replacing files in one step: a reader, or a run that is killed, sees the old contents or the new, never a part.

A file is written beside its place, under a name of its own, and renamed: writers of the same file do not meet, and the last one
to be done wins. A link in its place is replaced; what it points to stays as it is. A device, a pipe and the open file that a
name such as /dev/stdout stands for are written to themselves.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from emulator.leftovers import make_held, remove_leftovers

PREFIX, SUFFIX = ".crosspoint-", ".tmp"
NAME_BYTES = 8  # random ones, in the name of a temporary file
PERMISSIONS = 0o777


def write_atomically(path: Path, contents: bytes) -> None:
    """Replace ``path`` by ``contents``, on disk before this returns.

    Raises OSError (disk full, no permission ...), which names ``path``, with the old file untouched and no temporary file
    left. What a killed process left is removed by the next write into the folder.
    """
    write_together({path: contents})


def write_together(files: Mapping[Path, bytes]) -> None:
    """The same for files that belong together: all are on disk beside their places before the first is replaced."""
    with ExitStack() as stack:
        places = {path: stack.enter_context(_place(path)) for path in files}
        for path, contents in files.items():
            with _naming(path):
                places[path].write(contents)
        _put(places.values())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The same for a writer that needs a name: it writes to the one given here. If the block fails, ``path`` is untouched."""
    with _place(path) as place:
        yield place.temporary or path
        with _naming(path):
            place.synchronise()
        _put([place])


@dataclass(frozen=True)
class _Place:
    """Where a file goes, and the file beside it that is written first; None where the place itself is written to."""

    path: Path
    temporary: Path | None
    handle: int

    def write(self, contents: bytes) -> None:
        with open(self.handle, "wb", closefd=False) as file:
            file.write(contents)
        self.synchronise()

    def synchronise(self) -> None:
        if self.temporary is not None:
            os.fsync(self.handle)


def _put(places: Iterable[_Place]) -> None:
    """Give files that are written their names, on disk when this returns."""
    folders = set()
    for place in places:
        if place.temporary is not None:
            with _naming(place.path):
                os.replace(place.temporary, place.path)
            folders.add(place.path.parent)
    for folder in folders:
        # The new names are durable only with the folder's own entry on disk.
        with _naming(folder):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


@contextmanager
def _place(path: Path) -> Iterator[_Place]:
    with _naming(path):
        if path.is_dir():  # the replacement would fail, after those before it
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if is_written_to_itself(path):
            temporary, handle = None, os.open(path, os.O_WRONLY | os.O_APPEND)
        else:
            remove_leftovers(path.parent, f"{PREFIX}*{SUFFIX}")
            temporary, handle = make_held(lambda: _beside(path))
    try:
        yield _Place(path, temporary, handle)
    finally:  # after an interrupt too: whatever ends the write, the folder is left tidy
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        os.close(handle)


def is_written_to_itself(path: Path) -> bool:
    """Devices and pipes; and every name in the folders of devices and of a process's open files, where no file belongs."""
    folder = os.path.realpath(path.parent)
    return folder in ("/dev", "/dev/fd") or folder.startswith("/proc/") or (path.exists() and not path.is_file())


def _beside(path: Path) -> tuple[Path, int]:
    """A new empty file in the same folder, with the permissions of the old one or else of any new file; and its handle."""
    temporary = path.with_name(f"{PREFIX}{secrets.token_hex(NAME_BYTES)}{SUFFIX}")
    handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    try:
        if path.is_file() and not path.is_symlink():
            os.fchmod(handle, path.stat().st_mode & PERMISSIONS)
    except BaseException:
        temporary.unlink()
        os.close(handle)
        raise
    return temporary, handle


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors of a file are told of its name, not of the temporary one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
