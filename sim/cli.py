"""The command line: bench. Errors of the user are one line on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import numpy as np

from emulator.command_line import run_command
from emulator.errors import CrosspointError
from hdl.cli import block_of, parameter_option, parameters_of, parse_assignments

# `bench` imports what it needs when it runs.


class BenchError(CrosspointError):
    """A block that has no transactions for its parameters, or whose words are not the golden model's."""


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Simulation of the hardware."""


@commands.command()
@click.argument("block_name", metavar="[BLOCK]", default="tile")
@parameter_option
@click.option("--vectors", type=click.IntRange(min=1), default=50, show_default=True, metavar="N",
              help="Vectors, commands or words that go through the block.")  # fmt: skip
@click.option("--quiet", is_flag=True, help="No progress bar.")
def bench(block_name: str, assignments: tuple[str, ...], vectors: int, quiet: bool) -> None:
    """Cycles per second of BLOCK (default: tile) in every simulator, on the same transactions."""
    from tqdm import tqdm

    from sim.bench import ROUTES, table
    from sim.transactions import transactions_of

    block_class: Any = block_of(block_name)
    block = block_class(parameters_of(block_name, block_class, parse_assignments(assignments)))
    try:
        transactions = transactions_of(block, np.random.default_rng(1), vectors)
    except ValueError as error:
        raise BenchError(f"{block_name}: {error}") from error
    rates = {}
    with tqdm(ROUTES.items(), unit="route", disable=True if quiet else None, leave=False) as progress:
        for name, measure in progress:
            progress.set_description(name)
            try:
                rates[name] = measure(block, transactions)
            except AssertionError as error:
                raise BenchError(f"{block_name}: {name}: {error}") from error
    click.echo(f"{block_name}, {vectors} vectors, all words equal in every simulator")
    click.echo(table(rates))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code of the process."""
    return run_command(commands, "python -m sim", arguments)
