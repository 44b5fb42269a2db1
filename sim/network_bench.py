"""How fast the network in logic trains: cycles per image, and what a simulator makes of them."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.config import Config
from sim.cycle_profile import CycleProfile, profile
from sim.machine import RtlMachine


@dataclass(frozen=True)
class NetworkRate:
    """Of one hardware."""

    lanes: int
    images: int
    seconds: float
    cycles: int
    profile: CycleProfile

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds

    @property
    def cycles_per_second(self) -> float:
        return self.cycles / self.seconds


def measure(config: Config, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NetworkRate:
    """Train on all images and time it; then profile the cycles of the last one again."""
    machine = RtlMachine(config)
    before, start = machine.native.cycles, time.perf_counter()
    machine.train(images, labels)
    seconds, cycles = time.perf_counter() - start, machine.native.cycles - before
    found = profile(machine, images[-1:], labels[-1:])
    return NetworkRate(config.hardware.lanes, len(images), seconds, cycles, found)


def table(rates: list[NetworkRate]) -> str:
    """Scaling with lanes, in Markdown."""
    lines = [
        "| lanes | cycles per image | floor | ratio | reads repeated | kcycles/s | images/s |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for rate in rates:
        p = rate.profile
        lines.append(
            f"| {rate.lanes} | {p.total:,.0f} | {p.floor:,.0f} | {p.total / p.floor:.2f} | {p.repeats:.0f} "
            f"| {rate.cycles_per_second / 1000:,.0f} | {rate.images_per_second:.2f} |"
        )
    return "\n".join(lines)
