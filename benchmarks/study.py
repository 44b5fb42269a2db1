"""A study: one preset trained on MNIST with one thing changed at a time, and the test errors that this gives.

Results are appended to ``runs.jsonl`` in the study's folder; what is there already is not run again, so a study can be
cut at any time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import click
from tqdm import tqdm

from emulator.config import Config, load
from emulator.machine import build_machine
from emulator.training.datasets import Dataset, load_dataset
from emulator.training.order import epoch_order

RESULTS = Path(__file__).parents[1] / "results"
IMAGES_PER_CALL = 1000


@dataclass(frozen=True)
class Case:
    """``assignments`` are those of ``--set``."""

    what: str
    value: str
    assignments: Sequence[str]


@dataclass(frozen=True)
class Study:
    """``preset`` trained for ``epochs`` epochs per case; a case's error is the mean of the epochs in ``averaged``."""

    name: str
    preset: str
    epochs: int
    averaged: range
    cases: Sequence[Case]

    @property
    def folder(self) -> Path:
        return RESULTS / self.name

    def runs(self) -> list[dict[str, Any]]:
        """What is recorded."""
        path = self.folder / "runs.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def errors(self, case: Case) -> list[float]:
        """The case's error for every recorded seed."""
        return [
            mean(run["errors"][epoch - 1] for epoch in self.averaged)
            for run in self.runs()
            if (run["what"], run["value"]) == (case.what, case.value)
        ]

    def table(self) -> str:
        """Markdown: mean and extremes over the seeds."""
        lines = "| what | value | test error % | over seeds | seeds |\n|---|---|---|---|---|\n"
        for case in self.cases:
            errors = self.errors(case)
            if errors:
                spread = f"{min(errors):.2f} .. {max(errors):.2f}"
                lines += f"| {case.what} | {case.value} | {mean(errors):.2f} | {spread} | {len(errors)} |\n"
        return lines

    def run(self, data: Dataset, seeds: Sequence[int]) -> None:
        """Train what is not recorded yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        done = {(run["what"], run["value"], run["seed"]) for run in self.runs()}
        todo = [(case, seed) for seed in seeds for case in self.cases if (case.what, case.value, seed) not in done]
        with tqdm(total=len(todo) * self.epochs * len(data.train_images), unit=" images", smoothing=0.01) as bar:
            for case, seed in todo:
                bar.set_description(f"{case.what} {case.value}, seed {seed}")
                errors = self._measure(load(self.preset, list(case.assignments), seed), data, bar)
                with (self.folder / "runs.jsonl").open("a") as file:
                    line = {"what": case.what, "value": case.value, "seed": seed, "errors": errors}
                    file.write(json.dumps(line) + "\n")

    def _measure(self, config: Config, data: Dataset, bar: tqdm[None]) -> list[float]:
        """Test error in percent after each epoch."""
        machine = build_machine("fast", config)
        errors = []
        for epoch in range(1, self.epochs + 1):
            order = epoch_order(config.seed, epoch, len(data.train_images))
            for first in range(0, len(order), IMAGES_PER_CALL):
                chosen = order[first : first + IMAGES_PER_CALL]
                machine.train(data.train_images[chosen], data.train_labels[chosen])
                bar.update(len(chosen))
            state = machine.state()
            wrong = machine.infer(data.test_images).argmax(axis=1) != data.test_labels
            machine.load(state)
            errors.append(100 * float(wrong.mean()))
        return errors

    def command(self, description: str | None) -> click.Command:
        """The study's command line."""

        @click.command(help=description, context_settings={"help_option_names": ["-h", "--help"]})
        @click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the MNIST idx files.")
        @click.option("--seed", "seeds", type=click.IntRange(min=0), multiple=True, default=(1, 2), show_default=True,
                      help="Repeatable.")  # fmt: skip
        @click.option("--table", is_flag=True, help="Only print the table of what is recorded.")
        def main(data_dir: Path | None, seeds: tuple[int, ...], table: bool) -> None:
            if not table:
                self.run(load_dataset("mnist", height=28, width=28, classes=10, data_dir=data_dir), seeds)
            click.echo(self.table(), nl=False)

        return main
