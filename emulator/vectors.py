"""Test vectors: stimulus and expected response of every block of the digital periphery, as files.

The cases are those of emulator/vector_cases.py, the first axis counts them. For a block there are, in one folder,

- ``BLOCK.npz``: the arrays ``stimulus.PORT`` and ``response.PORT``, and ``description``, the text of the next file;
- ``BLOCK.json``: parameters of the block, and of every port its direction, width, sign, shape and file;
- ``BLOCK.PORT.hex``: what ``$readmemh`` reads: one word per line in row-major order, two's complement, in as many
  hexadecimal digits as its width needs.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from emulator.atomic import write_atomically
from emulator.memory import require_memory
from emulator.vector_cases import Port, Vectors, draw_cases

#: Cases that are drawn to see how large one is.
SAMPLE = 16
#: Bytes at least that a set of cases takes, for each byte of its words: as drawn, as Python's integers, and as text.
BYTES_PER_BYTE = 4


def write_vectors(block: str, count: int, seed: int, out: Path) -> list[Path]:
    """Write ``count`` cases of ``block``, drawn from ``seed``, into the folder ``out``; returns the files.

    Nothing is written before everything is drawn; then every file in one step, the JSON last, so that a set whose
    JSON is there is whole.
    Raises CrosspointError for an unknown block or a count or seed out of range, MemoryNeedError for more cases than
    the memory holds, OSError where ``out`` is not writable.
    """
    _check_memory(block, count, seed)
    vectors = draw_cases(block, count, seed)
    description = json.dumps(_describe(block, count, seed, vectors), indent=2) + "\n"
    contents = {f"{block}.{name}.hex": _hexadecimal(port) for _, name, port in _ports(vectors)}
    contents[f"{block}.npz"] = _archive(vectors, description)
    contents[f"{block}.json"] = description.encode()
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_atomically(out / name, content)
    return [out / name for name in contents]


def _check_memory(block: str, count: int, seed: int) -> None:
    sample = min(count, SAMPLE)
    words = sum(port.values.nbytes for _, _, port in _ports(draw_cases(block, sample, seed)))
    needed = BYTES_PER_BYTE * words * count // sample
    require_memory(f"count = {count} of block {block}", needed, "fewer cases, in several calls with seeds of their own")


def _ports(vectors: Vectors) -> Iterator[tuple[str, str, Port]]:
    for direction, ports in (("stimulus", vectors.stimulus), ("response", vectors.response)):
        for name, port in ports.items():
            yield direction, name, port


def _describe(block: str, count: int, seed: int, vectors: Vectors) -> dict[str, Any]:
    return {
        "block": block,
        "count": count,
        "seed": seed,
        "parameters": vectors.parameters,
        "ports": {
            name: {
                "direction": direction,
                "width": port.width,
                "signed": port.signed,
                "shape": list(port.values.shape),
                "file": f"{block}.{name}.hex",
            }
            for direction, name, port in _ports(vectors)
        },
    }


def _hexadecimal(port: Port) -> bytes:
    """One word per line. Raises ValueError for a word that its width does not hold: a width stated wrongly here."""
    low = -(1 << (port.width - 1)) if port.signed else 0
    high = low + (1 << port.width) - 1
    words: list[int] = port.values.ravel().tolist()
    if min(words) < low or max(words) > high:
        raise ValueError(f"words {min(words)} .. {max(words)} do not fit {port.width} bits, signed = {port.signed}")
    mask, digits = (1 << port.width) - 1, -(-port.width // 4)
    return "".join(f"{word & mask:0{digits}x}\n" for word in words).encode()


def _archive(vectors: Vectors, description: str) -> bytes:
    arrays = {f"{direction}.{name}": port.values for direction, name, port in _ports(vectors)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays, description=np.array(description))
    return buffer.getvalue()
