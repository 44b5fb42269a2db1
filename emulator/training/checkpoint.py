"""The checkpoint of a run: one file that holds everything needed to go on with the same bits.

``checkpoint.npz`` is an ordinary NumPy archive: ``header`` (JSON text) and one array ``state/NAME`` per array of the
machine's state. Its archive comment is the SHA-256 of every byte before that comment, so it is checked as a whole
before anything in it is believed.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emulator.atomic import write_atomically
from emulator.config import BITLESS, Config
from emulator.errors import CheckpointError
from emulator.fixed import ARITHMETIC_VERSION
from emulator.machine import State
from emulator.training.datasets import Dataset
from emulator.training.header import Header, header_fault, run_fault

FORMAT_VERSION = 1
#: A device takes 4 bytes, or 8 in the float reference: no network that is trained here has half a billion.
MAXIMUM_BYTES = 4 << 30
_DIGEST_LENGTH = hashlib.sha256().digest_size * 2  # as hexadecimal digits


@dataclass(frozen=True)
class Checkpoint:
    """A header and the machine's state at that moment."""

    header: Header
    state: State


def machine_family(machine: str) -> str:
    """Machines of one family hold the same bits and may go on from each other's checkpoints."""
    return machine if machine == "reference" else "bit-exact"


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 of the images and labels of a data set, shapes included."""
    digest = hashlib.sha256()
    for array in (dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace ``path`` in one step. Raises CheckpointError if it cannot be written; the old file is then intact."""
    arrays = {f"state/{name}": array for name, array in checkpoint.state.items()}
    arrays["header"] = np.frombuffer(checkpoint.header.model_dump_json().encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
        archive.comment = b"0" * _DIGEST_LENGTH
    contents = buffer.getvalue()[:-_DIGEST_LENGTH]
    try:
        write_atomically(path, contents + hashlib.sha256(contents).hexdigest().encode())
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {str(path)!r}: cannot be written: {error.strerror}; accepted: a writable folder with room"
        ) from error


def load_checkpoint(path: Path, config: Config, machine: str, dataset: Dataset) -> Checkpoint:
    """The checkpoint at ``path``, if it is whole and belongs to this config, family of machines and data set.

    Raises CheckpointError otherwise. Nothing of a checkpoint that fails any check is handed out.
    """
    checkpoint = read_checkpoint(path)
    header = checkpoint.header
    if header.config_digest != config.digest:
        difference = _first_difference(header.config, config.model_dump(mode="json"))
        raise CheckpointError(f"checkpoint {str(path)!r}: of another config: {difference}")
    if machine_family(header.machine) != machine_family(machine):
        raise CheckpointError(
            f"checkpoint {str(path)!r}: of machine {header.machine!r}, which {machine!r} does not share bits with; "
            f"accepted: the same machine, or both among golden, fast, rtl, board"
        )
    if header.data_fingerprint != fingerprint(dataset):
        raise CheckpointError(
            f"checkpoint {str(path)!r}: of other data, {header.data_name!r} with {header.train_images} training and "
            f"{header.test_images} test images; accepted: the same images, not {dataset.name!r} with "
            f"{len(dataset.train_images)} and {len(dataset.test_images)}"
        )
    if (header.train_images, header.test_images) != (len(dataset.train_images), len(dataset.test_images)):
        raise _refused(
            path,
            f"train_images = {header.train_images}, test_images = {header.test_images}; "
            f"accepted: {len(dataset.train_images)} and {len(dataset.test_images)}, those of its data",
        )
    fault = run_fault(header, checkpoint.state, config)
    if fault is not None:
        raise _refused(path, fault)
    return checkpoint


def require_checkpoint(path: Path) -> None:
    """Raise CheckpointError unless there is a file."""
    if not path.exists():
        raise CheckpointError(f"checkpoint {str(path)!r}: missing; accepted: a run to resume")


def _refused(path: Path, fault: str) -> CheckpointError:
    return CheckpointError(f"checkpoint {str(path)!r}: {fault}")


def read_checkpoint(path: Path) -> Checkpoint:
    """The contents, checked to be whole and not to contradict themselves, but not yet to belong to any run.

    Takes memory in proportion to the file's bytes, whatever it says of itself.
    """
    require_checkpoint(path)
    try:
        size = path.stat().st_size
        if size > MAXIMUM_BYTES:
            raise _refused(path, f"{size} bytes; accepted: at most {MAXIMUM_BYTES}")
        contents = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"checkpoint {str(path)!r}: cannot be read: {error.strerror}") from error
    body, stored = contents[:-_DIGEST_LENGTH], contents[-_DIGEST_LENGTH:]
    if not body or hashlib.sha256(body).hexdigest().encode() != stored:
        raise CheckpointError(
            f"checkpoint {str(path)!r}: {len(contents)} bytes whose SHA-256 does not fit: truncated, damaged or not a "
            f"checkpoint; accepted: a whole file written by train"
        )
    # The bytes are those that were written, but perhaps by another version of this program.
    try:
        with zipfile.ZipFile(io.BytesIO(contents)) as archive:
            arrays = {
                member.filename.removesuffix(".npy"): _read_array(archive, member) for member in archive.infolist()
            }
        text = arrays.pop("header").tobytes()
        tree = json.loads(text)
        # The first edition, whose arithmetic is version 1, wrote no number.
        for what, number, ours in (
            ("format", tree["version"], FORMAT_VERSION),
            ("arithmetic", tree.get("arithmetic", 1), ARITHMETIC_VERSION),
        ):
            if number != ours:
                raise _refused(path, f"{what} version {number!r}; accepted: {ours}, or the edition that wrote it")
        header = Header.model_validate_json(text)
    except CheckpointError:
        raise
    except Exception as error:  # zipfile and NumPy have a dozen kinds of exceptions for what is not theirs
        raise CheckpointError(
            f"checkpoint {str(path)!r}: not in the format of this program; accepted: a file written by train"
        ) from error
    fault = header_fault(header)
    if fault is not None:
        raise _refused(path, fault)
    return Checkpoint(header, {name.removeprefix("state/"): array for name, array in arrays.items()})


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """An array that is stored as it is, and as large as it says. Raises ValueError otherwise, before it takes memory."""
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise ValueError(f"{member.filename}: compressed")
    file = io.BytesIO(archive.read(member))
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{member.filename}: another version")
    shape, fortran_order, kind = np.lib.format.read_array_header_1_0(file)
    contents = file.read()
    if kind.hasobject or math.prod(shape) * kind.itemsize != len(contents) or min(shape, default=0) < 0:
        raise ValueError(f"{member.filename}: {kind}{list(shape)} in {len(contents)} bytes")
    return np.frombuffer(contents, kind).reshape(shape, order="F" if fortran_order else "C").copy()


def _first_difference(then: dict[str, Any], now: dict[str, Any]) -> str:
    """The first field in which two resolved configs differ, with both values."""
    before, after = _flatten(then), _flatten(now)
    for place in [*before, *(place for place in after if place not in before)]:
        if place.split(".")[0] not in BITLESS and before.get(place) != after.get(place):
            return f"{place} = {before.get(place)!r}; accepted: the same, not {after.get(place)!r}"
    return "layers in another order; accepted: the same order"


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat.update(_flatten(value, f"{prefix}.{key}" if prefix else key))
    return flat
