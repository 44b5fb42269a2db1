import errno
import json
import multiprocessing
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tqdm import tqdm

from emulator.atomic import write_atomically
from emulator.config import Config
from emulator.errors import CheckpointError, DataError, DivergenceError, MachineError, RunFolderError, StateError
from emulator.machine import COUNTERS
from emulator.training import loop
from emulator.training.checkpoint import load_checkpoint, save_checkpoint
from emulator.training.loop import Outcome, run_training
from emulator.training.order import epoch_order
from tests.training.toy import (
    Hook,
    ToyMachine,
    run_until_killed,
    same_states,
    straight,
    toy_builder,
    toy_config,
    toy_dataset,
)

TIMINGS = {"seconds", "images_per_second"}


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing is slow and has its own tests; a report here is the number of its epochs."""

    def write(path: Path, run: Any, records: Any) -> None:
        write_atomically(path, str(len(records)).encode())

    monkeypatch.setattr(loop, "write_report", write)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """It matters when power fails, which no test here does, and takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


def run(out: Path, epochs: int = 3, config: Config | None = None, hook: Hook | None = None, **options: Any) -> Outcome:
    options = {"checkpoint_every": 7, "quiet": True, "build": toy_builder(hook), **options}
    return run_training(config or toy_config(), "golden", toy_dataset(), epochs=epochs, out=out, **options)


