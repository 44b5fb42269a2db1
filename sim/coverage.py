"""Line coverage of every block's exported Verilog by the transactions of its co-simulation.

    python -m sim.coverage [BLOCK ...]

runs each block of tests/cosim/test_blocks.py once more with coverage and writes the table of docs/coverage.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from tqdm import tqdm

from emulator.atomic import write_atomically
from emulator.command_line import run_command
from hdl.blocks import BLOCKS
from sim.runner import Coverage, run_verilator
from sim.small import work

PAGE = Path(__file__).parents[1] / "docs" / "coverage.md"
STALL = 0.4


def measured(name: str) -> Coverage:
    """Raises SimulationError."""
    design, transactions = work(name)
    coverage = run_verilator(design, transactions, stall=STALL, coverage=True).coverage
    assert coverage is not None
    return coverage


def document(coverages: dict[str, Coverage]) -> str:
    rows = [
        f"| {name} | {coverage.percent:.1f} | {coverage.reached} of {coverage.points} | "
        f"{', '.join(map(str, coverage.missed_lines)) or '-'} |"
        for name, coverage in coverages.items()
    ]
    return "\n".join(
        [
            "# Coverage",
            "",
            "Made by `python -m sim.coverage`: lines and branches of the exported Verilog that the transactions of the",
            "co-simulation reach (`tests/cosim/test_blocks.py`, small parameters, random stalls), counted by Verilator.",
            "Conditions that only start a process are left out.",
            "",
            "| block | % | points | lines missed |",
            "|---|---:|---:|---|",
            *rows,
            "",
        ]
    )


@click.command(help=__doc__)
def main() -> None:
    write_atomically(PAGE, document({name: measured(name) for name in tqdm(BLOCKS, disable=None)}).encode())


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m sim.coverage"))
