"""Reader of idx files, the format MNIST is published in: a big-endian header, then the values.

The header is two zero bytes, the type of the values, the number of dimensions, and each dimension in 4 bytes.
"""

from __future__ import annotations

import gzip
import io
import math
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emulator.errors import DataError
from emulator.training.kinds import HEAD_BYTES, kind_of

GZIP_MAGIC = b"\x1f\x8b"
MAGIC_BYTES = 4
DIMENSION_BYTES = 4

UNSIGNED_BYTE = 0x08
INT32 = 0x0C

#: Types of values by their number in the header: what messages call them, and how they lie in the file.
TYPES: dict[int, tuple[str, np.dtype[Any]]] = {
    UNSIGNED_BYTE: ("unsigned bytes", np.dtype(">u1")),
    0x09: ("signed bytes", np.dtype(">i1")),
    0x0B: ("16-bit integers", np.dtype(">i2")),
    INT32: ("32-bit integers", np.dtype(">i4")),
    0x0D: ("32-bit floats", np.dtype(">f4")),
    0x0E: ("64-bit floats", np.dtype(">f8")),
}
LABEL_TYPES = tuple(number for number, (_, dtype) in TYPES.items() if dtype.kind in "ui")

#: QMNIST has so many 32-bit integers for each image; the first is the class.
QMNIST_COLUMNS = 8

#: Largest file taken, stored or uncompressed: well above every published set of small images (EMNIST: 550 MB).
MAXIMUM_BYTES = 1 << 30

#: Uncompressed data are taken in pieces, so that a header that promises more than the file holds costs no memory.
PIECE_BYTES = 1 << 20

Integers = NDArray[np.integer[Any]]

#: What an idx file of a data set holds: images in 3 dimensions, or one label for each.
Holds = Literal["images", "labels"]
DIMENSIONS: dict[Holds, int] = {"images": 3, "labels": 1}


@dataclass(frozen=True)
class IdxFile:
    """One idx file: its name for errors, its bytes stored and uncompressed, and its values (read-only).

    The values of images are ``uint8`` of shape (count, rows, columns), those of labels any integers of shape (count,).
    """

    source: str
    compressed: bool
    stored: bytes
    content: bytes
    values: Integers


def printable(thing: object) -> str:
    """``thing`` as text on one line: quoted with escapes if it holds line breaks or other control characters."""
    text = str(thing)
    return text if text.isprintable() else repr(text)


def read_idx(path: Path, holds: Holds) -> IdxFile:
    """The idx file at ``path``, plain or gzip whatever its name, of images or labels.

    Raises ``DataError``, naming the file, if it cannot be read, is not a regular file, is larger than 1 GiB, or is not
    a whole and correct idx file (see ``decode_idx``).
    """
    source = printable(path)
    try:
        # Looked at before it is opened: opening a pipe waits for a writer, and reading a device may never end.
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise DataError(f"{source}: a folder; accepted: an idx file (if the file lies in it, move it out)")
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{source}: not a regular file; accepted: an idx file")
        if status.st_size > MAXIMUM_BYTES:
            raise DataError(f"{source}: {status.st_size} bytes; accepted: up to {MAXIMUM_BYTES}")
        stored = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with characters no file name can have
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise DataError(f"{source}: cannot be read ({printable(reason)}); accepted: a readable idx file") from error
    return decode_idx(stored, source, holds)


def decode_idx(stored: bytes, source: str, holds: Holds) -> IdxFile:
    """The idx file in ``stored``, plain or gzip, of images or labels; ``source`` names it in errors.

    Images are unsigned bytes in 3 dimensions. Labels are integers of any type in 1 dimension, or QMNIST's: 32-bit
    integers in 2 dimensions, 8 for each image, of which the first is taken.

    No more is uncompressed than the header promises, and never more than 1 GiB. Raises ``DataError`` that says what
    the file is if it is no idx file or holds something else, is empty, truncated, longer than its header says, or
    corrupt gzip (checksum included).
    """
    if not stored:
        raise DataError(f"{source}: an empty file; accepted: an idx file of {holds}")
    compressed = stored.startswith(GZIP_MAGIC)
    if not compressed:
        content, values = _parse(io.BytesIO(stored), source, holds)
        return IdxFile(source, compressed, stored, content, values)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(stored)) as stream:
            content, values = _parse(stream, source, holds)
    except EOFError as error:
        raise DataError(f"{source}: truncated gzip, {len(stored)} bytes; accepted: the whole file") from error
    except (OSError, zlib.error) as error:
        raise DataError(f"{source}: corrupt gzip ({printable(error)}); accepted: an intact gzip file") from error
    return IdxFile(source, compressed, stored, content, values)


