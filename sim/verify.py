"""``python -m sim.verify FILE.v``: hold Verilog of your own to the golden model of the block that its description names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from pydantic import ValidationError

from hdl.blocks import BLOCKS
from sim.runner import Design, SimulationError, run_icarus, run_verilator
from sim.transactions import transactions_of
from sim.transactions.base import Transactions

SIMULATORS = {"verilator": run_verilator, "icarus": run_icarus}


def golden_transactions(description: dict[str, Any], vectors: int, seed: int) -> Transactions:
    """Transactions of the block that a description names, with its parameters. Raises SimulationError."""
    name = description["block"]
    if name not in BLOCKS:
        raise SimulationError(f"block {name!r}: unknown; accepted: {', '.join(BLOCKS)}")
    block_class = BLOCKS[name]
    try:
        parameters = block_class.parameters_class(**description["parameters"])
    except ValidationError as error:
        raise SimulationError(f"{name}: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from error
    return transactions_of(block_class(parameters), np.random.default_rng(seed), vectors)


@click.command()
@click.argument("verilog", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--description", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="else FILE.json")
@click.option("--simulator", type=click.Choice([*SIMULATORS, "both"]), default="both", show_default=True)
@click.option("--vectors", type=click.IntRange(1), default=50, show_default=True, help="vectors, or single words")
@click.option("--stall", type=click.FloatRange(0, 1, max_open=True), default=0.3, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="keep plan, logs and words here")
def main(
    verilog: Path, description: Path | None, simulator: str, vectors: int, stall: float, seed: int, out: Path | None
) -> None:
    """Drive FILE.v and compare every word that comes out with the golden model."""
    try:
        design = Design.load(verilog, description)
        transactions = golden_transactions(design.description, vectors, seed)
        for name, run in SIMULATORS.items():
            if simulator in (name, "both"):
                report = run(design, transactions, stall=stall, seed=seed, out=out / name if out else None)
                click.echo(f"{name}: {report.words} words equal, {report.cycles} cycles")
    except (SimulationError, OSError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
