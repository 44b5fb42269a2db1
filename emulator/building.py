"""Folders in which something is built that is renamed when it is complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emulator.leftovers import make_held, remove_leftovers

PREFIX = "building-"


@contextmanager
def building_folder(parent: Path, kept_after: tuple[type[Exception], ...] = ()) -> Iterator[Path]:
    """A new folder in ``parent``, removed in the end: builds at the same time do not meet.

    After an error in ``kept_after`` it stays, for its logs, until the next build there; so does that of a build that was
    killed. Raises OSError where it cannot be made.
    """
    parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(parent, f"{PREFIX}*")

    def make() -> tuple[Path, int]:
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        return path, os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    folder, handle = make_held(make)
    kept = False
    try:
        yield folder
    except kept_after:
        kept = True
        raise
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)
