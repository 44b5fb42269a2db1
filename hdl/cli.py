"""The command line: list, export and report. Errors of the user are one line on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from emulator.atomic import write_atomically
from emulator.command_line import ERROR_EXIT, run_command
from emulator.config import Stage, load
from emulator.config.messages import accepted, describe_error, shown
from emulator.config.toml_text import parse_value
from emulator.errors import CrosspointError
from hdl.axi.network_axi import NetworkAxi
from hdl.block import Block, Parameters, plain_refusals
from hdl.blocks import BLOCKS, NETWORK, NETWORK_AXI
from hdl.export import describe, write_export
from hdl.network.network import Network
from hdl.network.network_parameters import NetworkParameters

# `report` imports what it needs when it runs.

DEFAULT_LANES = 8
DEFAULT_CONFIG = "lenet-bl1-um"
DEFAULT_DEVICE = "ecp5-85k"
#: So many words of memory are told before the export of a network, whose time goes with them.
LARGE_MEMORY_WORDS = 1_000_000
#: The line of an initial value.
VERILOG_BYTES_PER_WORD = 26

parameter_option = click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE", help="A parameter of the block. Repeatable."
)


class BlockError(CrosspointError):
    """A block or a parameter that is unknown, or a value that the block does not accept."""


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """The digital periphery as hardware: blocks, their Verilog, and what they cost."""


@commands.command("list")
def list_blocks() -> None:
    """The blocks, each with its parameters: name, accepted values, default, meaning."""
    for name, block in BLOCKS.items():
        click.echo(name)
        fields = block.parameters_class.model_fields
        rows = [
            (field_name, accepted(field.annotation, field), f"default {field.get_default(call_default_factory=True)}",
             field.description or "")
            for field_name, field in fields.items()
        ]  # fmt: skip
        widths = [max(len(row[column]) for row in rows) for column in range(3)] if rows else []
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            click.echo(f"  {'  '.join(cells)}  {row[-1]}".rstrip())


@commands.command()
@click.argument("block_name", metavar="BLOCK")
@parameter_option
@click.option("--config", "config_source", metavar="NAME|FILE.toml",
              help="The parameters that a layer of this config needs, instead of the block's defaults; of BLOCK network or "
                   "network_axi, the config, whose fields --set then reaches.")  # fmt: skip
@click.option("--layer", metavar="NAME", help="The layer of --config; not of network and network_axi.")
@click.option("--lanes", type=click.IntRange(min=1), metavar="N", help="Elements per beat.")
@click.option("-o", "output", type=click.Path(path_type=Path), required=True, metavar="FILE.v",
              help="The Verilog; the description of ports and parameters goes to FILE.json.")  # fmt: skip
def export(
    block_name: str,
    assignments: tuple[str, ...],
    config_source: str | None,
    layer: str | None,
    lanes: int | None,
    output: Path,
) -> None:
    """Write a BLOCK, or the whole network of a config (network; with the pins of AXI network_axi), as plain Verilog-2001."""
    if block_name in (NETWORK, NETWORK_AXI):
        if lanes is not None or layer is not None:
            raise click.UsageError(
                f"{block_name} with --lanes or --layer; accepted: --config, and --set hardware.lanes=N"
            )
        parameters = network_of(config_source, assignments)
        if parameters.memory_words > LARGE_MEMORY_WORDS:
            megabytes = parameters.memory_words * VERILOG_BYTES_PER_WORD // 10**6
            click.echo(
                f"{parameters.memory_words:,} words of memory, {megabytes} MB of Verilog: takes minutes ...", err=True
            )
        for path in export_network(output, block_name, parameters):
            click.echo(path)
        return
    block_class = block_of(block_name)
    if (config_source is None) != (layer is None):
        given, other = ("--config", "--layer") if layer is None else ("--layer", "--config")
        raise click.UsageError(f"{given} without {other}; accepted: both or none")
    values = parse_assignments(assignments)
    if config_source is not None and layer is not None:
        stage = stage_of(config_source, layer)
        values = parameters_for_stage(block_name, block_class, stage, lanes or DEFAULT_LANES) | values
    elif lanes is not None:
        values = {"lanes": lanes} | values
    block = block_class(parameters_of(block_name, block_class, values))
    for path in write_export(output, block_name, block, describe(block_name, block)):
        click.echo(path)


@commands.command()
@click.argument("block_names", metavar="[BLOCK ...]", nargs=-1)
@click.option("--device", "device_name", default=DEFAULT_DEVICE, show_default=True, metavar="NAME",
              help="ecp5-85k or ice40-up5k.")  # fmt: skip
@click.option("--lanes", type=click.IntRange(min=1), multiple=True, metavar="N",
              help="Elements per beat, of blocks that have lanes. Repeatable: a line for each.")  # fmt: skip
@parameter_option
@click.option("--config", "config_source", metavar="NAME|FILE.toml",
              help="The config of BLOCK network, whose fields --set then reaches.")  # fmt: skip
@click.option("--markdown", is_flag=True, help="The table in Markdown.")
@click.option("--into", "page", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.md",
              help="Replace the table of the device in this page, between its marks.")  # fmt: skip
@click.option("--seed", "placement", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
              help="Of nextpnr's placement.")  # fmt: skip
@click.option("--quiet", is_flag=True, help="No progress bar.")
def report(
    block_names: tuple[str, ...],
    device_name: str,
    lanes: tuple[int, ...],
    assignments: tuple[str, ...],
    config_source: str | None,
    markdown: bool,
    page: Path | None,
    placement: int,
    quiet: bool,
) -> int:
    """LUTs, registers, multipliers, memories, Fmax and timing of the blocks (default: all) on an FPGA."""
    from tqdm import tqdm

    from hdl.report import DEVICES, Row, measure, replace_between_marks, table
    from hdl.tools import ToolError

    if device_name not in DEVICES:
        raise click.UsageError(f"--device {device_name!r}: accepted: {', '.join(DEVICES)}")
    device = DEVICES[device_name]
    if page is not None:
        replace_between_marks(page.read_text("utf-8"), device_name, "")  # refuse a page without marks before the work
    blocks = _chosen_blocks(block_names, lanes, assignments, config_source)
    rows, failures = [], []
    with tqdm(blocks, unit="block", disable=True if quiet else None, leave=False) as progress:
        for name, block in progress:
            progress.set_description(name)
            try:
                rows.append(Row(name, block, measure(name, block, device, seed=placement)))
            except ToolError as error:
                failures.append(f"{name}: {error}")
    text = table(rows, markdown or page is not None)
    if page is None:
        click.echo(text)
    else:
        write_atomically(page, replace_between_marks(page.read_text("utf-8"), device_name, text).encode())
    for row in rows:
        if row.result.fmax is not None and row.result.fmax < device.target:
            click.echo(
                f"{row.cells()[0]}, {row.cells()[1]} lanes: below {device.target:g} MHz: {row.result.path}", err=True
            )
    for failure in failures:
        click.echo(f"error: {failure}", err=True)
    return ERROR_EXIT if failures else 0


def _chosen_blocks(
    block_names: tuple[str, ...], lanes: Sequence[int], assignments: Sequence[str], config_source: str | None
) -> list[tuple[str, Block]]:
    """The blocks of a report, or the network of a config, with these numbers of lanes."""
    if NETWORK not in block_names:
        if config_source is not None:
            raise click.UsageError("--config: accepted with BLOCK network")
        chosen = blocks_for_report(block_names, lanes, parse_assignments(assignments))
        return [(name, block_class(parameters)) for name, block_class, parameters in chosen]
    if block_names != (NETWORK,):
        raise click.UsageError(f"{' '.join(block_names)}: accepted: network alone, or other blocks")
    sizes = [(f"hardware.lanes={number}",) for number in lanes] or [()]
    return [(NETWORK, Network(network_of(config_source, (*assignments, *size)))) for size in sizes]


def blocks_for_report(
    names: Sequence[str], lanes: Sequence[int], assignments: dict[str, Any]
) -> list[tuple[str, type[Block], Parameters]]:
    """The named blocks, or all, with those of the parameters that they have. Raises BlockError if none has one."""
    classes = {name: block_of(name) for name in names or BLOCKS}
    for parameter in assignments:
        if not any(parameter in block_class.parameters_class.model_fields for block_class in classes.values()):
            known = sorted({field for each in classes.values() for field in each.parameters_class.model_fields})
            raise BlockError(f"--set {parameter}: no block has it; accepted: {', '.join(known)}")
    blocks = []
    for name, block_class in classes.items():
        fields = block_class.parameters_class.model_fields
        values = {parameter: value for parameter, value in assignments.items() if parameter in fields}
        for choice in [{"lanes": number} for number in lanes] if lanes and "lanes" in fields else [{}]:
            blocks.append((name, block_class, parameters_of(name, block_class, {**choice, **values})))
    return blocks


def block_of(name: str) -> type[Block]:
    """Raises BlockError."""
    if name not in BLOCKS:
        raise BlockError(f"block {shown(name)}: unknown; accepted: {', '.join(BLOCKS)}")
    return BLOCKS[name]


def network_of(config_source: str | None, assignments: Sequence[str]) -> NetworkParameters:
    """The hardware of a config's network. Raises ConfigError, and BlockError for a config that hardware does not hold."""
    config = load(config_source or DEFAULT_CONFIG, assignments)
    try:
        return NetworkParameters.of_config(config)
    except ValueError as error:
        raise BlockError(f"network: {error}") from error


