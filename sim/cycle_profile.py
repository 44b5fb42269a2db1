"""Where the cycles of a training image go: by layer and phase, against the floor of one product per device and cycle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.machine import RtlMachine
from sim.rtl_trace import phases


@dataclass(frozen=True)
class PhaseCycles:
    """A phase of a layer for some images: cycles from its beginning to that of the next, per image."""

    layer: str
    phase: str
    cycles: float
    floor: float  # multiply-accumulates / devices


@dataclass(frozen=True)
class CycleProfile:
    images: int
    phases: tuple[PhaseCycles, ...]
    total: float  # cycles per image, the loading of its pixels included
    repeats: float  # of reads, per image

    @property
    def floor(self) -> float:
        return sum(phase.floor for phase in self.phases)

    def table(self) -> str:
        """In Markdown."""
        lines = ["| layer | phase | cycles per image | floor | ratio |", "|---|---|---:|---:|---:|"]
        for each in self.phases:
            lines.append(
                f"| {each.layer} | {each.phase} | {each.cycles:,.0f} | {each.floor:,.0f} | {each.cycles / each.floor:.2f} |"
            )
        rest = self.total - sum(phase.cycles for phase in self.phases)
        lines.append(f"| | loading the image | {rest:,.0f} | | |")
        lines.append(f"| | all | {self.total:,.0f} | {self.floor:,.0f} | {self.total / self.floor:.2f} |")
        return "\n".join(lines)


def profile(machine: RtlMachine, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> CycleProfile:
    """Train on the images, one after the other, and watch the phases begin."""
    order = list(phases(machine.config.stages))
    spent = np.zeros(len(order))
    total = 0
    before = machine.state()
    for image, label in zip(images, labels, strict=True):
        begins = _begins(machine, image, int(label))
        spent += np.diff(begins)
        total += begins[-1] - begins[0]
    after = machine.state()
    loading = machine.config.input.height * machine.config.input.width
    count = len(images)
    return CycleProfile(
        count,
        tuple(
            PhaseCycles(
                stage.name,
                operation.name.lower(),
                float(cycles) / count,
                stage.rows * stage.columns * stage.positions / machine.config.hardware.lanes,
            )
            for (stage, operation), cycles in zip(order, spent, strict=True)
        ),
        total / count + loading,
        sum(_repeats(after[name] - before[name]) for name in after if name.endswith(".counters")) / count,
    )


def _begins(machine: RtlMachine, image: NDArray[np.uint8], label: int) -> list[int]:
    """The cycle in which each phase of an image begins, and that in which the last one is done."""
    return [machine.native.cycles for _ in machine.watch(image, label)]


def _repeats(counters: NDArray[np.int64]) -> int:
    return int(counters[1] + counters[4])
