"""The description beside Verilog (hdl/export.py writes it), read from a file that a user may have edited.

Everything is checked before a simulator sees it: the JSON, every field's type, and the streams against those of the block.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emulator.config.loading import describe_error
from emulator.errors import CrosspointError
from hdl.block import Block
from hdl.blocks import BLOCKS
from hdl.export import describe_streams

#: Most cycles of a latency: how long a run may be silent, and simulators count in 32 bits.
MOST_CYCLES = 1_000_000


class DescriptionError(CrosspointError):
    """A description that cannot be read, or that no block has."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class FieldDescription(_Strict):
    offset: int = Field(ge=0, description="the field's lowest bit in the payload")
    width: int = Field(ge=1, description="bits of a word")
    signed: bool = Field(description="whether words are in two's complement")
    count: int | None = Field(ge=1, description="words of an array, null for a word alone")


class StreamDescription(_Strict):
    direction: Literal["in", "out"] = Field(description="as the block sees it")
    width: int = Field(ge=1, description="bits of the payload")
    fields: dict[str, FieldDescription] = Field(description="fields of the payload by name")


class Description(_Strict):
    block: str = Field(description="the name of a block and of the top module")
    parameters: dict[str, Any] = Field(description="parameters of the block by name")
    latency: int = Field(ge=0, le=MOST_CYCLES, description="cycles from a vector's last beat to its first output")
    cycles_per_beat: int = Field(ge=1, le=MOST_CYCLES, description="cycles between input beats")
    streams: dict[str, StreamDescription] = Field(description="streams by name")


def read_description(path: Path) -> dict[str, Any]:
    """Raises DescriptionError, which names file and field or line, and OSError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DescriptionError(f"{path}: byte {error.start}: accepted: UTF-8") from error
    except RecursionError as error:
        raise DescriptionError(
            f"{path}: nested too deep; accepted: a file that `python -m hdl export` writes"
        ) from error
    except json.JSONDecodeError as error:
        raise DescriptionError(
            f"{path}: line {error.lineno}, column {error.colno}: {error.msg}; accepted: JSON as `python -m hdl export` writes it"
        ) from error
    except ValueError as error:  # an integer of thousands of digits
        raise DescriptionError(f"{path}: {error}; accepted: JSON as `python -m hdl export` writes it") from error
    if not isinstance(content, dict):
        raise DescriptionError(
            f"{path}: {type(content).__name__}; accepted: an object with {', '.join(Description.model_fields)}"
        )
    try:
        Description.model_validate(content)
    except ValidationError as error:
        raise DescriptionError(f"{path}: {describe_error(error, Description, ())}") from error
    return content


def block_of(description: dict[str, Any]) -> Block[Any]:
    """The block that a description names, with its parameters. Raises DescriptionError, also for streams that it does not
    have; where fields lie in a payload is the description's own."""
    name = description["block"]
    if name not in BLOCKS:
        raise DescriptionError(f"block = {name!r}: accepted: {', '.join(BLOCKS)}")
    block_class = BLOCKS[name]
    try:
        block: Block[Any] = block_class(block_class.parameters_class.from_description(description["parameters"]))
    except ValidationError as error:
        raise DescriptionError(describe_error(error, block_class.parameters_class, ("parameters",))) from error
    _check_streams(description["streams"], describe_streams(block))
    return block


def _check_streams(given: dict[str, Any], expected: dict[str, Any]) -> None:
    _check_names("streams", given, expected)
    for port, stream in expected.items():
        _check_value(f"streams.{port}.direction", given[port]["direction"], stream["direction"])
        _check_names(f"streams.{port}.fields", given[port]["fields"], stream["fields"])
        used: list[tuple[int, int]] = []
        for name, field in stream["fields"].items():
            own, place = given[port]["fields"][name], f"streams.{port}.fields.{name}"
            for key in ("width", "signed", "count"):
                _check_value(f"{place}.{key}", own[key], field[key])
            first, end = own["offset"], own["offset"] + own["width"] * (own["count"] or 1)
            if end > given[port]["width"] or any(low < end and first < high for low, high in used):
                raise DescriptionError(
                    f"{place}.offset = {first}: accepted: {end - first} bits of its own among the {given[port]['width']} of the payload"
                )
            used.append((first, end))


def _check_names(place: str, given: dict[str, Any], expected: dict[str, Any]) -> None:
    if set(given) != set(expected):
        raise DescriptionError(f"{place} = {', '.join(given) or 'none'}: accepted: {', '.join(expected)}")


def _check_value(place: str, given: object, expected: object) -> None:
    if given != expected:
        raise DescriptionError(f"{place} = {json.dumps(given)}: accepted: {json.dumps(expected)}, as the block has it")
