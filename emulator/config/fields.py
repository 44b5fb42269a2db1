"""The table of every config field: path, default, accepted values, meaning. Printed as docs/configuration.md.

python -m emulator.config.fields > docs/configuration.md
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterator

import click
from pydantic import BaseModel

from emulator.array.devices import DEVICE_MODELS
from emulator.command_line import run_command
from emulator.config.loading import MOST_BYTES, MOST_FILES
from emulator.config.messages import accepted
from emulator.config.schema import MOST_LAYERS, MOST_NAME, Array, Config, Convolution, FullyConnected, MaxPooling

HEADING = f"""\
# Configuration

Every field of a config, made from the schema (`emulator/config/schema.py` and the device models) by
`python -m emulator.config.fields`. `[array]` is what the array of every layer starts from; `[layers.NAME.array]` differs
from it. `--set path=value` reaches all of them. The path is a TOML key, so a name with dots or spaces is in quotes:
`--set 'layers."features.0".outputs=5'`.

Unknown fields are refused, and so are values of another type: `true` is not a number, `"10"` neither, and `1.0` is not an
integer. An integer is accepted where a number is.

A config file is UTF-8 text, with or without a byte-order mark. `base = "NAME"` names a preset, or a `.toml` file beside it,
from which it differs. A file and its bases are at most {MOST_FILES} files and {MOST_BYTES} bytes. A network is at most {MOST_LAYERS} layers; their
names are 1 to {MOST_NAME} printable characters.

## On hardware

Machines `rtl` and `board`, and `python -m hdl export network`, refuse what their circuits do not have. Machines `golden` and
`fast` run all of it:

- `array.update.mode = "exact"`;
- `array.update.generator_sharing` above 1: lines that share a pulse generator have to lie in one beat, and an image has one
  channel, so each line of the first array is alone in its beat;
- layers that differ in `array.weight.bits`, `array.converters.dac_fraction_bits`, `array.update.probability_bits`, or in
  `array.weight.fraction_bits` without as many `array.converters.adc_fraction_bits`;
- more than 64 arrays, or more than 1024 channels into an array.
"""


#: Fields that have tables of their own.
ELSEWHERE = {"layers", "array", "device"}


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
