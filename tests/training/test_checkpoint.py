import errno
import hashlib
import io
import json
import math
import os
import random
import resource
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.config import Config
from emulator.errors import CheckpointError
from emulator.training.checkpoint import MAXIMUM_BYTES, Checkpoint, fingerprint, load_checkpoint, save_checkpoint
from emulator.training.header import Header
from emulator.training.log import HISTOGRAM_BINS, EpochRecord, Histogram, layer_counters
from tests.training.toy import ToyMachine, same_states, toy_config, toy_dataset

DIGEST_LENGTH = 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.npz"


def make_checkpoint(config: Config | None = None, machine: str = "golden", image: int = 17) -> Checkpoint:
    config = config or toy_config()
    dataset = toy_dataset()
    toy = ToyMachine(config)
    toy.train(dataset.train_images[:image], dataset.train_labels[:image])
    counters = layer_counters(config, toy.state())
    histogram = Histogram(low=-1.0, high=1.0, counts=[1] * HISTOGRAM_BINS)
    record = EpochRecord(
        epoch=1, images=60, train_error=0.5, test_error=1 / 3, seconds=0.1, images_per_second=600.0, counters=counters,
        weights={stage.name: histogram for stage in config.stages},
    )  # fmt: skip
    header = Header(
        version=1, arithmetic=2, machine=machine, config_digest=config.digest, config=config.model_dump(mode="json"),
        data_name="toy", train_images=60, test_images=20, data_fingerprint=fingerprint(dataset), epochs_done=1,
        image=image, epoch_errors=3, epoch_seconds=0.1, epoch_start_counters=counters, records=[record],
    )  # fmt: skip
    return Checkpoint(header, toy.state())


def load(path: Path, config: Config | None = None, machine: str = "golden") -> Checkpoint:
    return load_checkpoint(path, config or toy_config(), machine, toy_dataset())


def refusal(path: Path, config: Config | None = None, machine: str = "golden") -> str:
    with pytest.raises(CheckpointError) as caught:
        load(path, config, machine)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def rehash(body: bytes) -> bytes:
    """A file whose digest fits whatever is in it."""
    return body + hashlib.sha256(body).hexdigest().encode()


def test_what_is_saved_is_loaded(path: Path) -> None:
    saved = make_checkpoint()
    save_checkpoint(path, saved)
    loaded = load(path)
    assert loaded.header == saved.header
    assert same_states(loaded.state, saved.state)
    assert list(path.parent.iterdir()) == [path]


def test_it_is_a_numpy_archive_and_its_bytes_depend_on_the_contents_alone(path: Path) -> None:
    saved = make_checkpoint()
    save_checkpoint(path, saved)
    first = path.read_bytes()
    with np.load(path, allow_pickle=False) as archive:
        assert np.array_equal(archive["state/K1.weights"], saved.state["K1.weights"])
    save_checkpoint(path, saved)
    assert path.read_bytes() == first


@pytest.mark.parametrize("machine", ["fast", "rtl", "board"])
def test_bit_exact_machines_go_on_from_each_other(path: Path, machine: str) -> None:
    save_checkpoint(path, make_checkpoint(machine=machine))
    assert load(path, machine="golden").header.machine == machine


@pytest.mark.parametrize(("saved", "wanted"), [("reference", "golden"), ("fast", "reference")])
def test_the_reference_does_not_share_checkpoints(path: Path, saved: str, wanted: str) -> None:
    save_checkpoint(path, make_checkpoint(machine=saved))
    message = refusal(path, machine=wanted)
    assert repr(saved) in message and repr(wanted) in message


@pytest.mark.parametrize(
    ("assignment", "named"),
    [
        ("seed=2", "seed = 1; accepted: the same, not 2"),
        ("layers.K1.outputs=4", "layers.K1.outputs = 3"),
        ("layers.W2.array.device.dw_min=0.002", "layers.W2.array.device.dw_min = 0.001"),
    ],
)
def test_another_config_is_refused_by_its_first_field(path: Path, assignment: str, named: str) -> None:
    save_checkpoint(path, make_checkpoint())
    assert named in refusal(path, toy_config(assignment))


def test_name_and_description_do_not_matter(path: Path) -> None:
    save_checkpoint(path, make_checkpoint())
    assert load(path, toy_config("name=other", "description=else")).header.config["name"] == "tiny"


@pytest.mark.parametrize("part", ["train_images", "train_labels", "test_images", "test_labels"])
def test_other_data_are_refused(path: Path, part: str) -> None:
    save_checkpoint(path, make_checkpoint())
    array = getattr(toy_dataset(), part).copy()
    array.flat[-1] ^= 1
    with pytest.raises(CheckpointError, match="of other data, 'toy' with 60 training and 20 test images"):
        load_checkpoint(path, toy_config(), "golden", replace(toy_dataset(), **{part: array}))


