"""``python -m sim.verify FILE.v``: hold Verilog of your own to the golden model of the block that its description names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import numpy as np

from emulator.command_line import run_command
from sim.description import DescriptionError, block_of
from sim.runner import Design, DesignError, SimulationError, run_icarus, run_verilator
from sim.transactions import transactions_of
from sim.transactions.base import Transactions

SIMULATORS = {"verilator": run_verilator, "icarus": run_icarus}


def golden_transactions(description: dict[str, Any], vectors: int, seed: int) -> Transactions:
    """Transactions of the block that a description names, with its parameters. Raises DescriptionError, and SimulationError
    for parameters that no network has."""
    block = block_of(description)
    try:
        return transactions_of(block, np.random.default_rng(seed), vectors)
    except ValueError as error:
        raise SimulationError(f"{description['block']}: {error}") from error


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("verilog", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--description", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="else FILE.json")
@click.option("--simulator", type=click.Choice([*SIMULATORS, "both"]), default="both", show_default=True)
@click.option("--vectors", type=click.IntRange(1), default=50, show_default=True, help="vectors, or single words")
@click.option("--stall", type=click.FloatRange(0, 1, max_open=True), default=0.3, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="keep plan, logs and words here")
def main(
    verilog: Path, description: Path | None, simulator: str, vectors: int, stall: float, seed: int, out: Path | None
) -> int:
    """Drive FILE.v and compare every word that comes out with the golden model; exit code 1 if one differs."""
    design = Design.load(verilog, description)
    try:
        transactions = golden_transactions(design.description, vectors, seed)
    except DescriptionError as error:
        raise DescriptionError(f"{description or verilog.with_suffix('.json')}: {error}") from error
    design.check_ports(verilog)
    for name, run in SIMULATORS.items():
        if simulator in (name, "both"):
            try:
                report = run(design, transactions, stall=stall, seed=seed, out=out / name if out else None)
            except DesignError as error:
                click.echo(f"{name}: {error}")
                return 1
            click.echo(f"{name}: {report.words} words equal, {report.cycles} cycles")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m sim.verify"))
