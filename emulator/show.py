"""What a config amounts to: the resolved fields as TOML, and tables of its arrays, gains and memory."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from emulator.config import Config, Stage
from emulator.config.advice import advice
from emulator.config.messages import toml_key
from emulator.fixed import GAUSSIAN_DEVIATION, WORD_BITS

PIXEL_BITS = 8


def describe(config: Config) -> str:
    """The config as TOML with the tables below it as comments, and warnings: all of it is again a config file."""
    tables = [array_table(config.stages), converter_table(config.stages), memory_table(config.stages)]
    warnings = [f"warning: {line}" for line in advice(config)]
    comments = "\n\n".join([*tables, *warnings]).splitlines()
    return config_toml(config) + "\n" + "".join(f"# {line}".rstrip() + "\n" for line in comments)


def config_toml(config: Config) -> str:
    """Every field as TOML that loads to the same config; what all arrays share stands once, under ``[array]``."""
    tree = config.model_dump(mode="json")
    arrays = [layer["array"] for layer in tree["layers"].values() if "array" in layer]
    common = arrays[0]
    for array in arrays[1:]:
        common = _intersection(common, array)
    for layer in tree["layers"].values():
        if "array" in layer:
            layer["array"] = _without(layer["array"], common)
    layers = tree.pop("layers")
    return _toml({**tree, "array": common, "layers": layers}, ()).lstrip("\n")


def _intersection(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    shared: dict[str, Any] = {}
    for key, value in left.items():
        if isinstance(value, dict) and isinstance(right.get(key), dict):
            shared[key] = _intersection(value, right[key])
        elif key in right and right[key] == value:
            shared[key] = value
    return shared


def _without(tree: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    for key, value in tree.items():
        if key not in common:
            rest[key] = value
        elif isinstance(value, dict) and (inner := _without(value, common[key])):
            rest[key] = inner
    return rest


def _toml(tree: dict[str, Any], path: tuple[str, ...]) -> str:
    """The plain values of a table, then the tables in it, each under its own heading."""
    plain = "".join(
        f"{toml_key(key)} = {_value(value)}\n" for key, value in tree.items() if not isinstance(value, dict)
    )
    heading = f"\n[{'.'.join(toml_key(step) for step in path)}]\n" if path and plain else ""
    tables = (_toml(value, (*path, key)) for key, value in tree.items() if isinstance(value, dict))
    return heading + plain + "".join(tables)


def _value(value: Any) -> str:
    # JSON's strings, numbers, booleans and lists of them are TOML's too, but for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def array_table(stages: Sequence[Stage]) -> str:
    """Shapes and numbers of devices."""
    heading = ("array", "logical", "physical", "ws", "replication", "weights", "devices")
    rows = [
        (
            stage.name,
            f"{stage.rows} x {stage.columns}",
            f"{stage.physical_rows} x {stage.physical_columns}",
            str(stage.positions),
            str(stage.array.replication),
            f"{stage.rows * stage.columns:,}",
            f"{_devices(stage):,}",
        )
        for stage in stages
    ]
    weights, devices = sum(stage.rows * stage.columns for stage in stages), sum(_devices(stage) for stage in stages)
    return _table(heading, [*rows, ("total", "", "", "", "", f"{weights:,}", f"{devices:,}")])


def converter_table(stages: Sequence[Stage]) -> str:
    """Gains of update and read noise, and the formats of DAC, ADC and weight, forward / backward where they may differ."""
    heading = ("array", "C_x, C_delta", "noise gain f / b", "read noise f / b", "DAC", "ADC f / b", "weight")
    rows = []
    for stage in stages:
        mantissa, shift = stage.pulse_gain
        reads = (stage.forward, stage.backward)
        unit = 2.0**-stage.accumulator_fraction * GAUSSIAN_DEVIATION
        lsb = 2.0**-stage.adc_fraction
        weight = stage.array.weight
        rows.append(
            (
                stage.name,
                f"{math.ldexp(mantissa, -shift):.5g}" if stage.array.update.mode == "pulsed" else "exact update",
                " / ".join(str(read.noise_gain) for read in reads),
                " / ".join(f"{read.noise_gain * unit:.4g}" for read in reads),
                f"LSB 2^-{stage.dac_fraction}, +-1",
                f"LSB 2^-{stage.adc_fraction}, +-" + " / ".join(f"{read.limit * lsb:g}" for read in reads),
                f"LSB 2^-{weight.fraction_bits}, +-{math.ldexp(stage.weight_limit, -weight.fraction_bits):.3g}",
            )
        )
    return _table(heading, rows)


def memory_table(stages: Sequence[Stage]) -> str:
    """Bits to be kept while training, by what they hold.

    Device parameters are recomputed from words of rows and columns, so only those words count. Activations are the
    inputs of the arrays, which the update cycle needs again; pixels have 8 bits.
    """
    heading = ("memory, bits", "weights", "device parameters", "generator states", "activations")
    rows = []
    totals = [0, 0, 0, 0]
    for stage in stages:
        lines = stage.physical_rows + stage.physical_columns
        generators = lines + stage.generators_per_row_side + stage.generators_per_column_side
        word = PIXEL_BITS if stage.index == 0 else stage.activation_bits
        bits = [
            _devices(stage) * stage.array.weight.bits,
            lines * stage.array.device.DRAWS * WORD_BITS,
            generators * stage.generator_width,
            stage.height * stage.width * stage.channels * word,
        ]
        totals = [total + more for total, more in zip(totals, bits, strict=True)]
        rows.append((stage.name, *(f"{number:,}" for number in bits)))
    table = _table(heading, [*rows, ("total", *(f"{number:,}" for number in totals))])
    return f"{table}\nall together {sum(totals):,} bits"


def _devices(stage: Stage) -> int:
    return stage.physical_rows * stage.physical_columns


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart: the first to the left, numbers and the like to the right."""
    lines = [heading, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
