"""The command line: train, compare, show and vectors. Errors of the user are one line on stderr."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from emulator.command_line import run_command
from emulator.config import Config, load
from emulator.config.advice import advice
from emulator.machine import MACHINES, Connection, builder
from emulator.machine_memory import check_machines

if TYPE_CHECKING:  # what it imports is not needed by all commands
    from emulator.training.datasets import Bytes, Dataset

# Commands import what they need when they run: the compiled engine and matplotlib take seconds to load.

DEFAULT_CONFIG = "lenet-bl1-um"

Command = TypeVar("Command", bound=Callable[..., Any] | click.Command)


def config_options_with(default: str | None, shown: str | bool = True) -> Callable[[Command], Command]:
    """``--config``, ``--set`` and ``--seed``, with a preset that stands for no ``--config``; None: the command knows which,
    and ``shown`` says it."""

    def decorate(command: Command) -> Command:
        options = (
            click.option("--config", "config_source", default=default, show_default=shown, metavar="NAME|FILE.toml",
                         help="Preset, or a config file."),
            click.option("--set", "assignments", multiple=True, metavar="PATH=VALUE",
                         help="Any field of the config, such as layers.K1.array.replication=4. Repeatable."),
            click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Instead of the config's."),
        )  # fmt: skip
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


config_options = config_options_with(DEFAULT_CONFIG)


def _folder(context: click.Context, parameter: click.Parameter, text: str | None) -> Path | None:
    """The folder that an option names. An empty text is refused: as a ``Path`` it would be the current folder."""
    if text == "":
        raise click.BadParameter("'': accepted: the path of a folder")
    return None if text is None else Path(text)


def data_options(command: Command) -> Command:
    """``--data`` and ``--data-dir``."""
    options = (
        click.option("--data", default="digits", show_default=True, metavar="NAME|FOLDER",
                     help="digits, mnist, fashion-mnist, or a folder of idx files."),
        click.option("--data-dir", callback=_folder, metavar="FOLDER", help="Where to look for data."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def port_options(command: Command) -> Command:
    """``--port``, ``--baud`` and ``--patience``."""
    options = (
        click.option("--port", metavar="DEVICE", help="Serial port of machine board, such as /dev/ttyUSB0."),
        click.option("--baud", type=click.IntRange(min=1), metavar="N",
                     help=f"Speed of --port.  [default: {Connection.baud}]"),
        click.option("--patience", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
                     help="Give up a board that answers, but does not go on for so long.  "
                          f"[default: {Connection.patience:g}]"),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Neural-network training on emulated resistive cross-point arrays."""


@commands.command()
@config_options
@click.option("--machine", "machine_name", type=click.Choice(list(MACHINES)), default="fast", show_default=True)
@port_options
@data_options
@click.option("--epochs", type=click.IntRange(min=1), default=30, show_default=True)
@click.option("--train-limit", type=click.IntRange(min=1), metavar="N", help="Only the first N training images.")
@click.option("--test-limit", type=click.IntRange(min=1), metavar="N", help="Only the first N test images.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help="For checkpoint, log and report.  [default: runs/CONFIG-MACHINE-DATA[-seedN]]")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out.")
@click.option("--checkpoint-every", type=click.IntRange(min=1), default=10_000, show_default=True, metavar="IMAGES")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def train(
    config_source: str,
    assignments: tuple[str, ...],
    seed: int | None,
    machine_name: str,
    port: str | None,
    baud: int | None,
    patience: float | None,
    data: str,
    data_dir: Path | None,
    epochs: int,
    train_limit: int | None,
    test_limit: int | None,
    out: Path | None,
    resume: bool,
    checkpoint_every: int,
    quiet: bool,
) -> int:
    """Train a network; writes checkpoint.npz, log.jsonl and report.html."""
    from emulator.training.loop import run_training

    build = builder([machine_name], connection_of(port, baud, patience))
    config = load(config_source, assignments, seed)
    check_machines([machine_name], config)
    if out is None:
        suffix = "" if seed is None else f"-seed{seed}"
        out = Path("runs") / f"{_file_name(config.name)}-{machine_name}-{_file_name(Path(data).name)}{suffix}"
    dataset = load_data(config, data, data_dir, train_limit, test_limit)
    for line in advice(config):
        _note(f"warning: {line}")
    outcome = run_training(
        config,
        machine_name,
        dataset,
        epochs=epochs,
        out=out,
        checkpoint_every=checkpoint_every,
        resume=resume,
        quiet=quiet,
        build=build,
    )
    return outcome.exit_code


@commands.command()
@click.option("--machines", default="golden,fast", show_default=True, metavar="A,B[,C...]",
              help=f"Two or more of {', '.join(MACHINES)}.")  # fmt: skip
@port_options
@config_options
@click.option("--images", "image_count", type=click.IntRange(min=1), default=100, show_default=True, metavar="N")
@data_options
@click.option("--trace", is_flag=True, help="Compare every intermediate vector too; names the first that differs.")
@click.option("--trace-out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.npz",
              help="Write the first machine's trace of the image that differs, or of the last; implies --trace.")  # fmt: skip
