"""Replacing files in one step: a reader, or a run that is killed, sees the old contents or the new, never a part."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path


def write_atomically(path: Path, contents: bytes) -> None:
    """Replace ``path`` by ``contents``, on disk before this returns.

    Goes through ``path`` + ``.tmp`` beside it. That name is fixed, so that a process killed here leaves one file at
    most, which the next write replaces. Raises OSError (disk full, no permission ...) with the old file untouched
    and no temporary file left.
    """
    write_together({path: contents})


def write_together(files: Mapping[Path, bytes]) -> None:
    """The same for files that belong together: all are on disk beside their places before the first is replaced."""
    temporaries = {path: path.with_name(path.name + ".tmp") for path in files}
    try:
        for path, contents in files.items():
            if path.is_dir():  # the replacement would fail, after those before it
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            with open(temporaries[path], "wb") as file:
                file.write(contents)
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in temporaries.items():
            os.replace(temporary, path)
    except BaseException:  # KeyboardInterrupt too: whatever ends the write, the folder is left tidy
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
        raise
    for parent in {path.parent for path in files}:
        # The new names are durable only with the folder's own entry on disk.
        folder = os.open(parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
