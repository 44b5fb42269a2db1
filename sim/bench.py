"""How fast the routes of simulation are, on the same transactions of a block. Every route compares every word."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from hdl.block import Block
from sim import pysim
from sim.native import Native, input_words, run_native, run_phase
from sim.runner import Design, phases_of, run_verilator
from sim.transactions.base import Transactions

#: The native route repeats the transactions for so long; once is too short to be measured.
NATIVE_SECONDS = 1.0


@dataclass(frozen=True)
class Rate:
    """Clock cycles, and the seconds that they took."""

    cycles: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.cycles / self.seconds


def measure_pysim(block: Block[Any], transactions: Transactions) -> Rate:
    """Amaranth's simulator, with the time it takes to elaborate."""
    start = time.perf_counter()
    outcome = pysim.run(block, transactions)
    return Rate(1 + max(cycle for cycles in outcome.cycles.values() for cycle in cycles), time.perf_counter() - start)


def measure_cocotb(block: Block[Any], transactions: Transactions) -> Rate:
    """cocotb and Verilator: the test alone, without its build and the start of its process."""
    with tempfile.TemporaryDirectory(prefix="crosspoint-") as folder:
        report = run_verilator(Design.of(block), transactions, out=Path(folder))
        case = next(ElementTree.parse(Path(folder) / "results.xml").getroot().iter("testcase"))
    return Rate(report.cycles, float(case.attrib["time"]))


def measure_native(block: Block[Any], transactions: Transactions) -> Rate:
    """The compiled library: the cycles and the moving of words, without build, packing and comparison."""
    design = Design.of(block)
    run_native(design, transactions)
    phases = [(phase, input_words(design, phase)) for phase in phases_of(design, transactions)]
    native = Native(design)
    cycles, seconds = 0, 0.0
    while seconds < NATIVE_SECONDS:
        native.reset()
        for phase, inputs in phases:
            start = time.perf_counter()
            run_phase(native, phase, inputs)
            for stream in phase.outputs:
                native.take(stream)
            seconds += time.perf_counter() - start
        cycles += native.cycles
    return Rate(cycles, seconds)


#: From the slowest to the fastest.
ROUTES: dict[str, Callable[[Block[Any], Transactions], Rate]] = {
    "pysim": measure_pysim,
    "cocotb and Verilator": measure_cocotb,
    "native": measure_native,
}


def table(rates: dict[str, Rate]) -> str:
    """Cycles per second of every route, and how many times as many as the first one's."""
    first = next(iter(rates.values()))
    rows = [("route", "cycles", "seconds", "cycles/s", "ratio")]
    for name, rate in rates.items():
        ratio = rate.per_second / first.per_second
        rows.append((name, f"{rate.cycles:,}", f"{rate.seconds:.2f}", f"{rate.per_second:,.0f}", f"{ratio:,.1f}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )
