"""Replacing a file in one step: a reader, or a run that is killed, sees the old contents or the new, never a part."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, contents: bytes) -> None:
    """Replace ``path`` by ``contents``, on disk before this returns.

    Goes through ``path`` + ``.tmp`` beside it. That name is fixed, so that a process killed here leaves one file at
    most, which the next write replaces. Raises OSError (disk full, no permission ...) with the old file untouched
    and no temporary file left.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # KeyboardInterrupt too: whatever ends the write, the folder is left tidy
        temporary.unlink(missing_ok=True)
        raise
    # The new name is durable only with the folder's own entry on disk.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
