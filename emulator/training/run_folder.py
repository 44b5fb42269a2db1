"""The folder of a run: one run at a time writes to it.

A run holds a lock on the file ``.lock`` in its folder, which names the process. The system frees it however the run ends, so a
run that was killed is not in the way of the next.
"""

from __future__ import annotations

import fcntl
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from emulator.errors import RunFolderError

LOCK_NAME = ".lock"
#: Bytes of a lock file that a message shows at most.
HOLDER_BYTES = 200


@contextmanager
def run_folder(out: Path, *, new: bool) -> Iterator[None]:
    """While entered, ``out`` is this run's alone; made if it is ``new``, and removed again if nothing is in it in the end.

    Where the file system has no locks, a line on stderr says so, and the run goes on: its files are still replaced in one
    step each. Raises RunFolderError if another run has the folder, or if it cannot be written to.
    """
    path = out / LOCK_NAME
    made = False
    try:
        if new and not out.is_dir():
            out.mkdir(parents=True)
            made = True
        handle = _lock(path)
    except OSError as error:
        raise RunFolderError(
            f"run folder {str(out)!r}: {error.filename or path}: {error.strerror}; "
            "accepted: --out FOLDER, one that can be written to and has room"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):  # the folder may be gone
            path.unlink()
        os.close(handle)
        if made:
            with suppress(OSError):  # a run's files are in it
                out.rmdir()


def _lock(path: Path) -> int:
    """A handle that holds the lock until it is closed."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            if not _take(handle, path) or _is_still(handle, path):
                os.ftruncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {platform.node()}\n".encode())
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the run before has ended meanwhile, and removed the file


def _take(handle: int, path: Path) -> bool:
    """Whether the lock was taken; False where there are none. Raises RunFolderError if another run has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(handle, HOLDER_BYTES).decode(errors="replace").strip()
        raise RunFolderError(
            f"run folder {str(path.parent)!r}: in use by another run ({holder or 'which has just begun'}); "
            "accepted: another --out, or --resume when that run has ended"
        ) from error
    except OSError as error:
        print(
            f"run folder {str(path.parent)!r}: {error.strerror}: cannot be locked; let no other run use it meanwhile",
            file=sys.stderr,
        )
        return False
    return True


def _is_still(handle: int, path: Path) -> bool:
    """Whether the file that is open is the one that has the name."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False
