"""Which files of a folder are the four idx files of a data set, by the names that publishers and unpackers give them.

A name is ``[SET-]PART-images-idx3-ubyte[.gz]`` or ``[SET-]PART-labels-idx1-ubyte[.gz]``, with PART ``train``, ``t10k``
or ``test``: no SET in MNIST and what replaces it, ``emnist-letters`` and its like in EMNIST, ``qmnist`` in QMNIST,
whose labels end in ``idx2-int``. Some unpackers write ``.idx`` for ``-idx``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from emulator.errors import DataError
from emulator.training.download import FILE_NAMES
from emulator.training.idx import printable

FILE_NAME = re.compile(
    r"(?:(?P<set>.+)-)?(?P<part>train|t10k|test)-"
    r"(?:(?P<images>images)(?P<images_dot>[-.])idx3-ubyte|labels(?P<labels_dot>[-.])(?:idx1-ubyte|idx2-int))"
    r"(?P<gzip>\.gz)?"
)

#: The sets of EMNIST, whose files hold each image with rows and columns exchanged.
EMNIST = tuple(f"emnist-{name}" for name in ("balanced", "byclass", "bymerge", "digits", "letters", "mnist"))

#: Where torchvision puts idx files, below the folder that it is given or below the one that it makes there.
TORCHVISION_FOLDERS = ("raw", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw", "QMNIST/raw", "EMNIST/raw")

#: So many names of a folder are shown, each up to so many characters.
SHOWN_NAMES = 5
SHOWN_CHARACTERS = 40


@dataclass(frozen=True)
class IdxSet:
    """The idx files of one set in a folder, by their names as in ``FILE_NAMES``; some may be missing."""

    place: str
    name: str
    files: dict[str, Path]

    @property
    def missing(self) -> list[str]:
        """The names as in ``FILE_NAMES`` of the files that are not there."""
        return [name for name, _ in FILE_NAMES if name not in self.files]

    @property
    def label(self) -> str:
        """What messages call the set: its name, after the folder it lies in below the one named."""
        return printable("/".join(part for part in (self.place, self.name) if part) or "train-* and t10k-*")

    @property
    def transposed(self) -> bool:
        """Whether rows and columns of the images are exchanged."""
        return self.name in EMNIST


def idx_sets(folder: Path, place: str = "") -> dict[str, IdxSet]:
    """The sets in ``folder``/``place`` by name, "" for MNIST's own file names; none if there is no such folder.

    Of several files for one purpose, a file goes before a folder of that name, ``t10k`` before ``test``, ``-idx``
    before ``.idx``, and then ``.gz`` before none. Raises ``DataError`` if the folder cannot be listed.
    """
    where = folder / place
    try:
        names = os.listdir(where)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise DataError(
            f"{printable(where)}: cannot be read ({printable(error.strerror or error)}); accepted: a readable folder"
        ) from error
    ranked = []
    for name in names:
        match = FILE_NAME.fullmatch(name)
        if match is not None:
            dotted = "." in (match["images_dot"], match["labels_dot"])
            rank = (not os.path.isfile(where / name), match["part"] == "test", dotted, match["gzip"] is None, name)
            ranked.append((rank, match))
    sets: dict[str, IdxSet] = {}
    for _, match in sorted(ranked, key=lambda entry: entry[0]):
        found = sets.setdefault(match["set"] or "", IdxSet(place, match["set"] or "", {}))
        part = "train" if match["part"] == "train" else "t10k"
        purpose = "images-idx3-ubyte" if match["images"] else "labels-idx1-ubyte"
        found.files.setdefault(f"{part}-{purpose}", where / match[0])
    return sets


def find_set(folder: Path) -> IdxSet:
    """The one whole set in ``folder``, or, if none lies there, where torchvision puts it below.

    Raises ``DataError`` if there is no whole set, or more than one.
    """
    sets = list(idx_sets(folder).values())
    if all(found.missing for found in sets):
        sets += [found for place in TORCHVISION_FOLDERS for found in idx_sets(folder, place).values()]
    whole = [found for found in sets if not found.missing]
    if len(whole) == 1:
        return whole[0]
    what = f"data set {printable(folder)}"
    if whole:
        labels = ", ".join(sorted(found.label for found in whole))
        raise DataError(f"{what}: the folder holds {len(whole)} sets ({labels}); accepted: a folder that holds one")
    nearest = max(sets, key=lambda found: len(found.files), default=IdxSet("", "", {}))
    missing = nearest.missing[0]
    if nearest.name:
        missing = f"{nearest.name}-{missing.replace('t10k', 'test')}"
    missing = printable(missing)
    raise DataError(
        f"{what}: the folder holds no {missing} (it holds {listing(folder / nearest.place)}); "
        f"accepted: {missing} or {missing}.gz"
    )


def listing(folder: Path) -> str:
    """The names in ``folder`` for a message: the first few, and how many more."""
    names = sorted(os.listdir(folder))
    shown = [_shortened(f"{name}/" if os.path.isdir(folder / name) else name) for name in names[:SHOWN_NAMES]]
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"{', '.join(shown) or 'nothing'}{more}"


def _shortened(name: str) -> str:
    """A file's name for a message."""
    text = printable(name)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
