"""The training loop: epochs of images through a machine, with log, checkpoints, report and a clean stop."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Never

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from emulator.config import Config
from emulator.errors import CheckpointError, DataError, DivergenceError, MachineError, StateError
from emulator.fixed import ARITHMETIC_VERSION
from emulator.machine import Machine, build_machine
from emulator.training.checkpoint import (
    FORMAT_VERSION,
    Checkpoint,
    fingerprint,
    load_checkpoint,
    require_checkpoint,
    save_checkpoint,
)
from emulator.training.datasets import Dataset
from emulator.training.header import Header
from emulator.training.log import EpochRecord, Log, layer_counters, subtract_counters, weight_histograms
from emulator.training.order import epoch_order
from emulator.training.provenance import Provenance
from emulator.training.report import Run, write_report
from emulator.training.run_folder import run_folder

CHECKPOINT_NAME = "checkpoint.npz"
LOG_NAME = "log.jsonl"
REPORT_NAME = "report.html"

#: A call of the machine takes about this long, in seconds: the bar moves and a stop is obeyed, at little cost.
CALL_SECONDS = 0.5
LARGEST_CALL = 500
#: Seconds between two states of the progress bar, on a terminal and in a file.
BAR_SECONDS = (0.2, 30.0)
#: Short epochs skip the report, so that writing it takes about this part of the time; the last never does.
REPORT_SHARE = 0.1


@dataclass(frozen=True)
class Outcome:
    """How a run ended: complete, with the test error (fraction) of its last epoch, or stopped by a signal."""

    test_error: float | None
    stopped_by: signal.Signals | None

    @property
    def exit_code(self) -> int:
        return 0 if self.stopped_by is None else 128 + self.stopped_by


def run_training(
    config: Config,
    machine_name: str,
    dataset: Dataset,
    *,
    epochs: int,
    out: Path,
    checkpoint_every: int = 10_000,
    resume: bool = False,
    quiet: bool = False,
    build: Callable[[str, Config], Machine] = build_machine,
) -> Outcome:
    """Train up to ``epochs`` epochs, mini-batch 1, writing ``checkpoint.npz``, ``log.jsonl`` and ``report.html``.

    The bits of a run depend on the config (its seed included) and the data alone: not on ``epochs``, on
    ``checkpoint_every`` (images), or on stops and resumes. Testing leaves the machine's state as it was. SIGINT
    and SIGTERM end the run after the current call with a checkpoint; a second one acts as it did before the run.
    ``quiet`` leaves out the progress bar. Raises RunFolderError, such as for a folder that another run has,
    CheckpointError, DataError, MachineError, and OSError when the log or the report cannot be written.
    """
    for name, images in (("training", dataset.train_images), ("test", dataset.test_images)):
        if len(images) == 0:
            raise DataError(f"data {dataset.name!r}: 0 {name} images; accepted: at least 1")
    path = out / CHECKPOINT_NAME
    if resume:
        require_checkpoint(path)
    with run_folder(out, new=not resume):
        if resume:
            checkpoint = load_checkpoint(path, config, machine_name, dataset)
            if checkpoint.header.epochs_done >= epochs:
                return _report_again(config, machine_name, dataset, checkpoint.header, epochs, out)
            machine = build(machine_name, config)
            try:
                machine.load(checkpoint.state)
            except StateError as error:
                raise StateError(f"checkpoint {str(path)!r}: {error}") from error
            header = checkpoint.header
            print(f"resuming in epoch {header.epochs_done + 1} after image {header.image}", flush=True)
        else:
            if path.exists():
                raise CheckpointError(f"checkpoint {str(path)!r}: already there; accepted: --resume, or another --out")
            machine = build(machine_name, config)
            header = _initial_header(config, machine_name, dataset, machine)
            save_checkpoint(path, Checkpoint(header, machine.state()))
        with _StopRequest() as stop:
            trainer = _Trainer(
                config, machine_name, dataset, machine, header, epochs, out, checkpoint_every, stop, quiet
            )
            return trainer.run()


def _initial_header(config: Config, machine_name: str, dataset: Dataset, machine: Machine) -> Header:
    return Header(
        version=FORMAT_VERSION,
        arithmetic=ARITHMETIC_VERSION,
        machine=machine_name,
        config_digest=config.digest,
        config=config.model_dump(mode="json"),
        data_name=dataset.name,
        train_images=len(dataset.train_images),
        test_images=len(dataset.test_images),
        data_fingerprint=fingerprint(dataset),
        epochs_done=0,
        image=0,
        epoch_errors=0,
        epoch_seconds=0.0,
        epoch_start_counters=layer_counters(config, machine.state()),
        records=[],
    )


def _report_again(
    config: Config, machine_name: str, dataset: Dataset, header: Header, epochs: int, out: Path
) -> Outcome:
    """A run that is already complete: its lines, log and report once more, from the checkpoint."""
    Log(out / LOG_NAME, header.records)
    run = Run(config, machine_name, dataset.name, header.train_images, header.test_images, epochs, Provenance.find())
    write_report(out / REPORT_NAME, run, header.records)
    for record in header.records:
        print(_epoch_line(record))
    print(_final_line(header.records[-1]), flush=True)
    return Outcome(header.records[-1].test_error, None)


class _Trainer:
    """One call of ``run_training`` once the machine stands at the header's position."""

    def __init__(
        self,
        config: Config,
        machine_name: str,
        dataset: Dataset,
        machine: Machine,
        header: Header,
        epochs: int,
        out: Path,
        checkpoint_every: int,
        stop: _StopRequest,
        quiet: bool,
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.machine = machine
        self.header = header
        self.epochs = epochs
        self.out = out
        self.checkpoint_every = checkpoint_every
        self.stop = stop
        self.train_pace = _Pace()
        self.test_pace = _Pace()
        self.report_due = time.monotonic()
        self.log = Log(out / LOG_NAME, header.records)
        self.run_facts = Run(
            config, machine_name, dataset.name, header.train_images, header.test_images, epochs, Provenance.find()
        )
        per_epoch = len(dataset.train_images)
        self.bar: tqdm[Never] = tqdm(
            total=epochs * per_epoch,
            initial=header.epochs_done * per_epoch + header.image,
            unit=" images",
            mininterval=BAR_SECONDS[0] if sys.stderr.isatty() else BAR_SECONDS[1],
            dynamic_ncols=True,
            disable=quiet,
            file=sys.stderr,
            leave=False,
        )

    def run(self) -> Outcome:
        with self.bar:
            while self.header.epochs_done < self.epochs:
                if not self._train_epoch():
                    return self._stopped()
                test_error = self._test_error()
                if test_error is None:
                    return self._stopped()
                self._end_epoch(test_error)
        last = self.header.records[-1]
        print(_final_line(last), flush=True)
        return Outcome(last.test_error, None)

    def _train_epoch(self) -> bool:
        """The rest of the current epoch; False if a signal came first."""
        epoch = self.header.epochs_done + 1
        images, labels = self.dataset.train_images, self.dataset.train_labels
        order = epoch_order(self.config.seed, epoch, len(images))
        self.bar.set_description(f"epoch {epoch}/{self.epochs}")
        while self.header.image < len(images):
            if self.stop.signal is not None:
                return False
            first = self.header.image
            next_checkpoint = (first // self.checkpoint_every + 1) * self.checkpoint_every
            last = min(first + self.train_pace.size, next_checkpoint, len(images))
            chosen = order[first:last]
            start = time.perf_counter()
            try:
                logits = self.machine.train(images[chosen], labels[chosen])
            except DivergenceError as error:
                raise self._diverged(error, f"image {first + error.image + 1} of epoch {epoch}") from error
            seconds = time.perf_counter() - start
            self.train_pace.adapt(last - first, seconds)
            self.header = self.header.model_copy(
                update={
                    "image": last,
                    "epoch_errors": self.header.epoch_errors + _wrong(logits, labels[chosen]),
                    "epoch_seconds": self.header.epoch_seconds + seconds,
                }
            )
            self.bar.update(last - first)
            if last == next_checkpoint:
                self._save()
        return True

    def _test_error(self) -> float | None:
        """The fraction of test images answered wrongly, or None if a signal came first. The state stays as it is."""
        images, labels = self.dataset.test_images, self.dataset.test_labels
        self.bar.set_description(f"epoch {self.header.epochs_done + 1}/{self.epochs} test")
        before = self.machine.state()
        wrong, first = 0, 0
        while first < len(images) and self.stop.signal is None:
            last = min(first + self.test_pace.size, len(images))
            start = time.perf_counter()
            logits = self.machine.infer(images[first:last])
            self.test_pace.adapt(last - first, time.perf_counter() - start)
            wrong += _wrong(logits, labels[first:last])
            first = last
        self.machine.load(before)
        return wrong / len(images) if first == len(images) else None

    def _end_epoch(self, test_error: float) -> None:
        header, state = self.header, self.machine.state()
        counters = layer_counters(self.config, state)
        seconds = max(header.epoch_seconds, 1e-9)
        record = EpochRecord(
            epoch=header.epochs_done + 1,
            images=header.image,
            train_error=header.epoch_errors / header.image,
            test_error=test_error,
            seconds=round(seconds, 3),
            images_per_second=round(header.image / seconds, 1),
            counters=subtract_counters(counters, header.epoch_start_counters),
            weights=weight_histograms(self.config, state),
        )
        self.header = header.model_copy(
            update={
                "epochs_done": record.epoch,
                "image": 0,
                "epoch_errors": 0,
                "epoch_seconds": 0.0,
                "epoch_start_counters": counters,
                "records": [*header.records, record],
            }
        )
        self._save()
        self.log.append(record)
        if record.epoch >= self.epochs or time.monotonic() >= self.report_due:
            self._report()
        tqdm.write(_epoch_line(record), file=sys.stdout)
        sys.stdout.flush()

    def _save(self) -> None:
        save_checkpoint(self.out / CHECKPOINT_NAME, Checkpoint(self.header, self.machine.state()))

    def _report(self) -> None:
        start = time.monotonic()
        write_report(self.out / REPORT_NAME, self.run_facts, self.header.records)
        self.report_due = time.monotonic() + (time.monotonic() - start) / REPORT_SHARE

    def _diverged(self, error: DivergenceError, place: str) -> MachineError:
        """The error to raise, told in the report too. The checkpoint stays where the weights were finite."""
        message = error.told(place)
        self.run_facts = replace(self.run_facts, ended=message)
        self._report()
        return MachineError(message)

    def _stopped(self) -> Outcome:
        self._save()
        if self.header.records:
            self._report()
        self.bar.close()
        print(
            f"stopped in epoch {self.header.epochs_done + 1} after image {self.header.image} of "
            f"{len(self.dataset.train_images)}; the same command with --resume goes on from here",
            flush=True,
        )
        return Outcome(None, self.stop.signal)


class _StopRequest:
    """While entered, SIGINT and SIGTERM are only remembered; the handlers from before act on a second one."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> _StopRequest:
        # Python allows handlers to be set in the main thread only; elsewhere the caller answers for signals.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not set from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()


class _Pace:
    """How many images to hand to the machine at once, so that a call takes about ``CALL_SECONDS``."""

    def __init__(self) -> None:
        self.size = 8

    def adapt(self, images: int, seconds: float) -> None:
        fitting = int(images * CALL_SECONDS / max(seconds, 1e-6))
        self.size = max(1, min(fitting, 4 * self.size, LARGEST_CALL))


def _wrong(logits: NDArray[np.int64], labels: NDArray[np.uint8]) -> int:
    """How many images have their largest logit elsewhere than at the label; of equal logits the first counts."""
    return int(np.count_nonzero(np.argmax(logits, axis=1) != labels))


def _epoch_line(record: EpochRecord) -> str:
    return (
        f"epoch {record.epoch:2d}  test error {100 * record.test_error:.2f} %  "
        f"train error {100 * record.train_error:.2f} %  {record.images_per_second:.0f} images/s"
    )


def _final_line(record: EpochRecord) -> str:
    return f"test error {100 * record.test_error:.2f} %"
