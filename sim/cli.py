"""The command line: bench, bench-block and waves. Errors of the user are one line on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from emulator.cli import config_options, data_options, load_first_images
from emulator.command_line import run_command
from emulator.config import load
from emulator.errors import CrosspointError
from hdl.cli import block_of, parameter_option, parameters_of, parse_assignments

# Commands import what they need when they run.

PHASES = ("forward", "backward", "update")


class BenchError(CrosspointError):
    """A block that has no transactions for its parameters, or whose words are not the golden model's."""


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Simulation of the hardware."""


@commands.command()
@config_options
@click.option("--lanes", type=click.IntRange(1, 64), multiple=True, metavar="N",
              help="Devices that the crossbar works on at once, instead of the config's. Repeatable: a line for each.")  # fmt: skip
@click.option("--images", "image_count", type=click.IntRange(min=1), default=20, show_default=True, metavar="N")
@data_options
def bench(
    config_source: str,
    assignments: tuple[str, ...],
    seed: int | None,
    lanes: tuple[int, ...],
    image_count: int,
    data: str,
    data_dir: Path | None,
) -> None:
    """Training of a whole network in logic: images and cycles per second, and where an image's cycles go."""
    from sim.network_bench import measure, table

    rates = []
    for number in lanes or (None,):
        chosen = assignments if number is None else (*assignments, f"hardware.lanes={number}")
        config = load(config_source, chosen, seed)
        images, labels = load_first_images(config, data, data_dir, image_count)
        rates.append(measure(config, images, labels))
        click.echo(f"{config.name}, {rates[-1].lanes} lanes, image {image_count}")
        click.echo(f"{rates[-1].profile.table()}\n")
    click.echo(table(rates))


@commands.command()
@config_options
@click.option("--image", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
              help="Of the training order, the first is 1; those before it are trained on too.")  # fmt: skip
@click.option("--layer", required=True, metavar="NAME")
@click.option("--phase", type=click.Choice(PHASES), default=PHASES[0], show_default=True)
@data_options
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE.vcd")
def waves(
    config_source: str,
    assignments: tuple[str, ...],
    seed: int | None,
    image: int,
    layer: str,
    phase: str,
    data: str,
    data_dir: Path | None,
    out: Path,
) -> None:
    """Waves of one phase of one layer of an image, as VCD."""
    from hdl.network.tile import Operation
    from sim.machine import RtlMachine
    from sim.waves import write_waves

    config = load(config_source, assignments, seed)
    names = [stage.name for stage in config.stages]
    if layer not in names:
        raise click.UsageError(f"--layer {layer!r}: accepted: {', '.join(names)}")
    if phase == "backward" and layer == names[0]:
        raise click.UsageError(
            f"--phase backward --layer {layer}: accepted: a later layer; the first is not read backward"
        )
    images, labels = load_first_images(config, data, data_dir, image)
    machine = RtlMachine(config, waves=True)
    machine.train(images[:-1], labels[:-1])
    cycles = write_waves(machine, images[-1], int(labels[-1]), layer, Operation[phase.upper()], out)
    click.echo(f"{out}: {cycles} cycles of {layer}, {phase}")


@commands.command("bench-block")
@click.argument("block_name", metavar="[BLOCK]", default="tile")
@parameter_option
@click.option("--vectors", type=click.IntRange(min=1), default=50, show_default=True, metavar="N",
              help="Vectors, commands or words that go through the block.")  # fmt: skip
@click.option("--quiet", is_flag=True, help="No progress bar.")
def bench_block(block_name: str, assignments: tuple[str, ...], vectors: int, quiet: bool) -> None:
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
