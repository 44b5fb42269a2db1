"""The table of every config field: path, default, accepted values, meaning. Printed as docs/configuration.md.

python -m emulator.config.fields > docs/configuration.md
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterator
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from emulator.array.devices import DEVICE_MODELS
from emulator.command_line import run_command
from emulator.config.schema import Array, Config, Convolution, FullyConnected, MaxPooling

HEADING = """\
# Configuration

Every field of a config, made from the schema (`emulator/config/schema.py` and the device models) by
`python -m emulator.config.fields`. `[array]` is what the array of every layer starts from; `[layers.NAME.array]` differs
from it. `--set path=value` reaches all of them. Unknown fields are refused.
"""


#: Fields that have tables of their own.
ELSEWHERE = {"layers", "array", "device"}


def accepted(annotation: Any, field: FieldInfo | None = None) -> str:
    """The accepted values of a type in words: bounds, choices, kinds."""
    metadata = list(field.metadata) if field else []
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        base, *rest = typing.get_args(annotation)
        inner = [m for item in rest for m in (item.metadata if isinstance(item, FieldInfo) else [item])]
        return _bounded(base, inner)
    if origin is typing.Literal:
        return ", ".join(str(value) for value in typing.get_args(annotation))
    if origin is tuple:
        return "list of " + ", ".join(accepted(member) for member in typing.get_args(annotation) if member is not ...)
    if origin is typing.Union or type(annotation).__name__ == "UnionType":
        return " or ".join(accepted(member) for member in typing.get_args(annotation))
    return _bounded(annotation, metadata)


def _bounded(kind: Any, metadata: list[Any]) -> str:
    word = {int: "integer", float: "number", str: "text", bool: "true, false"}.get(kind, "")
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [f"{sign} {getattr(m, name)}" for m in metadata for name, sign in signs.items() if hasattr(m, name)]
    return " ".join([word, ", ".join(bounds)]).strip()


def rows(model: type[BaseModel], path: str) -> Iterator[str]:
    """A table row for every field below ``model`` that is a value."""
    for name, field in model.model_fields.items():
        place = f"{path}{name}"
        if name in ELSEWHERE:
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from rows(field.annotation, f"{place}.")
        else:
            default = "required" if field.is_required() else field.get_default(call_default_factory=True)
            shown = str(default).lower() if isinstance(default, bool) else default
            yield f"| `{place}` | {shown} | {accepted(field.annotation, field)} | {field.description or ''} |"


def document() -> str:
    """The whole page."""
    head = "| field | default | accepted | meaning |\n|---|---|---|---|\n"
    tables: list[tuple[str, str, type[BaseModel]]] = [("The run", "", Config), ("An array", "array.", Array)]
    tables += [(f"Device model `{name}`", "array.device.", model) for name, model in DEVICE_MODELS.items()]
    for layer in (Convolution, MaxPooling, FullyConnected):
        kind = typing.get_args(layer.model_fields["type"].annotation)[0]
        tables.append((f"Layer `{kind}`: {layer.__doc__}", "layers.NAME.", layer))
    sections = [
        f"\n## {title}\n\n{head}" + "".join(f"{row}\n" for row in rows(model, path)) for title, path, model in tables
    ]
    return HEADING + "".join(sections)


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    click.echo(document(), nl=False)


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m emulator.config.fields"))
