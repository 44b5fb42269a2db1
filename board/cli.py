"""The command line: list, build, program, simulate, train, bench and campaign. Errors of the user are one line on stderr."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from board.targets import TARGETS, Target
from emulator import cli as emulator_cli
from emulator.cli import config_options_with, data_options, load_data
from emulator.command_line import run_command
from emulator.config import Config, load
from emulator.errors import MachineError
from emulator.machine import Connection
from hdl.network.network_parameters import NetworkParameters

if TYPE_CHECKING:
    from board.simulator import ModelledBoard, SimulatedBoard

# Commands import what they need when they run.

MACHINE = "board"
DEFAULT_BOARD = next(iter(TARGETS))
#: The config of a campaign: its images take no time.
SMALL_CONFIG = "tiny"

Command = TypeVar("Command", bound=Callable[..., Any] | click.Command)


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Networks on FPGA boards: bitstreams, and training over a serial line."""


def config_of_board(command: Command) -> Command:
    """``--board``, and ``--config``, ``--set`` and ``--seed`` of what it holds."""
    choice = click.option(
        "--board", "board_name", type=click.Choice(list(TARGETS)), default=DEFAULT_BOARD, show_default=True
    )
    return choice(config_options_with(None, "the board's")(command))


@commands.command("list")
def list_boards() -> None:
    """The boards: clock, speed of the serial line, and what they hold unless told otherwise."""
    for target in TARGETS.values():
        settings = "".join(f" --set {setting}" for setting in target.settings)
        click.echo(f"{target.name}  {target.title}")
        click.echo(f"  {target.clock / 1e6:g} MHz, {target.baud} baud, --config {target.config}{settings}")


@commands.command()
@config_of_board
def build(board_name: str, config_source: str | None, assignments: tuple[str, ...], seed: int | None) -> None:
    """The bitstream of a config's network for a board; built unless it is there already."""
    from board.build import build

    target = TARGETS[board_name]
    build(target, _config_of(target, config_source, assignments, seed), show=click.echo)


@commands.command()
@config_of_board
@click.option("--bitstream", type=click.Path(path_type=Path), metavar="FILE", help="Instead of the config's.")
def program(
    board_name: str, config_source: str | None, assignments: tuple[str, ...], seed: int | None, bitstream: Path | None
) -> None:
    """Build the bitstream, unless it is there already, and put it on the connected board (by openFPGALoader)."""
    from board.build import build, program

    target = TARGETS[board_name]
    if bitstream is None:
        config = _config_of(target, config_source, assignments, seed)
        bitstream = build(target, config, show=click.echo).bitstream
    elif config_source is not None or assignments:
        raise click.UsageError("--bitstream with --config or --set; accepted: one or the other")
    program(target, bitstream)