def _parse(stream: io.BufferedIOBase, source: str, holds: Holds) -> tuple[bytes, Integers]:
    """All bytes of the uncompressed ``stream`` and the values in them; errors as of ``decode_idx``."""
    magic = stream.read(MAGIC_BYTES)
    if len(magic) < MAGIC_BYTES or magic[:2] != bytes(2) or magic[2] not in TYPES:
        raise DataError(f"{source}: {_not_idx(magic + stream.read(HEAD_BYTES - MAGIC_BYTES), holds)}")
    type_number, dimensions = magic[2], magic[3]
    # The type and the dimensions first: a file of another kind is worth that message even if it is short.
    _check_magic(type_number, dimensions, source, holds)
    header_bytes = MAGIC_BYTES + DIMENSION_BYTES * dimensions
    header = magic + stream.read(header_bytes - MAGIC_BYTES)
    if len(header) < header_bytes:
        raise DataError(f"{source}: {len(header)} bytes, truncated in the header; accepted: at least {header_bytes}")
    shape = tuple(
        int.from_bytes(header[start : start + DIMENSION_BYTES])
        for start in range(MAGIC_BYTES, header_bytes, DIMENSION_BYTES)
    )
    if dimensions != DIMENSIONS[holds] and shape[1] != QMNIST_COLUMNS:
        raise DataError(f"{source}: {shape[1]} integers for each image; accepted: 1, or {QMNIST_COLUMNS} as in QMNIST")
    dtype = TYPES[type_number][1]
    shape_text = "x".join(map(str, shape))
    count = math.prod(shape)
    most = MAXIMUM_BYTES // dtype.itemsize
    if not 1 <= count <= most:
        raise DataError(f"{source}: header promises {shape_text} values; accepted: 1 to {most} in all")
    content = bytearray(header)
    wanted = header_bytes + count * dtype.itemsize
    # One byte past the end tells extra data, and makes gzip reach, and check, its checksum.
    while piece := stream.read(min(PIECE_BYTES, wanted + 1 - len(content))):
        content += piece
    if len(content) != wanted:
        found = f"more than {wanted}" if len(content) > wanted else str(len(content))
        raise DataError(f"{source}: {found} bytes uncompressed; accepted: {wanted}, as the header says {shape_text}")
    whole = bytes(content)
    values: Integers = np.frombuffer(whole, dtype=dtype, offset=header_bytes).reshape(shape)
    return whole, values if values.ndim == DIMENSIONS[holds] else values[:, 0]


def _not_idx(head: bytes, holds: Holds) -> str:
    """What to say of a file that begins with ``head``, which is no idx header."""
    kind = kind_of(head)
    if kind is not None:
        return f"{kind.what}; accepted: an idx file of {holds}, plain or gzip ({kind.advice})"
    if len(head) < MAGIC_BYTES:
        least = MAGIC_BYTES + DIMENSION_BYTES * DIMENSIONS[holds]
        return f"{len(head)} bytes, truncated in the header; accepted: at least {least}"
    accepted = bytes([0, 0, UNSIGNED_BYTE, DIMENSIONS[holds]])
    return f"no idx file: magic number 0x{head[:MAGIC_BYTES].hex()}; accepted: 0x{accepted.hex()}"


def _check_magic(type_number: int, dimensions: int, source: str, holds: Holds) -> None:
    """Raises ``DataError`` that names type and dimensions of a file if they are not those of ``holds``."""
    types = (UNSIGNED_BYTE,) if holds == "images" else LABEL_TYPES
    if type_number not in types:
        accepted = " or ".join(f"{TYPES[number][0]} (0x{number:02x})" for number in types)
        raise DataError(
            f"{source}: {TYPES[type_number][0]} (idx type 0x{type_number:02x}); accepted: {holds} of {accepted}"
        )
    as_qmnist = holds == "labels" and (type_number, dimensions) == (INT32, 2)
    if dimensions != DIMENSIONS[holds] and not as_qmnist:
        found = f"{dimensions} dimension{'' if dimensions == 1 else 's'} of {TYPES[type_number][0]}"
        raise DataError(f"{source}: {found}; accepted: {holds}, which have {DIMENSIONS[holds]}")
