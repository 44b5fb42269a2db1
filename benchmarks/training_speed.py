"""Images per second of golden, fast and reference, beside the floor: the float32 matrix products alone.

Everything is measured in one process on one core, in CPU seconds, in turns: every machine trains a slice of the same
images, then the next, and so on round after round; the best round of each counts. The floor is what the three cycles
of the paper's network cost in float32 BLAS without anything around them: forward, backward (no backward of K1) and
outer product of every array.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

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


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", default="digits")
    arguments.add_argument("--data-dir", type=Path)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    options = arguments.parse_args()
    data = load_dataset(options.data, height=28, width=28, classes=10, data_dir=options.data_dir)
    print(f"{'':32s} {'images/s per core':>18s} {'times the floor':>16s}")
    for label, (preset, slices) in CASES.items():
        config = load(preset)
        count = min(len(data.train_images) - WARM_UP, max(slices))
        runs = {"floor": (floor(config), 1000)}
        for machine, images in zip(("fast", "reference", "golden"), slices, strict=True):
            runs[machine] = (trainer(machine, config, data), min(images, count))
        best = dict.fromkeys(runs, 0.0)
        for _ in tqdm(range(options.rounds), desc=label, leave=False):
            for name, (run, images) in runs.items():
                start = time.process_time()
                run(images)
                best[name] = max(best[name], images / (time.process_time() - start))
        print(f"{label}")
        for name, speed in best.items():
            print(f"  {name:30s} {speed:18.0f} {best['floor'] / speed:16.2f}")
    print(f"largest memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