@click.option("--checkpoints", type=(click.Path(path_type=Path), click.Path(path_type=Path)), metavar="A B",
              help="Compare two runs of `train` instead: folders or checkpoint files. No other option is accepted then.")  # fmt: skip
@click.pass_context
def compare(
    context: click.Context,
    machines: str,
    port: str | None,
    baud: int | None,
    patience: float | None,
    config_source: str,
    assignments: tuple[str, ...],
    seed: int | None,
    image_count: int,
    data: str,
    data_dir: Path | None,
    trace: bool,
    trace_out: Path | None,
    checkpoints: tuple[Path, Path] | None,
) -> int:
    """Train the same images on several machines and compare every bit; exit code 1 if one differs."""
    if checkpoints is not None:
        return _compare_checkpoints(context, *checkpoints)
    from emulator.compare import compare_machines, weight_count
    from emulator.compare_trace import compare_with_traces

    names = [name.strip() for name in machines.split(",")]
    unknown = [name for name in names if name not in MACHINES]
    if unknown or len(names) < 2:
        raise click.UsageError(f"--machines {machines!r}: accepted: two or more of {', '.join(MACHINES)}, with commas")
    build = builder(names, connection_of(port, baud, patience))
    config = load(config_source, assignments, seed)
    check_machines(names, config)
    images, labels = load_first_images(config, data, data_dir, image_count)
    if trace or trace_out is not None:
        verdict = compare_with_traces(config, names, images, labels, build=build, trace_out=trace_out)
        click.echo(verdict.text)
        return 0 if verdict.equal else 1
    difference = compare_machines(config, names, images, labels, build=build)
    if difference is not None:
        click.echo(difference)
        return 1
    click.echo(f"bit-exact: {weight_count(config)} weights, {image_count} images")
    return 0


def _compare_checkpoints(context: click.Context, first: Path, second: Path) -> int:
    from emulator.training.compare_checkpoints import compare_checkpoints

    given = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given != ["checkpoints"]:
        raise click.UsageError("--checkpoints with other options; accepted: --checkpoints A B alone")
    verdict = compare_checkpoints(first, second)
    click.echo(verdict.text)
    return 0 if verdict.equal else 1


@commands.command()
@config_options
def show(config_source: str, assignments: tuple[str, ...], seed: int | None) -> None:
    """The resolved config, and what it amounts to: array sizes, gains, memory."""
    from emulator.show import describe

    click.echo(describe(load(config_source, assignments, seed)), nl=False)


@commands.command()
@click.argument("block")
@click.option("--count", type=click.IntRange(min=1), default=1000, show_default=True, metavar="N")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="FOLDER")
def vectors(block: str, count: int, seed: int, out: Path) -> None:
    """Stimulus and expected response of a BLOCK, as .npz and $readmemh files."""
    from emulator.vector_cases import BLOCKS
    from emulator.vectors import write_vectors

    if block not in BLOCKS:
        raise click.UsageError(f"block {block!r}: unknown; accepted: {', '.join(BLOCKS)}")
    for path in write_vectors(block, count, seed, out):
        click.echo(path)


def connection_of(port: str | None, baud: int | None, patience: float | None) -> Connection | None:
    """What the options of a port amount to. Raises UsageError for options of a port that is not named."""
    given = {"baud": baud, "patience": patience}
    chosen = {name: value for name, value in given.items() if value is not None}
    if port is None:
        if chosen:
            raise click.UsageError(f"--{next(iter(chosen))} without --port; accepted: both, or none")
        return None
    return Connection(port, **chosen)  # type: ignore[arg-type]


def load_data(
    config: Config, data: str, data_dir: Path | None, train_limit: int | None = None, test_limit: int | None = None
) -> Dataset:
    """The data set that the options name, in the sizes of a config. Downloads are told on stderr. Raises DataError."""
    from emulator.training.datasets import load_dataset

    return load_dataset(
        data,
        height=config.input.height,
        width=config.input.width,
        classes=config.classes,
        data_dir=data_dir,
        train_limit=train_limit,
        test_limit=test_limit,
        echo=_note,
    )


def load_first_images(config: Config, data: str, data_dir: Path | None, count: int) -> tuple[Bytes, Bytes]:
    """The first images of the training order, with their labels. Raises DataError."""
    from emulator.training.order import first_images

    dataset = load_data(config, data, data_dir)
    chosen = first_images(config.seed, len(dataset.train_images), count)
    return dataset.train_images[chosen], dataset.train_labels[chosen]


def _note(message: str) -> None:
    """A line that is no part of a command's answer."""
    click.echo(message, err=True)


def _file_name(name: str) -> str:
    """A name as part of a folder's name: without path separators and the like."""
    return "".join(character if character.isalnum() or character in "-_." else "_" for character in name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code of the process."""
    return run_command(commands, "python -m emulator", arguments)
