"""Why the engine is C++ and not numba: what a training image costs most, in both.

- A pulse slot: every line of every array draws a word and compares it. In the engine it is measured as the difference
  of BL = 40 and BL = 10, in numba as plain loops over lines.
- Forward reads: the products through BLAS, every output's read noise and conversion, in numba; the engine's figure is
  its whole inference, with DAC, patches, bound management, activation and pooling besides.

Everything in one process, in turns, in CPU seconds; best of the rounds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import numba
import numpy as np
from numpy.typing import NDArray

from benchmarks.training_speed import WARM_UP, trainer
from emulator.command_line import run_command
from emulator.config import Config, load
from emulator.fixed import TAPS, WORD_BITS
from emulator.machine import build_machine
from emulator.training.datasets import load_dataset

States = NDArray[np.uint64]
IMAGES = 200
ROUNDS = 3
SHIFTS = tuple(np.uint64(tap - WORD_BITS) for tap in TAPS[64])
A, B, C, D = SHIFTS
STEP = np.uint64(WORD_BITS)
MASK = np.uint64((1 << WORD_BITS) - 1)


@numba.njit(cache=True)
def pulse_draws(states: States, thresholds: States, trains: States, cycles: int, slots: int) -> None:
    """Pulse trains of all lines of one side, cycle by cycle."""
    for _ in range(cycles):
        for slot in range(slots):
            bit = np.uint64(slot)
            for line in range(states.size):
                s = states[line]
                word = ((s >> A) ^ (s >> B) ^ (s >> C) ^ (s >> D)) & MASK
                states[line] = (s << STEP) | word
                trains[line] |= np.uint64(word < thresholds[line]) << bit


@numba.njit(cache=True)
def noisy_conversion(states: States, sums: NDArray[np.float64], gain: float, factor: float, limit: float) -> None:
    """Read noise and ADC of ``(reads, lines)`` analog sums, in place."""
    for read in range(sums.shape[0]):
        for line in range(states.size):
            s = states[line]
            word = ((s >> A) ^ (s >> B) ^ (s >> C) ^ (s >> D)) & MASK
            states[line] = (s << STEP) | word
            ones = (word >> np.uint64(8)) & np.uint64(0xFFFF)
            ones = ones - ((ones >> np.uint64(1)) & np.uint64(0x5555))
            ones = (ones & np.uint64(0x3333)) + ((ones >> np.uint64(2)) & np.uint64(0x3333))
            ones = (ones + (ones >> np.uint64(4))) & np.uint64(0x0F0F)
            ones = (ones + (ones >> np.uint64(8))) & np.uint64(0x1F)
            xi = 2.0 * (256.0 * (float(ones) - 8.0) + float(word & np.uint64(0xFF))) - 255.0
            value = sums[read, line] + gain * xi
            sums[read, line] = np.copysign(min(np.floor(abs(value) * factor + 0.5), limit), value)


class NumbaImage:
    """The draws and products of one image."""

    def __init__(self, config: Config) -> None:
        random = np.random.default_rng(0)
        self.stages = config.stages
        self.products = [
            (
                random.integers(-512, 513, (stage.positions, stage.physical_columns)).astype(np.float64),
                random.integers(-(1 << 15), 1 << 15, (stage.physical_columns, stage.physical_rows)).astype(np.float64),
            )
            for stage in config.stages
        ]
        self.row_states, self.column_states = (
            [random.integers(1, 1 << 63, count, dtype=np.uint64) for count in counts]
            for counts in zip(*((s.physical_rows, s.physical_columns) for s in config.stages), strict=True)
        )

    def forward(self, images: int) -> None:
        for _ in range(images):
            for (x, weights), states in zip(self.products, self.row_states, strict=True):
                noisy_conversion(states, x @ weights, 3892.0, 2.0**-19, 1536.0)

    def pulses(self, images: int, slots: int) -> None:
        for _ in range(images):
            for stage, *sides in zip(self.stages, self.row_states, self.column_states, strict=True):
                for states in sides:
                    thresholds = np.full(states.size, 1 << 21, dtype=np.uint64)
                    pulse_draws(states, thresholds, np.zeros_like(states), stage.positions, slots)


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", default="digits", show_default=True, metavar="NAME|FOLDER")
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="FOLDER")
def main(data: str, data_dir: Path | None) -> None:
    dataset = load_dataset(data, height=28, width=28, classes=10, data_dir=data_dir)
    count = min(IMAGES, len(dataset.train_images) - WARM_UP)
    images = dataset.train_images[:count]
    bl10, bl40 = (trainer("fast", load(preset), dataset) for preset in ("lenet-nm-bm", "lenet-bl40"))
    inferring = build_machine("fast", load("lenet-nm-bm"))
    compared = NumbaImage(load("lenet-nm-bm"))
    runs = {
        "engine, 10 slots": lambda: bl10(count),
        "engine, 40 slots": lambda: bl40(count),
        "engine, inference": lambda: inferring.infer(images),
        "numba, 10 slots": lambda: compared.pulses(count, 10),
        "numba, 40 slots": lambda: compared.pulses(count, 40),
        "numba, reads": lambda: compared.forward(count),
    }
    best = {name: min(seconds(run) for _ in range(2)) for name, run in runs.items()}  # compiles numba, too
    for _ in range(ROUNDS):
        best = {name: min(best[name], seconds(run)) for name, run in runs.items()}
    per_image = {name: 1e6 * value / count for name, value in best.items()}
    slot = {
        which: (per_image[f"{which}, 40 slots"] - per_image[f"{which}, 10 slots"]) / 30 for which in ("engine", "numba")
    }
    print(f"{'microseconds per image':24s} {'engine':>8s} {'numba':>8s} {'ratio':>6s}")
    for name, engine, other in (
        ("a pulse slot", slot["engine"], slot["numba"]),
        ("forward reads", per_image["engine, inference"], per_image["numba, reads"]),
    ):
        print(f"{name:24s} {engine:8.1f} {other:8.1f} {other / engine:6.2f}")


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m benchmarks.engine_language"))