def records(out: Path) -> list[dict[str, Any]]:
    """The lines of the log without what depends on the clock."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMINGS} for line in lines]


def final_state(out: Path) -> Any:
    return load_checkpoint(out / "checkpoint.npz", toy_config(), "golden", toy_dataset()).state


def test_the_state_is_that_of_training_straight_through(tmp_path: Path) -> None:
    """The toy machine draws while it infers, so this also shows that testing leaves no trace."""
    run(tmp_path)
    assert same_states(final_state(tmp_path), straight(toy_config(), toy_dataset(), 3))


def test_the_log_says_what_happened(tmp_path: Path) -> None:
    outcome = run(tmp_path)
    log = records(tmp_path)
    assert [line["epoch"] for line in log] == [1, 2, 3]
    # An independent machine, stopped after each epoch, tells the same errors.
    dataset, machine = toy_dataset(), ToyMachine(toy_config())
    for line in log:
        order = epoch_order(1, line["epoch"], 60)
        answers = machine.train(dataset.train_images[order], dataset.train_labels[order]).argmax(axis=1)
        assert line["train_error"] == np.mean(answers != dataset.train_labels[order])
        before = machine.state()
        answers = machine.infer(dataset.test_images).argmax(axis=1)
        assert line["test_error"] == np.mean(answers != dataset.test_labels)
        machine.load(before)
        assert line["images"] == 60
        # Counters are those of the epoch, not since the beginning.
        expected = {name: 60 * (place + 1) for place, name in enumerate(COUNTERS)}
        assert line["counters"] == {"K1": expected, "W2": expected, "W3": expected}
        weights = machine.state()["K1.weights"] / 2**17
        histogram = line["weights"]["K1"]
        counts, _ = np.histogram(
            np.clip(weights, histogram["low"], histogram["high"]), 128, (histogram["low"], histogram["high"])
        )
        assert histogram["counts"] == counts.tolist()
    assert outcome == Outcome(log[-1]["test_error"], None)
    assert outcome.exit_code == 0


def test_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, epochs=2)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == 3
    for number, line in enumerate(lines[:2], start=1):
        expected = rf"epoch  {number}  test error \d+\.\d\d %  train error \d+\.\d\d %  \d+ images/s"
        assert re.fullmatch(expected, line)
    assert lines[2] == f"test error {100 * records(tmp_path)[-1]['test_error']:.2f} %"
    assert printed.err == ""


def test_the_bar_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, quiet=False)
    printed = capsys.readouterr()
    assert "images/s]" in printed.err
    assert "\r" not in printed.out


@pytest.mark.parametrize("checkpoint_every", [5, 60, 10_000])
def test_checkpoints_do_not_change_the_run(tmp_path: Path, checkpoint_every: int) -> None:
    run(tmp_path / "a", checkpoint_every=checkpoint_every)
    run(tmp_path / "b")
    assert same_states(final_state(tmp_path / "a"), final_state(tmp_path / "b"))
    assert records(tmp_path / "a") == records(tmp_path / "b")


def test_checkpoints_come_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[tuple[int, int]] = []
    save = save_checkpoint

    def record_save(path: Path, checkpoint: Any) -> None:
        saved.append((checkpoint.header.epochs_done, checkpoint.header.image))
        save(path, checkpoint)

    monkeypatch.setattr(loop, "save_checkpoint", record_save)
    run(tmp_path, epochs=2, checkpoint_every=25)
    assert saved == [(0, 0), (0, 25), (0, 50), (1, 0), (1, 25), (1, 50), (2, 0)]


def test_calls_adapt_to_the_speed_of_the_machine() -> None:
    pace = loop._Pace()
    sizes = []
    for _ in range(8):
        pace.adapt(pace.size, pace.size / 200)
        sizes.append(pace.size)
    assert sizes == [32, 100, 100, 100, 100, 100, 100, 100]  # 200 images/s, half a second a call
    pace.adapt(pace.size, 60.0)
    assert pace.size == 1
    for _ in range(8):
        pace.adapt(pace.size, 1e-5)
    assert pace.size == 500


class DeathError(Exception):
    pass


def die_at(count: int) -> Hook:
    def hook(trained: int) -> None:
        if trained == count:
            raise DeathError

    return hook


@pytest.mark.parametrize("count", [0, 1, 8, 59, 60, 61, 130, 179])
def test_a_run_that_died_goes_on_to_the_same_end(tmp_path: Path, count: int) -> None:
    run(tmp_path / "whole")
    with pytest.raises(DeathError):
        run(tmp_path / "cut", hook=die_at(count))
    run(tmp_path / "cut", resume=True)
    assert same_states(final_state(tmp_path / "cut"), final_state(tmp_path / "whole"))
    assert records(tmp_path / "cut") == records(tmp_path / "whole")


def test_an_extended_run_is_a_longer_run(tmp_path: Path) -> None:
    run(tmp_path / "whole", epochs=3)
    run(tmp_path / "parts", epochs=1)
    run(tmp_path / "parts", epochs=3, resume=True)
    assert same_states(final_state(tmp_path / "parts"), final_state(tmp_path / "whole"))
    assert records(tmp_path / "parts") == records(tmp_path / "whole")


def test_a_complete_run_reports_again_without_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(tmp_path)
    printed = capsys.readouterr().out
    before = (tmp_path / "checkpoint.npz").read_bytes()
    log = (tmp_path / "log.jsonl").read_text()
    (tmp_path / "log.jsonl").write_text(log + '{"epoch": 4, "torn')
    (tmp_path / "report.html").unlink()
    assert run(tmp_path, resume=True, hook=die_at(0)) == first
    assert capsys.readouterr().out == printed
    assert (tmp_path / "checkpoint.npz").read_bytes() == before
    assert (tmp_path / "log.jsonl").read_text() == log
    assert (tmp_path / "report.html").exists()


def test_lines_of_the_log_beyond_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    run(tmp_path / "whole", epochs=2)
    run(tmp_path / "cut", epochs=1)
    with open(tmp_path / "cut" / "log.jsonl", "a") as file:
        file.write('{"epoch": 2, "test_error": 0.5}\n{"epo')
    run(tmp_path / "cut", epochs=2, resume=True)
    assert records(tmp_path / "cut") == records(tmp_path / "whole")


def test_the_report_is_that_of_the_last_epoch(tmp_path: Path) -> None:
    run(tmp_path, epochs=3)
    assert (tmp_path / "report.html").read_text() == "3"


def test_short_epochs_skip_slow_reports_but_never_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []

    def write(path: Path, run: Any, records: Any) -> None:
        time.sleep(0.05)
        written.append(len(records))

    monkeypatch.setattr(loop, "write_report", write)
    run(tmp_path / "a", epochs=4)
    assert written == [1, 4]
    written.clear()
    run(tmp_path / "b", epochs=4, hook=signal_at(signal.SIGTERM, 150))
    assert written == [1, 2]


def test_an_existing_run_is_not_overwritten(tmp_path: Path) -> None:
    run(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match="already there; accepted: --resume, or another --out"):
        run(tmp_path, config=toy_config("seed=2"))
    with pytest.raises(CheckpointError, match="seed = 1"):
        run(tmp_path, config=toy_config("seed=2"), resume=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_checkpoint_of_another_state_is_refused_by_the_machine(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    log = (tmp_path / "log.jsonl").read_text()

    class Foreign(ToyMachine):
        def state(self) -> Any:
            return {**super().state(), "more": np.zeros(1)}

    with pytest.raises(MachineError, match="more"):
        run(tmp_path, resume=True, build=lambda name, config: Foreign(config))
    assert (tmp_path / "log.jsonl").read_text() == log


def test_resuming_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="missing"):
        run(tmp_path, resume=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", ["train", "test"])
def test_data_without_images_are_an_error(tmp_path: Path, part: str) -> None:
    dataset = toy_dataset()
    empty = {f"{part}_{what}": getattr(dataset, f"{part}_{what}")[:0] for what in ("images", "labels")}
    with pytest.raises(DataError, match="'toy': 0 t"):
        run_training(toy_config(), "golden", replace(dataset, **empty), epochs=1, out=tmp_path, build=toy_builder())
    assert list(tmp_path.iterdir()) == []


def test_every_bad_checkpoint_stops_before_anything_is_touched(tmp_path: Path) -> None:
    run(tmp_path)
    path, log = tmp_path / "checkpoint.npz", (tmp_path / "log.jsonl").read_text()
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 4
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="damaged"):
        run(tmp_path, resume=True, epochs=5)
    assert path.read_bytes() == damaged and (tmp_path / "log.jsonl").read_text() == log


# --- other runs, other ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_run_is_refused_and_the_first_goes_on(tmp_path: Path, resume: bool) -> None:
    tried = []

    def hook(trained: int) -> None:
        if trained in (8, 130):
            before = {path.name: path.read_bytes() for path in (tmp_path / "cut").iterdir()}
            with pytest.raises(RunFolderError, match=rf"in use by another run \(process {os.getpid()} on"):
                run(tmp_path / "cut", resume=resume)
            assert {path.name: path.read_bytes() for path in (tmp_path / "cut").iterdir()} == before
            tried.append(trained)

    run(tmp_path / "cut", hook=hook)
    assert tried == [8, 130]
    run(tmp_path / "whole")
    assert same_states(final_state(tmp_path / "cut"), final_state(tmp_path / "whole"))
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {"checkpoint.npz", "log.jsonl", "report.html"}


@pytest.mark.parametrize(("last", "epoch", "image"), [(16, 1, 17), (100, 2, 41)])
def test_weights_that_are_no_longer_finite_end_the_run_with_a_report(
    tmp_path: Path, last: int, epoch: int, image: int
) -> None:
    """Of the first epoch too, and whenever it is resumed."""

    class Diverging(ToyMachine):
        def train(self, images: Any, labels: Any) -> Any:
            for index in range(len(images)):
                if self.counters["K1"][0] == last:
                    raise DivergenceError("K1", index, 1.0)
                super().train(images[index : index + 1], labels[index : index + 1])
            return np.zeros((len(images), 10))

    said = (
        f"layer K1: weights are no longer finite after image {image} of epoch {epoch}: "
        "learning_rate = 1; accepted: a smaller one"
    )
    for resume in (False, True):
        with pytest.raises(MachineError, match=re.escape(said)):
            run(tmp_path, build=lambda name, config: Diverging(config), resume=resume)
        assert (tmp_path / "report.html").read_text() == str(epoch - 1)
        assert len(records(tmp_path)) == epoch - 1


def test_a_state_that_the_machine_refuses_is_told_with_its_file(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)

    class Refusing(ToyMachine):
        def load(self, state: Any) -> None:
            raise StateError("state 'K1.weights'[0, 0] = 9: accepted: 0 to 8")

    said = f"checkpoint '{tmp_path / 'checkpoint.npz'}': state 'K1.weights'[0, 0] = 9: accepted: 0 to 8"
    with pytest.raises(StateError, match=re.escape(said)):
        run(tmp_path, resume=True, build=lambda name, config: Refusing(config))


@pytest.mark.parametrize("name", ["checkpoint.npz", "log.jsonl"])
def test_a_disk_that_fills_leaves_whole_files_and_the_run_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rename = os.replace

    def until_full(source: Path, target: Path) -> None:
        if target.name == name and full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(source, target)

    full: list[int] = []
    monkeypatch.setattr(os, "replace", until_full)
    run(tmp_path / "cut", epochs=1)
    before = (tmp_path / "cut" / name).read_bytes()
    with pytest.raises((OSError, CheckpointError), match=rf"(?s)No space.*{name}|{name}.*No space"):
        run(tmp_path / "cut", epochs=3, resume=True, hook=full.append)
    assert (tmp_path / "cut" / name).read_bytes() == before
    full.clear()
    run(tmp_path / "cut", resume=True)
    run(tmp_path / "whole")
    assert same_states(final_state(tmp_path / "cut"), final_state(tmp_path / "whole"))
    assert records(tmp_path / "cut") == records(tmp_path / "whole")


def test_a_signal_while_the_report_is_written_is_obeyed_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, run: Any, records: Any) -> None:
        if not written:
            signal.raise_signal(signal.SIGTERM)
        written.append(len(records))
        write_atomically(path, str(len(records)).encode())

    written: list[int] = []
    monkeypatch.setattr(loop, "write_report", write)
    assert run(tmp_path).exit_code == 143
    assert (tmp_path / "report.html").read_text() == "1" and len(records(tmp_path)) == 1
    run(tmp_path, resume=True)
    assert same_states(final_state(tmp_path), straight(toy_config(), toy_dataset(), 3))


# --- signals --------------------------------------------------------------------------------------------------------


def signal_at(number: signal.Signals, count: int) -> Hook:
    def hook(trained: int) -> None:
        if trained == count:
            signal.raise_signal(number)

    return hook


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("count", [0, 30, 100])
def test_a_signal_saves_and_the_run_goes_on_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals, code: int, count: int
) -> None:
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    # No checkpoint but that of the signal comes near.
    outcome = run(tmp_path / "cut", hook=signal_at(number, count), checkpoint_every=1000)
    assert outcome.exit_code == code and outcome.test_error is None
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    last = capsys.readouterr().out.splitlines()[-1]
    said = re.fullmatch(r"stopped in epoch (\d) after image (\d+) of 60; the same command with --resume .*", last)
    assert said is not None
    header = load_checkpoint(tmp_path / "cut" / "checkpoint.npz", toy_config(), "golden", toy_dataset()).header
    assert (int(said[1]), int(said[2])) == (header.epochs_done + 1, header.image)
    assert header.epochs_done * 60 + header.image > count
    assert run(tmp_path / "cut", resume=True).exit_code == 0
    run(tmp_path / "whole")
    assert same_states(final_state(tmp_path / "cut"), final_state(tmp_path / "whole"))
    assert records(tmp_path / "cut") == records(tmp_path / "whole")


def test_a_signal_while_testing_leaves_no_trace_either(tmp_path: Path) -> None:
    class SignalledInTest(ToyMachine):
        def infer(self, images: Any) -> Any:
            signal.raise_signal(signal.SIGTERM)
            return super().infer(images)

    outcome = run(tmp_path / "cut", build=lambda name, config: SignalledInTest(config))
    assert outcome.exit_code == 143
    assert records(tmp_path / "cut") == []
    run(tmp_path / "cut", resume=True)
    run(tmp_path / "whole")
    assert same_states(final_state(tmp_path / "cut"), final_state(tmp_path / "whole"))
    assert records(tmp_path / "cut") == records(tmp_path / "whole")


def test_a_second_signal_ends_the_run_at_once(tmp_path: Path) -> None:
    def hook(trained: int) -> None:
        if trained == 20:  # both within one call of the machine, however long a call is at this pace
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)  # to this thread: the first is handled before the second

    # What the second signal does is up to the handler from before the run: that of Python, whoever else has set one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, hook=hook, checkpoint_every=1000)
    finally:
        signal.signal(signal.SIGINT, before)
    run(tmp_path, resume=True)
    assert same_states(final_state(tmp_path), straight(toy_config(), toy_dataset(), 3))


# --- kills ----------------------------------------------------------------------------------------------------------


def in_a_process(target: Callable[..., None], *arguments: Any) -> multiprocessing.Process:
    # fork: the child needs no imports and takes closures; the toy machine starts no threads.
    process = multiprocessing.get_context("fork").Process(target=with_own_lock, args=(target, *arguments))
    process.start()
    return process  # type: ignore[return-value]


def with_own_lock(target: Callable[..., None], *arguments: Any) -> None:
    """tqdm shares its lock with forked children; one that is killed while holding it would stop the parent forever."""
    tqdm.set_lock(threading.RLock())
    target(*arguments)


def slow(trained: int) -> None:
    time.sleep(0.002)


def test_kills_at_random_moments_do_not_change_the_run(tmp_path: Path) -> None:
    dice = random.Random(7)
    kills = 0
    while True:
        resume = (tmp_path / "cut" / "checkpoint.npz").exists()
        process = in_a_process(run_until_killed, tmp_path / "cut", resume, 4, slow)
        process.join(dice.uniform(0.02, 0.25))
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        kills += 1
        assert kills < 200
    assert process.exitcode == 0
    assert kills >= 3
    run(tmp_path / "whole", epochs=4)
    assert same_states(final_state(tmp_path / "cut"), final_state(tmp_path / "whole"))
    assert records(tmp_path / "cut") == records(tmp_path / "whole")
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {"checkpoint.npz", "log.jsonl", "report.html"}


def run_and_die_in(function: str, count: int, out: Path) -> None:
    """A run that is killed just before its ``count``-th call of ``os.fsync`` or ``os.replace``."""
    original, calls = getattr(os, function), 0

    def counted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    setattr(os, function, counted)
    run_until_killed(out, False, 2, None)


@pytest.mark.parametrize(("function", "last"), [("fsync", 48), ("replace", 24)])
def test_a_kill_at_any_step_of_writing_does_not_change_the_run(tmp_path: Path, function: str, last: int) -> None:
    run(tmp_path / "whole", epochs=2)
    for count in [1, *range(2, last, 5), last]:
        out = tmp_path / str(count)
        process = in_a_process(run_and_die_in, function, count, out)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        begun = (out / "checkpoint.npz").exists()
        assert begun or count == 1
        run(out, epochs=2, resume=begun)
        assert same_states(final_state(out), final_state(tmp_path / "whole"))
        assert records(out) == records(tmp_path / "whole")
        assert {path.name for path in out.iterdir()} == {"checkpoint.npz", "log.jsonl", "report.html"}
