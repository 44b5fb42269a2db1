"""Builds by make in checkouts whose path make does not take: with a space, ``$``, ``#``, a quote, or what is not ASCII.

GNU make splits its lists at spaces, and hands paths to a shell without quotes. Such a build is done in a folder with a plain
path, which reaches what lies elsewhere through links.
"""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emulator.building import building_folder
from emulator.errors import CrosspointError

#: What means nothing to make, to a shell or in a linker's flags.
PLAIN = re.compile(r"[A-Za-z0-9_./+@-]+")
#: What separates paths in the environment of simulators: nothing can stand for these.
SEPARATORS = ":;,"


class PathError(CrosspointError):
    """A path in which simulators cannot be built or run."""


def is_plain(path: Path) -> bool:
    return PLAIN.fullmatch(str(path)) is not None


def check_separators(path: Path) -> None:
    """Raise PathError for a path that lists of paths cannot hold."""
    found = [character for character in SEPARATORS if character in str(path)]
    if found:
        raise PathError(f"simulation in {path}: accepted: a checkout and a .venv without {found[0]!r} in their path")


@contextmanager
def build_folder(cache: Path) -> Iterator[Path]:
    """A folder with a plain path for the time of a build: in the cache if that is plain, else among the system's temporary
    files. Raises PathError if neither is, and OSError."""
    cache.mkdir(parents=True, exist_ok=True)
    place = cache if is_plain(cache) else Path(tempfile.gettempdir()).resolve()
    if not is_plain(place):
        raise PathError(
            f"simulation in {cache}, temporary files in {place}: accepted: one of them of letters, digits, . _ + @ -"
        )
    if place is cache:
        with building_folder(cache) as folder:
            yield folder
    else:
        with tempfile.TemporaryDirectory(dir=place, prefix="crosspoint-", ignore_cleanup_errors=True) as temporary:
            yield Path(temporary)


def plain_link(path: Path, folder: Path) -> Path:
    """The path if it is plain, else a link to it in ``folder``, of the same name."""
    if is_plain(path):
        return path
    link = folder / path.name
    link.symlink_to(path)
    return link


def keep_folder(folder: Path, done: Path) -> None:
    """Rename a folder that is complete. That fails where another process was first; its folder holds the same."""
    try:
        folder.rename(done)
    except OSError as error:
        if error.errno == errno.EXDEV:
            with building_folder(done.parent) as near:
                keep_folder(Path(shutil.copytree(folder, near / folder.name)), done)
        elif not done.is_dir():
            raise
