"""Whether two runs of the same network on the same data, on two machines, are at the same place with the same bits."""

from __future__ import annotations

from pathlib import Path

from emulator.compare import state_difference
from emulator.compare_trace import Verdict
from emulator.errors import CheckpointError
from emulator.training.checkpoint import Checkpoint, read_checkpoint
from emulator.training.loop import CHECKPOINT_NAME

#: Of every epoch: what follows from the bits alone.
EPOCH_FIELDS = ("images", "train_error", "test_error", "counters", "weights")


def compare_checkpoints(first: Path, second: Path) -> Verdict:
    """Compare all arrays of both states, and errors, counters and histograms of every epoch. A path is a checkpoint, or the
    folder of a run. Raises CheckpointError for what is no checkpoint, and for runs that cannot be compared: of other configs,
    other data, or another number of images.
    """
    paths = [path / CHECKPOINT_NAME if path.is_dir() else path for path in (first, second)]
    one, other = checkpoints = [read_checkpoint(path) for path in paths]
    for what, ours, theirs in (
        ("config", one.header.config_digest, other.header.config_digest),
        ("data", one.header.data_fingerprint, other.header.data_fingerprint),
        ("training images", _images(one), _images(other)),
        ("tested epochs", one.header.epochs_done, other.header.epochs_done),
    ):
        if ours != theirs:
            raise CheckpointError(
                f"checkpoints {str(paths[0])!r} and {str(paths[1])!r}: {what} {ours} and {theirs}; accepted: the same"
            )
    names = [checkpoint.header.machine for checkpoint in checkpoints]
    if names[0] == names[1]:
        names = [str(path) for path in paths]
    difference = state_difference(names, [one.state, other.state]) or _record_difference(names, one, other)
    if difference is not None:
        return Verdict(False, f"first difference: {difference}")
    weights = sum(array.size for name, array in one.state.items() if name.endswith(".weights"))
    return Verdict(True, f"bit-exact: {weights} weights, {_images(one)} images")


def _images(checkpoint: Checkpoint) -> int:
    header = checkpoint.header
    return header.epochs_done * header.train_images + header.image


def _record_difference(names: list[str], one: Checkpoint, other: Checkpoint) -> str | None:
    """Of the epochs, and of what is done of the next."""
    for ours, theirs in zip(one.header.records, other.header.records, strict=True):
        for field in EPOCH_FIELDS:
            if getattr(ours, field) != getattr(theirs, field):
                values = f"{names[0]} {getattr(ours, field)}, {names[1]} {getattr(theirs, field)}"
                return f"epoch {ours.epoch}, {field}: {values}"
    errors = [checkpoint.header.epoch_errors for checkpoint in (one, other)]
    if errors[0] != errors[1]:
        return f"wrong answers in the epoch under way: {names[0]} {errors[0]}, {names[1]} {errors[1]}"
    return None
