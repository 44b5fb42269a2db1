"""From TOML files, presets and ``--set path=value`` to a validated config, with one-line errors."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from emulator.config.messages import describe_error, shown, toml_path
from emulator.config.schema import Array, Config
from emulator.config.toml_text import TextError, decode, merge, parse, parse_assignment
from emulator.errors import ConfigError

PRESET_FOLDER = Path(__file__).parent / "presets"
SUFFIX = ".toml"

#: A config file and its bases: how many, and bytes of all of them.
MOST_FILES = 32
MOST_BYTES = 1 << 20


def preset_names() -> list[str]:
    """Names of the presets that ship with the emulator."""
    return sorted(path.stem for path in PRESET_FOLDER.glob(f"*{SUFFIX}"))


def load(source: str | Path, assignments: Sequence[str] = (), seed: int | None = None) -> Config:
    """The config of a preset name or a ``.toml`` file, with ``path=value`` assignments applied over it.

    A file may name a ``base`` (preset or file beside it) and then holds only what differs. ``[array]`` is the
    array description that every layer starts from; ``[layers.NAME.array]`` differs from it.
    Raises ConfigError.
    """
    tree = read_tree(source)
    for assignment in assignments:
        _assign(tree, assignment)
    if seed is not None:
        tree["seed"] = seed
    return _resolve(tree)


def read_tree(source: str | Path) -> dict[str, Any]:
    """What a preset or a file says, with its bases below it, not yet validated. Raises ConfigError."""
    trees: list[dict[str, Any]] = []
    visited: set[str] = set()
    folder, next_source, left = Path(), str(source), MOST_BYTES
    while True:
        path = _path_of(next_source, folder)
        real = os.path.realpath(path)
        if real in visited:
            raise ConfigError(f"config {shown(next_source)}: base refers back to itself; accepted: a chain that ends")
        if len(visited) == MOST_FILES:
            raise ConfigError(
                f"config {shown(next_source)}: base number {MOST_FILES} of a chain: accepted: at most {MOST_FILES - 1}"
            )
        visited.add(real)
        try:
            data = _read_file(path, left)
            tree = parse(decode(data))
        except OSError as error:
            raise ConfigError(
                f"config {shown(next_source)}: {error.strerror}; accepted: a readable .toml file"
            ) from error
        except TextError as error:
            raise ConfigError(f"config {shown(next_source)}: {error}") from error
        left -= len(data)
        tree.setdefault("name", path.stem)
        base = tree.pop("base", None)
        trees.append(tree)
        if base is None:
            break
        if not isinstance(base, str):
            raise ConfigError(f"base = {shown(base)}: accepted: the name of a preset or of a .toml file")
        folder, next_source = path.parent, base
    merged: dict[str, Any] = {}
    for tree in reversed(trees):
        merged = merge(merged, tree)
    return merged


def _path_of(source: str, folder: Path) -> Path:
    """The file of a preset, or the file itself. Raises ConfigError."""
    if not source.endswith(SUFFIX):
        known = preset_names()
        if source not in known:
            raise ConfigError(
                f"config {shown(source)}: no such preset; accepted: a .toml file or one of {', '.join(known)}"
            )
        return PRESET_FOLDER / f"{source}{SUFFIX}"
    if "\0" in source or not _is_unicode(source):
        raise ConfigError(f"config {shown(source)}: accepted: a file name in UTF-8, without zero bytes")
    return folder / source


def _read_file(path: Path, most: int) -> bytes:
    """The bytes of a file. Reading a device or a pipe may take for ever. Raises OSError and TextError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise TextError("is no regular file: accepted: a .toml file")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise TextError(f"too long: accepted: at most {MOST_BYTES} bytes, bases included")
    return data


def _is_unicode(text: str) -> bool:
    """Whether it is whole: Python makes halves of surrogate pairs of bytes that are no UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _assign(tree: dict[str, Any], assignment: str) -> None:
    """Put the value of ``path=value`` in its place. Raises ConfigError."""
    if not _is_unicode(assignment):
        raise ConfigError(f"--set {shown(assignment)}: accepted: text in UTF-8")
    try:
        steps, value = parse_assignment(assignment)
    except TextError as error:
        raise ConfigError(f"--set {shown(assignment)}: {error}") from error
    place = tree
    for number, step in enumerate(steps[:-1], 1):
        place = place.setdefault(step, {})
        if not isinstance(place, dict):
            raise ConfigError(
                f"--set {shown(assignment)}: {toml_path(steps[:number])} = {shown(place)} has no fields; "
                f"accepted: the path of a field"
            )
    place[steps[-1]] = value


def _resolve(tree: dict[str, Any]) -> Config:
    tree = dict(tree)
    common = tree.pop("array", {})
    layers = tree.get("layers")
    if not isinstance(common, Mapping):
        raise ConfigError(f"array = {shown(common)}: accepted: a table with {', '.join(Array.model_fields)}")
    try:
        Array.model_validate(common)
    except ValidationError as error:
        raise ConfigError(describe_error(error, Array, ("array",))) from error
    if isinstance(layers, Mapping):
        tree["layers"] = {name: _with_array(name, layer, common) for name, layer in layers.items()}
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        message = describe_error(error, Config)
        if error.errors(include_url=False)[0]["type"] == "union_tag_not_found" and isinstance(layers, Mapping):
            others = [
                toml_path([name]) for name, layer in layers.items() if isinstance(layer, Mapping) and "type" in layer
            ]
            message += f", or a layer that there is: {', '.join(others) or 'none'}"
        raise ConfigError(message) from error


def _with_array(name: str, layer: Any, common: Mapping[str, Any]) -> Any:
    """A layer whose array is complete; what is no layer with an array, as it is. Raises ConfigError."""
    if not isinstance(layer, Mapping) or layer.get("type") == "max_pooling":
        return layer
    own = layer.get("array", {})
    if not isinstance(own, Mapping):
        fields = ", ".join(Array.model_fields)
        raise ConfigError(f"{toml_path(('layers', name, 'array'))} = {shown(own)}: accepted: a table with {fields}")
    return {**layer, "array": merge(common, own)}
