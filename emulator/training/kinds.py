"""What a file is that is not an idx file: an HTML page, a zip archive, an image, told by its first bytes."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

#: So many first bytes tell every kind below: the mark of a tar archive lies at 257.
HEAD_BYTES = 512

#: So many characters of a text are shown.
SHOWN_CHARACTERS = 24


@dataclass(frozen=True)
class Kind:
    """What a file is, such as "a zip archive", and what a user can do about it."""

    what: str
    advice: str


UNPACK = "unpack it"
DOWNLOAD = "download the file itself"
CONVERT = "convert it"

#: Offset and bytes of a mark, and the kind of file that has it. A zip archive of .npy files comes first: it is both.
MARKS = (
    (257, b"ustar", Kind("a tar archive", UNPACK)),
    (0, b"\x1f\x8b", Kind("gzip within gzip", "unpack it once")),
    (0, b"PK\x03\x04", Kind("a zip archive", UNPACK)),
    (0, b"PK\x05\x06", Kind("an empty zip archive", DOWNLOAD)),
    (0, b"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", UNPACK)),
    (0, b"Rar!", Kind("a RAR archive", UNPACK)),
    (0, b"BZh", Kind("a bzip2 file", UNPACK)),
    (0, b"\xfd7zXZ\x00", Kind("an xz file", UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", Kind("a zstd file", UNPACK)),
    (0, b"\x93NUMPY", Kind("an npy file", CONVERT)),
    (0, b"\x89PNG", Kind("a PNG image", CONVERT)),
    (0, b"\xff\xd8\xff", Kind("a JPEG image", CONVERT)),
    (0, b"\x89HDF", Kind("an HDF5 file", CONVERT)),
    (0, b"MATLAB 5.0", Kind("a MATLAB file", CONVERT)),
    (0, b"%PDF", Kind("a PDF file", DOWNLOAD)),
    (0, b"\xff\xfe", Kind("UTF-16 text", DOWNLOAD)),
    (0, b"\x01\x08\x00\x00", Kind("an idx file with its header in little-endian order", "write it big-endian")),
    (0, b"\x03\x08\x00\x00", Kind("an idx file with its header in little-endian order", "write it big-endian")),
)


def kind_of(head: bytes) -> Kind | None:
    """The kind of the file that begins with ``head``, its first ``HEAD_BYTES`` or all of it; None if unknown."""
    if head.startswith(b"PK\x03\x04") and b".npy" in head:
        return Kind("an npz file", CONVERT)
    for offset, mark, kind in MARKS:
        if head[offset:].startswith(mark):
            return kind
    return _kind_of_text(head)


def _kind_of_text(head: bytes) -> Kind | None:
    """The kind of a text in UTF-8, whose last character may be cut; None if ``head`` is no text."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head).strip()
    except UnicodeDecodeError:
        return None
    if not text or not all(character.isprintable() or character.isspace() for character in text):
        return None
    lower = text.lower()
    if lower.startswith("<!doctype html") or "<html" in lower:
        return Kind("an HTML page", DOWNLOAD)
    if lower.startswith("<?xml"):
        return Kind("an XML page", DOWNLOAD)
    if lower.startswith("version https://git-lfs"):
        return Kind("a Git LFS pointer", "fetch the file with git lfs pull")
    start = " ".join(text[:SHOWN_CHARACTERS].split())
    return Kind(f"text that begins {start!r}", DOWNLOAD)
