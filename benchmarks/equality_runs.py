"""Runs that compare machines bit by bit, recorded one by one in results/equality/runs.jsonl.

    python -m benchmarks.equality_runs --data-dir DIR [--only TEXT]... [--out runs/equality]

Each run is one or more commands of `python -m emulator`, of which the last one's answer counts. What is recorded is not run
again as long as no machine has changed since. A run that was stopped goes on from its checkpoints. A comparison that finds a
difference is recorded too, and gives exit code 1.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from emulator.command_line import run_command
from emulator.errors import CrosspointError
from emulator.training.loop import CHECKPOINT_NAME

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "results" / "equality"
RECORDS = FOLDER / "runs.jsonl"
#: What decides the bits of a machine, for Git: not how its hardware is synthesised, nor the cells of netlists.
MACHINES = ("emulator", "hdl", "sim", ":!hdl/cli.py", ":!hdl/report.py", ":!hdl/tools.py", ":!sim/ecp5")
EQUAL = "bit-exact: "
#: Training images of the embedded digits.
EPOCH_OF_DIGITS = 1437

Record = dict[str, Any]


@dataclass(frozen=True)
class EqualityRun:
    """``commands``: with DIR for the folder of the data, and OUT for that of the run."""

    commands: tuple[str, ...]

    @property
    def name(self) -> str:
        return "; ".join(self.commands)


def compared(config: str, machines: str, images: int, data: str = "--data mnist --data-dir DIR") -> EqualityRun:
    return EqualityRun((f"compare --machines {machines} --config {config} --images {images} {data}".strip(),))


def trained(config: str, machines: tuple[str, str], images: int) -> EqualityRun:
    """Trained by `train`, with checkpoints on the way, and compared at the end."""
    data = f"--data mnist --data-dir DIR --epochs 1 --train-limit {images} --test-limit 200 --checkpoint-every 100"
    folders = [f"OUT/{config}-{machine}-{images}" for machine in machines]
    trains = [
        f"train --config {config} --machine {machine} {data} --out {folder}"
        for machine, folder in zip(machines, folders, strict=True)
    ]
    return EqualityRun((*trains, f"compare --checkpoints {' '.join(folders)}"))


ALL = "golden,fast,rtl"
RUNS = (
    compared("tiny", ALL, 1000, ""),
    compared("small", ALL, EPOCH_OF_DIGITS, ""),
    compared("lenet-bl1-um", ALL, 20),
    compared("lenet-board", ALL, 20),
    compared("lenet", ALL, 3),
    trained("lenet-bl1-um", ("rtl", "fast"), 2000),
)


def records() -> list[Record]:
    if not RECORDS.exists():
        return []
    return [json.loads(line) for line in RECORDS.read_text(encoding="utf-8").splitlines()]


def holds(record: Record) -> bool:
    """Whether the machines are still those that the record tells of."""
    command = ["git", "diff", "--quiet", record["commit"].split()[0], "--", *MACHINES]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0


def commit() -> str:
    """Of this checkout, ``(modified)`` if a machine differs from it."""
    texts = [
        subprocess.run(["git", *command], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
        for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", *MACHINES))
    ]
    return texts[0] + (" (modified)" if texts[1] else "")


def perform(run: EqualityRun, data_dir: Path, out: Path) -> Record:
    """Raises CrosspointError if a command fails; a difference is an answer."""
    begin = time.monotonic()
    answer = ""
    for command in run.commands:
        arguments = shlex.split(command.replace("DIR", str(data_dir)).replace("OUT", str(out)))
        folder = out / command.rpartition("OUT/")[2]
        if arguments[0] == "train" and (folder / CHECKPOINT_NAME).exists():
            arguments.append("--resume")
        print(f"python -m emulator {command}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "emulator", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
        )
        lines = done.stdout.splitlines()
        if done.returncode not in (0, 1) or not lines:
            raise CrosspointError(f"{command}: exit code {done.returncode}; accepted: a command that ends well")
        answer = lines[-1]
        print(answer, flush=True)
    return {
        "commands": list(run.commands),
        "answer": answer,
        "seconds": round(time.monotonic() - begin),
        "commit": commit(),
    }


def table() -> str:
    """Of the last record of every run, in Markdown."""
    last = {"; ".join(record["commands"]): record for record in records()}
    lines = ["| commands, each after `python -m emulator` | answer | commit |", "|---|---|---|"]
    for record in last.values():
        commands = "; ".join(f"`{command}`" for command in record["commands"])
        lines.append(f"| {commands} | {record['answer']} | `{record['commit'][:12]}` |")
    return "\n".join(lines)


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data-dir", type=click.Path(path_type=Path), required=True, help="Folder of the MNIST idx files.")
@click.option("--only", multiple=True, metavar="TEXT", help="Runs whose commands have one of these. Repeatable.")
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "runs" / "equality")
def main(data_dir: Path, only: tuple[str, ...], out: Path) -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    done = {"; ".join(record["commands"]) for record in records() if holds(record)}
    different = []
    for run in RUNS:
        if run.name in done or not any(text in run.name for text in only or ("",)):
            continue
        record = perform(run, data_dir.resolve(), out.resolve())
        with open(RECORDS, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if not record["answer"].startswith(EQUAL):
            different.append(run.name)
    if different:
        click.echo("different: " + ", ".join(different))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m benchmarks.equality_runs"))
