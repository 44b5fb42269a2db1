"""Two runs compared by their checkpoints: what is equal, what differs, and what cannot be compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.errors import CheckpointError
from emulator.training.checkpoint import Checkpoint, save_checkpoint
from emulator.training.compare_checkpoints import compare_checkpoints
from tests.training.test_checkpoint import make_checkpoint
from tests.training.toy import toy_config

IMAGE = 17
WEIGHTS = 155


def with_header(checkpoint: Checkpoint, **changes: Any) -> Checkpoint:
    return replace(checkpoint, header=checkpoint.header.model_copy(update=changes))


def with_record(checkpoint: Checkpoint, **changes: Any) -> Checkpoint:
    return with_header(checkpoint, records=[checkpoint.header.records[0].model_copy(update=changes)])


def with_weight(checkpoint: Checkpoint) -> Checkpoint:
    state = {name: array.copy() for name, array in checkpoint.state.items()}
    state["K1.weights"][1, 2] += 1
    return replace(checkpoint, state=state)


def compared(folder: Path, change: Callable[[Checkpoint], Checkpoint]) -> tuple[bool, str]:
    """A run on golden and its changed copy on rtl."""
    golden, rtl = folder / "golden.npz", folder / "rtl.npz"
    save_checkpoint(golden, make_checkpoint())
    save_checkpoint(rtl, change(with_header(make_checkpoint(), machine="rtl")))
    verdict = compare_checkpoints(golden, rtl)
    return verdict.equal, verdict.text


def test_equal_runs(tmp_path: Path) -> None:
    """What a clock has measured may differ."""
    equal, text = compared(tmp_path, lambda run: with_record(run, seconds=99.0, images_per_second=0.1))
    assert (equal, text) == (True, f"bit-exact: {WEIGHTS} weights, {60 + IMAGE} images")


def test_a_folder_stands_for_its_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoint.npz", make_checkpoint())
    assert compare_checkpoints(tmp_path, tmp_path / "checkpoint.npz").equal


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (with_weight, "layer K1, weights, row 1, column 2: golden "),
        (lambda run: with_record(run, test_error=0.25), "epoch 1, test_error: golden 0.333"),
        (lambda run: with_record(run, counters={}), "epoch 1, counters: golden "),
        (lambda run: with_header(run, epoch_errors=4), "wrong answers in the epoch under way: golden 3, rtl 4"),
    ],
)
def test_a_difference_is_named(change: Callable[[Checkpoint], Checkpoint], place: str, tmp_path: Path) -> None:
    equal, text = compared(tmp_path, change)
    assert not equal and text.startswith(f"first difference: {place}")


def test_what_is_not_a_number_in_both_is_equal(tmp_path: Path) -> None:
    """Of runs whose weights were no longer finite."""
    saved = make_checkpoint(machine="reference")
    weights = saved.state["K1.weights"].astype(np.float64)
    weights[1, 2:4] = np.nan
    for name, value in (("one", np.nan), ("same", np.nan), ("other", 0.5)):
        weights[1, 3] = value
        save_checkpoint(tmp_path / name, replace(saved, state=saved.state | {"K1.weights": weights.copy()}))
    assert compare_checkpoints(tmp_path / "one", tmp_path / "same").equal
    verdict = compare_checkpoints(tmp_path / "one", tmp_path / "other")
    assert "layer K1, weights, row 1, column 3: " in verdict.text and "nan" in verdict.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: with_header(run, image=IMAGE + 1), "training images 77 and 78; accepted: the same"),
        (lambda run: with_header(run, train_images=77, epochs_done=0, image=77, records=[]), "tested epochs 1 and 0"),
        (lambda run: with_header(run, data_fingerprint="0"), "data "),
        (lambda run: with_header(run, config_digest=toy_config("seed=9").digest), "config "),
    ],
)
def test_other_runs_are_refused(change: Callable[[Checkpoint], Checkpoint], message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        compared(tmp_path, change)