def test_missing_empty_and_unreadable_files_are_refused(path: Path) -> None:
    assert "missing" in refusal(path)
    path.write_bytes(b"")
    assert "0 bytes" in refusal(path)
    path.write_bytes(b"PK" + bytes(1000))
    assert "1002 bytes" in refusal(path)
    path.unlink()
    path.mkdir()
    assert "cannot be read" in refusal(path)


def test_any_flipped_bit_is_refused(path: Path) -> None:
    save_checkpoint(path, make_checkpoint())
    contents = path.read_bytes()
    dice = random.Random(1)
    for _ in range(150):
        place = dice.randrange(len(contents))
        damaged = bytearray(contents)
        damaged[place] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        assert "SHA-256" in refusal(path), place


def test_any_truncation_and_extension_is_refused(path: Path) -> None:
    save_checkpoint(path, make_checkpoint())
    contents = path.read_bytes()
    for length in [*range(1, len(contents), 197), len(contents) - 1]:
        path.write_bytes(contents[:length])
        assert "SHA-256" in refusal(path), length
    path.write_bytes(contents + b"\n")
    refusal(path)


def test_damage_under_a_fitting_digest_never_escapes_as_another_error(path: Path) -> None:
    """Beyond what accidents do: the digest is made to fit, so the parser itself meets the damage."""
    save_checkpoint(path, make_checkpoint())
    body = path.read_bytes()[:-DIGEST_LENGTH]
    original = load(path)
    dice = random.Random(2)
    refused = 0
    for _ in range(200):
        damaged = bytearray(body)
        for _ in range(dice.choice((1, 1, 4))):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        if dice.random() < 0.3:
            del damaged[dice.randrange(len(damaged)) :]
        path.write_bytes(rehash(bytes(damaged)))
        try:
            loaded = load(path)
        except CheckpointError:
            refused += 1
        else:
            # Only bytes that mean nothing to the reader, such as the time stamps of the archive, may pass.
            assert loaded.header == original.header and same_states(loaded.state, original.state)
    assert 100 < refused < 200


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
        archive.comment = b"0" * DIGEST_LENGTH
    path.write_bytes(rehash(buffer.getvalue()[:-DIGEST_LENGTH]))


def replace_in_header(old: bytes, new: bytes) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        text = np.load(io.BytesIO(members["header.npy"])).tobytes()
        assert old in text
        buffer = io.BytesIO()
        np.save(buffer, np.frombuffer(text.replace(old, new), dtype=np.uint8))
        members["header.npy"] = buffer.getvalue()

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (replace_in_header(b'"version":1', b'"version":2'), "format version 2; accepted: 1"),
        (replace_in_header(b'"arithmetic":2', b'"arithmetic":3'), "arithmetic version 3; accepted: 2"),
        (replace_in_header(b'"arithmetic":2,', b""), "arithmetic version 1; accepted: 2"),
        (replace_in_header(b'"image":17', b'"image":"17"'), "not in the format"),
        (replace_in_header(b'"image":17,', b""), "not in the format"),
        (replace_in_header(b'"machine":', b'"surprise":1,"machine":'), "not in the format"),
        (lambda members: members.pop("header.npy"), "not in the format"),
    ],
)
def test_other_versions_and_formats_are_refused(
    path: Path, change: Callable[[dict[str, bytes]], None], said: str
) -> None:
    save_checkpoint(path, make_checkpoint())
    rewrite(path, change)
    assert said in refusal(path)


def test_the_rewriting_of_these_tests_is_itself_accepted(path: Path) -> None:
    save_checkpoint(path, make_checkpoint())
    rewrite(path, lambda members: None)
    assert load(path).header == make_checkpoint().header