def export_network(output: Path, name: str, parameters: NetworkParameters) -> list[Path]:
    """The network with its streams, or behind AXI. Raises CrosspointError and OSError."""
    if name == NETWORK:
        network = Network(parameters)
        return write_export(output, name, network, describe(name, network))
    axi = NetworkAxi.of(parameters)
    return write_export(output, name, axi, axi.describe(name))


def stage_of(config_source: str, layer: str) -> Stage:
    """Raises ConfigError and BlockError."""
    stages = {stage.name: stage for stage in load(config_source).stages}
    if layer not in stages:
        raise BlockError(f"layer {layer!r}: no array of {config_source}; accepted: {', '.join(stages)}")
    return stages[layer]


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` each, values as in TOML. Raises BlockError."""
    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise BlockError(f"--set {shown(assignment)}: accepted: name=value")
        value = parse_value(text.strip())
        values[name.strip()] = tuple(value) if isinstance(value, list) else value
    return values


def parameters_for_stage(name: str, block_class: type[Block], stage: Stage, lanes: int) -> dict[str, Any]:
    """What the tile of a stage needs of a block. Raises BlockError."""
    parameters_class = block_class.parameters_class
    try:
        with plain_refusals():
            return parameters_class.of(stage, lanes).model_dump()
    except ValueError as error:
        raise BlockError(f"{name}: {error}") from error


def parameters_of(name: str, block_class: type[Block], values: dict[str, Any]) -> Parameters:
    """The parameters of a block: values, and defaults for the others. Raises BlockError."""
    parameters_class = block_class.parameters_class
    try:
        return parameters_class.model_validate(values)
    except ValidationError as error:
        raise BlockError(f"{name}: {describe_error(error, parameters_class)}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code of the process."""
    return run_command(commands, "python -m hdl", arguments)
