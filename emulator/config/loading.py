"""From TOML files, presets and ``--set path=value`` to a validated config, with one-line errors."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from emulator.array.devices import DEVICE_MODELS
from emulator.config.schema import Array, Config
from emulator.errors import ConfigError

PRESET_FOLDER = Path(__file__).parent / "presets"


def preset_names() -> list[str]:
    """Names of the presets that ship with the emulator."""
    return sorted(path.stem for path in PRESET_FOLDER.glob("*.toml"))


def load(source: str | Path, assignments: Sequence[str] = (), seed: int | None = None) -> Config:
    """The config of a preset name or a ``.toml`` file, with ``path=value`` assignments applied over it.

    A file may name a ``base`` (preset or file beside it) and then holds only what differs. ``[array]`` is the
    array description that every layer starts from; ``[layers.NAME.array]`` differs from it.
    Raises ConfigError.
    """
    tree = _read(source, folder=Path("."), visited=())
    for assignment in assignments:
        _assign(tree, assignment)
    if seed is not None:
        tree["seed"] = seed
    return _resolve(tree, str(source))


def _read(source: str | Path, folder: Path, visited: tuple[Path, ...]) -> dict[str, Any]:
    text = str(source)
    path = folder / text if text.endswith(".toml") else PRESET_FOLDER / f"{text}.toml"
    if not text.endswith(".toml") and text not in preset_names():
        known = ", ".join(preset_names())
        raise ConfigError(f"config {text!r}: no such preset; accepted: a .toml file or one of {known}")
    if path in visited:
        raise ConfigError(f"config {text!r}: base refers back to itself; accepted: a chain of bases that ends")
    try:
        with open(path, "rb") as file:
            tree = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"config {text!r}: {error.strerror}; accepted: a readable .toml file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {text!r}: not valid TOML: {error}") from error
    tree.setdefault("name", path.stem)
    base = tree.pop("base", None)
    if base is None:
        return tree
    if not isinstance(base, str):
        raise ConfigError(f"base = {base!r}: accepted: the name of a preset or of a .toml file")
    return _merge(_read(base, path.parent, (*visited, path)), tree)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _assign(tree: dict[str, Any], assignment: str) -> None:
    path, equals, text = assignment.partition("=")
    steps = path.strip().split(".")
    if not equals or not all(steps):
        raise ConfigError(f"--set {assignment!r}: accepted: path.to.field=value")
    place = tree
    for step in steps[:-1]:
        place = place.setdefault(step, {})
        if not isinstance(place, dict):
            raise ConfigError(f"--set {assignment!r}: {step!r} is a value; accepted: path.to.field=value")
    place[steps[-1]] = parse_value(text.strip())


def parse_value(text: str) -> Any:
    """A TOML value; text that is none (``exact``, ``off``) is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _resolve(tree: dict[str, Any], source: str) -> Config:
    tree = dict(tree)
    common = tree.pop("array", {})
    layers = tree.get("layers")
    if not isinstance(common, Mapping):
        raise ConfigError(f"array = {common!r}: accepted: a table with {', '.join(Array.model_fields)}")
    try:
        Array.model_validate(common)
    except ValidationError as error:
        raise ConfigError(describe_error(error, Array, ("array",))) from error
    if isinstance(layers, Mapping):
        resolved = {}
        for name, layer in layers.items():
            if isinstance(layer, Mapping) and layer.get("type") != "max_pooling":
                own = layer.get("array", {})
                if not isinstance(own, Mapping):
                    raise ConfigError(f"layers.{name}.array = {own!r}: accepted: a table")
                resolved[name] = {**layer, "array": _merge(common, own)}
            else:
                resolved[name] = layer
        tree["layers"] = resolved
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(describe_error(error, Config, ())) from error


def describe_error(error: ValidationError, model: type[BaseModel], prefix: tuple[str, ...]) -> str:
    """One line for the first of the errors: field, value, what would be accepted."""
    first = error.errors()[0]
    steps = _steps(first)
    place = ".".join((*prefix, *steps))
    if first["type"] == "value_error":
        return str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        fields = _fields_at(model, steps[:-1])
        return f"{place}: unknown field" + (f"; accepted: {', '.join(fields)}" if fields else "")
    if first["type"] == "missing":
        return f"{place}: missing; accepted: {_meaning(model, steps)}"
    if first["type"] == "union_tag_not_found":
        return f"{place}.type: missing; accepted: convolution, max_pooling, fully_connected"
    # A field of several types reports one error for each: all belong to the answer.
    same = [other for other in error.errors() if _steps(other) == steps]
    accepted = " or ".join(dict.fromkeys(str(other["msg"]).removeprefix("Input should be ") for other in same))
    meaning = _meaning(model, steps)
    return f"{place} = {first['input']!r}: accepted: {accepted}" + (f" ({meaning})" if meaning else "")


def _steps(error: ErrorDetails) -> list[str]:
    """The path to a field as a user writes it, without pydantic's names for the members of a union."""
    kinds = {"convolution", "max_pooling", "fully_connected", "float", "int", "constrained-float", "constrained-int"}
    steps = [str(step) for step in error["loc"]]
    return [step for step in steps if step not in kinds | set(DEVICE_MODELS) and not step.startswith("literal[")]


def _model_at(model: type[BaseModel], steps: Sequence[str]) -> type[BaseModel] | None:
    from emulator.config import schema

    current: type[BaseModel] | None = model
    for step in steps:
        if current is None:
            return None
        if current is Config and step == "layers":
            current = schema.Convolution  # stands for every layer: the superset of fields
            continue
        if step == "device":
            current = next(iter(DEVICE_MODELS.values()))
            continue
        field = current.model_fields.get(step)
        annotation = field.annotation if field else None
        if field is None and current is schema.Convolution:
            continue  # the name of a layer
        current = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return current


def _fields_at(model: type[BaseModel], steps: Sequence[str]) -> list[str]:
    found = _model_at(model, steps)
    return list(found.model_fields) if found else []


def _meaning(model: type[BaseModel], steps: Sequence[str]) -> str:
    found = _model_at(model, steps[:-1])
    field = found.model_fields.get(steps[-1]) if found and steps else None
    return field.description or "" if field else ""
