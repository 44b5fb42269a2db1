"""Reader of idx files, the format MNIST is published in: a big-endian header, then one unsigned byte per value.

The header is two zero bytes, the type (8: unsigned byte), the number of dimensions, and each dimension in 4 bytes.
"""

from __future__ import annotations

import gzip
import io
import math
import stat
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.errors import DataError

UNSIGNED_BYTE = 8

#: Largest file taken, stored or uncompressed: well above every published set of small images (EMNIST: 550 MB).
MAXIMUM_BYTES = 1 << 30

#: Uncompressed data are taken in pieces, so that a header that promises more than the file holds costs no memory.
PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class IdxFile:
    """One idx file: its name for errors, its bytes stored and uncompressed, and its values (read-only) in shape."""

    source: str
    compressed: bool
    stored: bytes
    content: bytes
    values: NDArray[np.uint8]


def printable(thing: object) -> str:
    """``thing`` as text on one line: quoted with escapes if it holds line breaks or other control characters."""
    text = str(thing)
    return text if text.isprintable() else repr(text)


def read_idx(candidates: Sequence[Path], dimensions: int) -> IdxFile | None:
    """The first of ``candidates`` that exists, with ``dimensions`` dimensions, or None if none exists.

    A name that ends in ``.gz`` is gzip. Raises ``DataError``, naming the file, if it cannot be read, is not a regular
    file, is larger than 1 GiB, or is not a whole and correct idx file (see ``decode_idx``).
    """
    for path in candidates:
        source = printable(path)
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{source}: not a regular file; accepted: an idx file")
            if status.st_size > MAXIMUM_BYTES:
                raise DataError(f"{source}: {status.st_size} bytes; accepted: up to {MAXIMUM_BYTES}")
            stored = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:  # ValueError: a path with characters no file name can have
            reason = (isinstance(error, OSError) and error.strerror) or error
            raise DataError(f"{source}: cannot be read ({printable(reason)}); accepted: a readable idx file") from error
        return decode_idx(stored, source, dimensions, compressed=path.suffix == ".gz")
    return None


def decode_idx(stored: bytes, source: str, dimensions: int, *, compressed: bool) -> IdxFile:
    """The idx file in ``stored``, which is gzip if ``compressed``; ``source`` names it in errors.

    No more is uncompressed than the header promises, and never more than 1 GiB. Raises ``DataError`` if the file is
    empty, truncated, longer than its header says, not gzip or corrupt gzip (checksum included), or if its magic
    number, number of dimensions or any dimension is not acceptable.
    """
    if not stored:
        raise DataError(f"{source}: empty file; accepted: an idx file with {dimensions} dimensions")
    if not compressed:
        content, values = _parse(io.BytesIO(stored), source, dimensions)
        return IdxFile(source, compressed, stored, content, values)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(stored)) as stream:
            content, values = _parse(stream, source, dimensions)
    except EOFError as error:
        raise DataError(f"{source}: truncated gzip, {len(stored)} bytes; accepted: the whole file") from error
    except (OSError, zlib.error) as error:
        raise DataError(f"{source}: corrupt gzip ({printable(error)}); accepted: an intact gzip file") from error
    return IdxFile(source, compressed, stored, content, values)


def _parse(stream: io.BufferedIOBase, source: str, dimensions: int) -> tuple[bytes, NDArray[np.uint8]]:
    """All bytes of the uncompressed ``stream`` and the values in them; errors as of ``decode_idx``."""
    header_bytes = 4 + 4 * dimensions
    header = stream.read(header_bytes)
    accepted = bytes([0, 0, UNSIGNED_BYTE, dimensions])
    magic = header[:4]
    # The magic number first: a file of another kind is worth that message even if it is short.
    if len(magic) == 4 and magic != accepted:
        if magic[:3] == accepted[:3]:
            raise DataError(f"{source}: {magic[3]} dimensions; accepted: {dimensions}")
        raise DataError(f"{source}: magic number 0x{magic.hex()}; accepted: 0x{accepted.hex()}")
    if len(header) < header_bytes:
        raise DataError(f"{source}: {len(header)} bytes, truncated in the header; accepted: at least {header_bytes}")
    shape = tuple(int.from_bytes(header[start : start + 4]) for start in range(4, header_bytes, 4))
    shape_text = "x".join(map(str, shape))
    expected = math.prod(shape)
    if not 1 <= expected <= MAXIMUM_BYTES:
        raise DataError(f"{source}: header promises {shape_text} values; accepted: 1 to {MAXIMUM_BYTES} in all")
    content = bytearray(header)
    wanted = header_bytes + expected
    # One byte past the end tells extra data, and makes gzip reach, and check, its checksum.
    while piece := stream.read(min(PIECE_BYTES, wanted + 1 - len(content))):
        content += piece
    if len(content) != wanted:
        found = f"more than {wanted}" if len(content) > wanted else str(len(content))
        raise DataError(f"{source}: {found} bytes uncompressed; accepted: {wanted}, as the header says {shape_text}")
    whole = bytes(content)
    return whole, np.frombuffer(whole, dtype=np.uint8, offset=header_bytes).reshape(shape)
