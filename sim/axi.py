"""Designs with AXI pins in Verilator, with cocotbext-axi on the other side: `run_axi`. What words mean: docs/axi.md."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from amaranth.lib import wiring

from hdl.export import describe_pins, to_verilog
from sim.runner import Design, run_bench, run_folder

BENCH = "sim.benches.axi"


@dataclass(frozen=True)
class Step:
    """What is done at the same time: accesses over AXI4-Lite, image packets sent, packets of logits awaited."""

    writes: Sequence[tuple[int, bytes]] = ()  # byte address, content
    reads: Sequence[tuple[int, int]] = ()  # byte address, bytes
    packets: Sequence[bytes] = ()
    frames: int = 0


@dataclass
class Answers:
    """To a step: responses to writes; responses to reads, with the content; packets; the pin ``packet_dropped`` after it."""

    writes: list[int] = field(default_factory=list)
    reads: list[tuple[int, bytes]] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    dropped: int = 0


@dataclass(frozen=True)
class Plan:
    """``patience``: cycles after which a step has hung. Answers lie in the file ``result``."""

    steps: Sequence[Step]
    stall: float
    seed: int
    patience: int
    result: str


def design_of(component: wiring.Component, name: str) -> Design:
    """The export of a component that has plain pins and no streams."""
    return Design(to_verilog(name, component), {"block": name, "streams": {}, "pins": describe_pins(component)})


def run_axi(
    design: Design,
    steps: Sequence[Step],
    *,
    stall: float = 0.0,
    seed: int = 1,
    patience: int = 20_000,
    randomise: bool = False,
    out: Path | None = None,
) -> list[Answers]:
    """The answers to all steps, one after the other. ``stall``: chance of a pause on each channel in each cycle.

    Raises SimulationError if a step hangs, an offered word changes or falls, or a packet comes that nothing asked for.
    """
    plan = Plan(steps, stall, seed, patience, "result.pickle")
    with run_folder(out) as folder:
        (folder / "plan.pickle").write_bytes(pickle.dumps(plan))
        (folder / plan.result).unlink(missing_ok=True)
        run_bench(design, BENCH, folder / "plan.pickle", seed=seed, randomise=randomise)
        answers: list[Answers] = pickle.loads((folder / plan.result).read_bytes())
    return answers
