"""Make every recorded run again: the rows of the paper's table, and the comparison with the float64 reference.

    python -m benchmarks.paper_runs --data-dir DIR [--out runs/paper] [--at-once 2]

Trains each run with `python -m emulator train` in a folder of its own, as many at once as asked, goes on from a folder's
checkpoint where there is one, and records what is finished. What is recorded is not run again (delete its file under
results/runs to have it again). It can be stopped at any moment and started again. All of it takes some hours.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
from tqdm import tqdm

from benchmarks.record import record, record_path
from benchmarks.summary import COMPARED, COMPARED_EPOCHS, LAST, ROWS
from emulator.command_line import run_command
from emulator.errors import CrosspointError
from emulator.training.loop import CHECKPOINT_NAME
from emulator.training.provenance import Provenance

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class PaperRun:
    preset: str
    machine: str
    seed: int
    epochs: int

    @property
    def name(self) -> str:
        return f"{self.preset}-{self.machine}-seed{self.seed}"

    def command(self, data_dir: Path, out: Path) -> list[str]:
        folder = out / self.name
        command = [sys.executable, "-m", "emulator", "train", "--config", self.preset, "--machine", self.machine]
        command += ["--data", "mnist", "--data-dir", str(data_dir), "--epochs", str(self.epochs)]
        command += ["--seed", str(self.seed), "--out", str(folder), "--quiet"]
        return command + (["--resume"] if (folder / CHECKPOINT_NAME).exists() else [])

    def recorded(self) -> bool:
        path = record_path(self.preset, self.machine, self.seed)
        return path.exists() and len(json.loads(path.read_text(encoding="utf-8"))["epochs"]) >= self.epochs


def paper_runs() -> list[PaperRun]:
    """Thirty epochs of every row; five of the compared presets, two seeds on both machines."""
    runs = [PaperRun(preset, "fast", 1, LAST[-1]) for _, preset, _, _ in ROWS]
    short = COMPARED_EPOCHS[-1]
    runs += [PaperRun(preset, "reference", seed, short) for preset in COMPARED for seed in (1, 2)]
    return runs + [PaperRun(preset, "fast", 2, short) for preset in COMPARED]


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data-dir", type=click.Path(path_type=Path), required=True, help="Folder of the MNIST idx files.")
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "runs" / "paper")
@click.option(
    "--at-once", type=click.IntRange(min=1), default=2, show_default=True, help="Runs side by side, one core each."
)
def main(data_dir: Path, out: Path, at_once: int) -> None:
    commit = Provenance.find().commit
    data_dir, out = data_dir.resolve(), out.resolve()

    def train(run: PaperRun) -> str | None:
        """None, or what went wrong."""
        command = run.command(data_dir, out)
        outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if outcome.returncode != 0:
            return f"{run.name}: {outcome.stderr.strip().splitlines()[-1:] or outcome.returncode}"
        record(out / run.name, commit)
        return None

    runs = [run for run in paper_runs() if not run.recorded()]
    with ThreadPoolExecutor(at_once) as pool, tqdm(total=len(runs), unit=" runs") as bar:
        failures = []
        for failure in pool.map(train, runs):
            failures += [failure] if failure else []
            bar.update(1)
    if failures:
        raise CrosspointError("; ".join(failures))


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m benchmarks.paper_runs"))
