"""Images per second of golden, fast and reference, beside the floor: the float32 matrix products alone.

Everything is measured in one process on one core, in CPU seconds, in turns: every machine trains a slice of the same
images, then the next, and so on round after round; the best round of each counts. The floor is what the three cycles
of the paper's network cost in float32 BLAS without anything around them: forward, backward (no backward of K1) and
outer product of every array.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from tqdm import tqdm

from emulator.command_line import run_command
from emulator.config import Config, load
from emulator.machine import build_machine
from emulator.training.datasets import Dataset, load_dataset

#: Label, preset, and images of a slice for (fast, reference, golden).
CASES = {
    "BL = 1, NM + BM + UM": ("lenet-bl1-um", (1000, 100, 20)),
    "BL = 10, NM + BM": ("lenet-nm-bm", (600, 100, 10)),
    "BL = 1, NM + BM + UM, K2 on 13": ("lenet", (400, 50, 10)),
    "BL = 10, NM + BM, K2 on 13": ("lenet-k2x13", (400, 50, 10)),
}
WARM_UP = 1000
ROUNDS = 4


def floor(config: Config) -> Callable[[int], None]:
    """The float32 products of one training image, repeated; without replicas, which are part of the emulation."""
    random = np.random.default_rng(0)
    operands = []
    for stage in config.stages:
        x = random.standard_normal((stage.positions, stage.columns), dtype=np.float32)
        w = random.standard_normal((stage.rows, stage.columns), dtype=np.float32)
        d = random.standard_normal((stage.positions, stage.rows), dtype=np.float32)
        operands.append((x, w, d, stage.index > 0, np.empty_like(d), np.empty_like(x), np.empty_like(w)))

    def run(images: int) -> None:
        for _ in range(images):
            for x, w, d, backward, y, z, change in operands:
                np.matmul(x, w.T, out=y)
                if backward:
                    np.matmul(d, w, out=z)
                np.matmul(d.T, x, out=change)

    return run


def trainer(machine: str, config: Config, data: Dataset) -> Callable[[int], None]:
    """Train a slice, warmed up beyond the first images, in which errors and pulses are unusually many."""
    built = build_machine(machine, config)
    if machine == "fast":
        built.train(data.train_images[:WARM_UP], data.train_labels[:WARM_UP])
    elif machine == "golden":
        warm = build_machine("fast", config)
        warm.train(data.train_images[:WARM_UP], data.train_labels[:WARM_UP])
        built.load(warm.state())
    else:
        built.train(data.train_images[:WARM_UP], data.train_labels[:WARM_UP])

    def run(images: int) -> None:
        built.train(data.train_images[WARM_UP : WARM_UP + images], data.train_labels[WARM_UP : WARM_UP + images])

    return run


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", default="digits", show_default=True, metavar="NAME|FOLDER")
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="FOLDER")
@click.option("--rounds", type=click.IntRange(min=1), default=ROUNDS, show_default=True)
def main(data: str, data_dir: Path | None, rounds: int) -> None:
    images = load_dataset(data, height=28, width=28, classes=10, data_dir=data_dir)
    print(f"{'':32s} {'images/s per core':>18s} {'times the floor':>16s}")
    for label, (preset, slices) in CASES.items():
        config = load(preset)
        count = min(len(images.train_images) - WARM_UP, max(slices))
        runs = {"floor": (floor(config), 1000)}
        for machine, length in zip(("fast", "reference", "golden"), slices, strict=True):
            runs[machine] = (trainer(machine, config, images), min(length, count))
        best = dict.fromkeys(runs, 0.0)
        for _ in tqdm(range(rounds), desc=label, leave=False):
            for name, (run, length) in runs.items():
                start = time.process_time()
                run(length)
                best[name] = max(best[name], length / (time.process_time() - start))
        print(f"{label}")
        for name, speed in best.items():
            print(f"  {name:30s} {speed:18.0f} {best['floor'] / speed:16.2f}")
    print(f"largest memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m benchmarks.training_speed"))