@commands.command()
@config_of_board
@click.option("--link", "link_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="A symbolic link to the device.")  # fmt: skip
@click.option("--as-built", is_flag=True,
              help="With the board's own clock cycles of a bit and buffers, instead of those that are quick to simulate.")  # fmt: skip
@click.option("--faults", "faults_text", metavar="KIND=RATE[,...]",
              help="Faults per byte: flip, drop, duplicate, reorder, burst, cut, reset; and burst_bytes, cut_seconds, seed.")  # fmt: skip
def simulate(
    board_name: str,
    config_source: str | None,
    assignments: tuple[str, ...],
    seed: int | None,
    link_file: Path | None,
    as_built: bool,
    faults_text: str | None,
) -> None:
    """A simulated board behind a device that looks like its serial port; serves until it is interrupted."""
    from board.faults import FaultyLine, parse_rates
    from board.simulator import PseudoPort

    target = TARGETS[board_name]
    faults = None if faults_text is None else FaultyLine(parse_rates(faults_text))
    config = _config_of(target, config_source, assignments, seed)
    board = _simulated(config, target if as_built else None)
    with _interrupts(), PseudoPort(board, baud=target.baud, faults=faults, link=link_file) as port:
        try:
            click.echo(
                f"{link_file or port.device}: {target.name} with {config.name}, {target.baud} baud; ends with Ctrl-C"
            )
            port.serve()
        except KeyboardInterrupt:
            if faults is not None:
                counts = ", ".join(f"{kind} {count}" for kind, count in sorted(faults.counts.items()))
                click.echo(f"faults: {counts or 'none'}")


@contextmanager
def _interrupts() -> Iterator[None]:
    """Requests to terminate are interrupts too, and interrupts are heeded by programs that were started to ignore them."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@commands.command()
@config_of_board
@click.option("--images", "image_count", type=click.IntRange(min=1), default=10, show_default=True, metavar="N")
@data_options
def bench(
    board_name: str,
    config_source: str | None,
    assignments: tuple[str, ...],
    seed: int | None,
    image_count: int,
    data: str,
    data_dir: Path | None,
) -> None:
    """Cycles and images per second of training, link included, on the simulated board as it is built."""
    from board.bench import HEADER, measure

    target = TARGETS[board_name]
    config = _config_of(target, config_source, assignments, seed)
    dataset = load_data(config, data, data_dir, image_count)
    board = _simulated(config, target)
    rate = measure(target, config, board, dataset.train_images[:image_count], dataset.train_labels[:image_count])
    click.echo(HEADER)
    click.echo(rate.row())


@commands.command()
@config_options_with(SMALL_CONFIG)
@click.option("--runs", type=click.IntRange(min=1), default=100, show_default=True, metavar="N")
@click.option("--campaign-seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, metavar="N",
              help="Of the faults.")  # fmt: skip
@click.option("--images", "image_count", type=click.IntRange(min=1), default=4, show_default=True, metavar="N")
@data_options
@click.option("--model", is_flag=True, help="On the model of a board in Python, instead of its simulated logic.")
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
    model: bool,
    quiet: bool,
) -> int:
    """Trainings on a simulated board under random faults; exit code 1 if one ends with other bits, or not at all."""
    from tqdm import tqdm

    from board.campaign import Campaign, Tally
    from board.campaign_host import Task
    from board.identity import identity_of

    config = load(config_source, assignments, seed)
    dataset = load_data(config, data, data_dir, image_count)
    board = _modelled(config) if model else _simulated(config, None)
    identity = identity_of(NetworkParameters.of_config(config))
    task = Task(config, identity, dataset.train_images, dataset.train_labels)
    tally = Tally()
    runner = Campaign(task, board, baud=Connection.baud)
    try:
        with _interrupts(), tqdm(total=runs, unit="run", disable=True if quiet else None, leave=False) as bar:
            for outcome in runner.run(runs, campaign_seed):
                tally.add(outcome)
                bar.update()
    finally:  # of the runs so far, if it was interrupted
        click.echo(tally.table())
    for failure in tally.failures:
        click.echo(f"run {failure.number}: {failure.ending}: {failure.text}", err=True)
    return 1 if tally.failures else 0


def _config_of(target: Target, source: str | None, assignments: Sequence[str], seed: int | None) -> Config:
    """A config as a board holds it. What the board changes of a config that the user named is told on stderr."""
    config = target.load(source, assignments, seed)
    for note in target.notes(source, assignments) if source is not None else ():
        click.echo(note, err=True)
    return config


def _simulated(config: Config, target: Target | None) -> SimulatedBoard:
    """The simulated board of a config, as a target has it. Raises MachineError for a config that hardware does not hold."""
    from board.simulator import SimulatedBoard, simulated_link

    with _refusals():
        link = simulated_link(config)
        return SimulatedBoard(config, link if target is None else target.link(link.identity))


def _modelled(config: Config) -> ModelledBoard:
    """The same of its model."""
    from board.simulator import ModelledBoard

    with _refusals():
        return ModelledBoard.of(config)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise MachineError(f"machine {MACHINE!r}: {error}") from error


def _train_command() -> click.Command:
    """The emulator's command, for this machine and what a board holds."""
    original = emulator_cli.train

    def train(
        board_name: str,
        config_source: str | None,
        assignments: tuple[str, ...],
        port: str | None,
        baud: int | None,
        **others: Any,
    ) -> Any:
        target = TARGETS[board_name]
        _config_of(target, config_source, assignments, others["seed"])  # what is refused there is said of this board
        assert original.callback is not None
        return original.callback(
            machine_name=MACHINE,
            config_source=config_source or target.config,
            assignments=(*target.settings_for(config_source), *assignments),
            port=port,
            baud=target.baud if baud is None and port is not None else baud,
            **others,
        )

    command = config_of_board(click.command("train")(train))
    assert isinstance(command, click.Command)
    own = {parameter.name for parameter in command.params} | {"machine_name"}
    command.params += [parameter for parameter in original.params if parameter.name not in own]
    command.help = "Train a network on the board at --port: `python -m emulator train --machine board`."
    return command


commands.add_command(_train_command())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code of the process."""
    return run_command(commands, "python -m board", arguments)
