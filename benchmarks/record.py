"""Keep a finished run: its config, seed, commit and per-epoch curve, as one file under results/runs.

    python -m benchmarks.record RUN_FOLDER ... [--commit HASH]

reads each folder's checkpoint, which the folder of a run of `python -m emulator train` holds, and writes
``results/runs/CONFIG-MACHINE-seedN.json``. ``python -m benchmarks.summary`` then draws the tables and the figure.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from emulator.atomic import write_atomically
from emulator.command_line import run_command
from emulator.training.checkpoint import read_checkpoint
from emulator.training.loop import CHECKPOINT_NAME
from emulator.training.provenance import Provenance

FOLDER = Path(__file__).parents[1] / "results" / "runs"


def record_path(name: str, machine: str, seed: int) -> Path:
    return FOLDER / f"{name}-{machine}-seed{seed}.json"


def record(run: Path, commit: str) -> Path:
    """Write the record of the run in a folder; returns its path. Raises CheckpointError."""
    header = read_checkpoint(run / CHECKPOINT_NAME).header
    config = header.config
    content: dict[str, Any] = {
        "name": config["name"],
        "machine": header.machine,
        "seed": config["seed"],
        "data": header.data_name,
        "train_images": header.train_images,
        "test_images": header.test_images,
        "commit": commit,
        "config": config,
        "epochs": [
            {
                "epoch": epoch.epoch,
                "test_error": epoch.test_error,
                "train_error": epoch.train_error,
                "images_per_second": epoch.images_per_second,
                "counters": epoch.counters,
            }
            for epoch in header.records
        ],
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = record_path(config["name"], header.machine, config["seed"])
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
    return path


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--commit", metavar="HASH", help="Of the code that ran, if not this one.")
def main(runs: tuple[Path, ...], commit: str | None) -> None:
    for run in runs:
        click.echo(record(run, commit or Provenance.find().commit))


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m benchmarks.record"))
