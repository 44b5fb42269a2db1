"""The command line: list, build, program, simulate, train and campaign. Errors of the user are one line on stderr."""

from __future__ import annotations

import copy
import functools
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from board.targets import TARGETS, Target
from emulator import cli as emulator_cli
from emulator.cli import config_options, data_options
from emulator.command_line import run_command
from emulator.config import Config, load
from emulator.errors import MachineError

# Commands import what they need when they run.

MACHINE = "board"
DEFAULT_CONFIG = "lenet-board"
SMALL_CONFIG = "tiny"


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Networks on FPGA boards: bitstreams, and training over a serial line."""


@commands.command()
@config_options
@click.option("--board", "board_name", metavar="NAME", help="As on this board (python -m board list): speed, buffers.")
@click.option("--link", "link_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="A symbolic link to the device.")  # fmt: skip
@click.option("--faults", "faults_text", metavar="KIND=RATE[,...]",
              help="Faults per byte: flip, drop, duplicate, reorder, burst, cut, reset; and burst_bytes, cut_seconds, seed.")  # fmt: skip
def simulate(
    config_source: str,
    assignments: tuple[str, ...],
    seed: int | None,
    board_name: str | None,
    link_file: Path | None,
    faults_text: str | None,
) -> None:
    """A simulated board behind a device that looks like its serial port; serves until it is interrupted."""
    from board.faults import FaultyLine, parse_rates
    from board.simulator import PseudoPort

    faults = None if faults_text is None else FaultyLine(parse_rates(faults_text))
    config = load(config_source, assignments, seed)
    board, baud = _simulated(config, board_name)
    with _interrupts(), PseudoPort(board, baud=baud, faults=faults, link=link_file) as port:
        try:
            click.echo(f"{link_file or port.device}: {config.name} at {baud} baud; ends with Ctrl-C")
            port.serve()
        except KeyboardInterrupt:
            if faults is not None:
                counts = ", ".join(f"{kind} {count}" for kind, count in sorted(faults.counts.items()))
                click.echo(f"faults: {counts or 'none'}")


@contextmanager
def _interrupts() -> Iterator[None]:
    """A request to terminate is an interrupt too."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@commands.command()
@config_options
@click.option("--runs", type=click.IntRange(min=1), default=100, show_default=True, metavar="N")
@click.option("--campaign-seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, metavar="N",
              help="Of the faults.")  # fmt: skip
@click.option("--images", "image_count", type=click.IntRange(min=1), default=4, show_default=True, metavar="N")
@data_options
@click.option("--quiet", is_flag=True, help="No progress bar.")
def campaign(
    config_source: str,
    assignments: tuple[str, ...],
    seed: int | None,
    runs: int,
    campaign_seed: int,
    image_count: int,
    data: str,
    data_dir: Path | None,
    quiet: bool,
) -> int:
    """Trainings on a simulated board under random faults; exit code 1 if one ends with other bits, or not at all."""
    from tqdm import tqdm

    from board.campaign import Campaign, Tally
    from emulator.training.datasets import load_dataset

    config = load(config_source, assignments, seed)
    dataset = load_dataset(
        data,
        height=config.input.height,
        width=config.input.width,
        classes=config.classes,
        data_dir=data_dir,
        train_limit=image_count,
    )
    board, baud = _simulated(config, None)
    tally = Tally()
    runner = Campaign(config, board, dataset.train_images, dataset.train_labels, baud=baud)
    with tqdm(total=runs, unit="run", disable=True if quiet else None, leave=False) as bar:
        for outcome in runner.run(runs, campaign_seed):
            tally.add(outcome)
            bar.update()
    click.echo(tally.table())
    for failure in tally.failures:
        click.echo(f"run {failure.number}: {failure.ending}: {failure.text}", err=True)
    return 1 if tally.failures else 0
