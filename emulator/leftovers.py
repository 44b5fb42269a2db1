"""Temporary files and folders, and what killed processes left of them.

A process holds a lock on each of its temporaries; the system frees it however the process ends. A temporary without a lock is
a leftover, and whoever next makes one in the same folder removes it. Where the file system has no locks, leftovers stay.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def make_held(make: Callable[[], tuple[Path, int]]) -> tuple[Path, int]:
    """What ``make`` makes under a new name: its path, and a handle that holds it until it is closed."""
    while True:
        path, handle = make()
        try:
            with suppress(OSError):  # no locks here: then nobody takes it for a leftover either
                fcntl.flock(handle, fcntl.LOCK_EX)
            if path.exists():
                return path, handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # taken for a leftover, and removed, between its making and its lock


def remove_leftovers(folder: Path, pattern: str) -> None:
    """Remove the files and folders of that pattern that no process holds; those that cannot be removed stay."""
    for path in folder.glob(pattern):
        with suppress(OSError):
            # Whatever has the name: no link is followed, no pipe waited for.
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if stat.S_ISDIR(os.fstat(handle).st_mode):
                    shutil.rmtree(path)
                else:
                    path.unlink()
            finally:
                os.close(handle)