def set_in_header(path: str, value: Any) -> Callable[[dict[str, bytes]], None]:
    """Another value at a path such as ``records.0.epoch``."""

    def change(members: dict[str, bytes]) -> None:
        tree = json.loads(np.load(io.BytesIO(members["header.npy"])).tobytes())
        *parts, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place = tree
        for part in parts:
            place = place[part]
        place[last] = value
        buffer = io.BytesIO()
        np.save(buffer, np.frombuffer(json.dumps(tree).encode(), dtype=np.uint8))
        members["header.npy"] = buffer.getvalue()

    return change


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("epochs_done", -1, "epochs_done = -1; accepted: 0 to"),
        ("epochs_done", 2, "epochs_done = 2; accepted: 1, the number of its records"),
        ("epochs_done", 10**30, "epochs_done = 1"),
        ("image", -1, "image = -1; accepted: 0 to 60"),
        ("image", 61, "image = 61; accepted: 0 to 60"),
        ("epoch_errors", 18, "epoch_errors = 18; accepted: 0 to 17"),
        ("epoch_seconds", -0.5, "epoch_seconds = -0.5; accepted: 0 to"),
        ("train_images", 0, "train_images = 0; accepted: 1 to"),
        ("train_images", 61, "train_images = 61, test_images = 20; accepted: 60 and 20"),
        ("epoch_start_counters.K1.row_pulses", -1, "epoch_start_counters.K1.row_pulses = -1; accepted: 0 to"),
        ("epoch_start_counters.K1.row_pulses", 10**6, "row_pulses = 1000000; accepted: at most 136, the state's"),
        ("epoch_start_counters.K1", {}, "epoch_start_counters of layers ['K1', 'W2', 'W3']; accepted: forward_reads"),
        ("epoch_start_counters", {}, "epoch_start_counters of layers []"),
        ("records", [], "epochs_done = 1; accepted: 0, the number of its records"),
        ("records.0.epoch", 2, "records[0].epoch = 2; accepted: 1"),
        ("records.0.images", 0, "records[0].images = 0"),
        ("records.0.test_error", 1.5, "records[0].test_error = 1.5; accepted: 0 to 1"),
        ("records.0.counters.W3.coincidences", -5, "records[0].counters.W3.coincidences = -5"),
        ("records.0.counters", {}, "records[0].counters of layers []"),
        ("records.0.weights", {}, "records[0].weights of layers []; accepted: ['K1', 'W2', 'W3']"),
        ("records.0.weights.K1.counts", [1], "records[0].weights.K1: no histogram"),
        ("records.0.weights.K1.low", 2.0, "records[0].weights.K1: no histogram"),
        ("epoch_seconds", math.nan, "epoch_seconds"),
        ("records.0.train_error", math.nan, "train_error"),
    ],
)
def test_a_header_that_cannot_be_is_refused_by_its_first_field(path: Path, place: str, value: Any, said: str) -> None:
    save_checkpoint(path, make_checkpoint())
    rewrite(path, set_in_header(place, value))
    assert said in refusal(path)


def test_counters_of_another_shape_are_refused(path: Path) -> None:
    saved = make_checkpoint()
    save_checkpoint(path, replace(saved, state=saved.state | {"K1.counters": np.zeros(3, dtype=np.int64)}))
    assert "state 'K1.counters' has shape [3]; accepted: [10]" in refusal(path)


def member(shape: str, contents: bytes = b"") -> bytes:
    """An array as NumPy stores it, which claims any shape."""
    text = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}"
    header = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + contents


@pytest.mark.parametrize(
    "shape", ["(1000000000,)", "(100000, 100000, 100000)", "(-1,)", "(2, -4)", "(3,)", "(1,)", "()"]
)
def test_an_array_that_is_not_as_large_as_it_says_takes_no_memory(path: Path, shape: str) -> None:
    save_checkpoint(path, make_checkpoint())
    rewrite(path, lambda members: members.update({"state/K1.weights.npy": member(shape, bytes(16))}))
    assert "not in the format" in peak_of(lambda: refusal(path))


def test_an_array_that_is_compressed_takes_no_memory(path: Path) -> None:
    save_checkpoint(path, make_checkpoint())
    bomb = {"state/K1.weights.npy": member("(12500000,)", bytes(100_000_000))}
    rewrite(path, lambda members: members.update(bomb), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    assert "not in the format" in peak_of(lambda: refusal(path))


def peak_of(call: Callable[[], str]) -> str:
    """What the call returns; it must not take more than a few megabytes meanwhile."""
    tracemalloc.start()
    try:
        answer = call()
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    return answer


def test_a_file_that_is_too_large_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAXIMUM_BYTES + 1)
    assert f"{MAXIMUM_BYTES + 1} bytes; accepted: at most {MAXIMUM_BYTES}" in refusal(path)


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    save_checkpoint(path, make_checkpoint())

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(CheckpointError, match="No space left on device") as caught:
        save_checkpoint(path, make_checkpoint(image=18))
    monkeypatch.undo()
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert list(path.parent.iterdir()) == [path]
    assert load(path).header.image == 17


def test_a_write_that_ends_half_way_leaves_the_old_checkpoint_and_nothing_else(path: Path) -> None:
    save_checkpoint(path, make_checkpoint())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, hard))
    try:
        with pytest.raises(CheckpointError, match="File too large"):
            save_checkpoint(path, make_checkpoint(image=18))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(path.parent.iterdir()) == [path]
    assert load(path).header.image == 17


def test_an_interrupted_write_leaves_the_old_checkpoint_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(path, make_checkpoint())

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, make_checkpoint(image=18))
    assert list(path.parent.iterdir()) == [path]
    assert load(path).header.image == 17


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"file/checkpoint.npz.*Not a directory"):
        save_checkpoint(tmp_path / "file" / "checkpoint.npz", make_checkpoint())
