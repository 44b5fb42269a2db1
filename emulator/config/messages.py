"""One line for what a config refuses: the field as TOML names it, the value, and what the field accepts."""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

#: Characters of a value or a name in a message; a longer one is cut.
MOST_SHOWN = 80


def toml_key(key: str) -> str:
    """A key as TOML writes it: in quotes where it needs them."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def toml_path(steps: Sequence[str]) -> str:
    """A dotted path as in ``--set``, short enough for a line."""
    return ".".join(toml_key(_cut(step)) for step in steps)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def shown(value: object) -> str:
    """A value, short enough for a line."""
    if isinstance(value, bool):
        return str(value).lower()
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python writes no decimal integer of thousands of digits
        return "an integer of thousands of digits" if isinstance(value, int) else "a value too large to show"
    return _cut(text)


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
    if origin is dict:
        return "a table"
    if _models(annotation):
        names = dict.fromkeys(name for model in _models(annotation) for name in model.model_fields)
        return f"a table with {', '.join(names)}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(accepted(member) for member in typing.get_args(annotation))
    return _bounded(annotation, metadata)


def _bounded(kind: Any, metadata: list[Any]) -> str:
    word = {int: "integer", float: "number", str: "text", bool: "true, false"}.get(kind, "")
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [f"{sign} {getattr(m, name)}" for m in metadata for name, sign in signs.items() if hasattr(m, name)]
    return " ".join([word, ", ".join(bounds)]).strip()


def describe_error(error: ValidationError, model: type[BaseModel], prefix: tuple[str, ...] = ()) -> str:
    """One line for the first of the errors: field, value, what would be accepted."""
    first = error.errors(include_url=False)[0]
    place = _locate(model, first["loc"])
    path = toml_path((*prefix, *place.steps))
    match first["type"]:
        case "value_error":
            return str(first["msg"]).removeprefix("Value error, ")
        case "extra_forbidden":
            fields = [name for owner in _models(place.owner) for name in owner.model_fields]
            return f"{path}: unknown field; accepted: {', '.join(fields)}"
        case "missing":
            return f"{path}: missing; accepted: {place.accepted}"
        case "union_tag_not_found" | "union_tag_invalid":
            name = first["ctx"]["discriminator"].strip("'")
            given = first["input"].get(name)
            state = ": missing; accepted" if given is None else f" = {shown(given)}: accepted"
            return (
                f"{path}.{name}{state}: {', '.join(tag for each in _models(place.annotation) for tag in _tags(each))}"
            )
        case _:
            return f"{path} = {shown(first['input'])}: accepted: {place.accepted}"


@dataclass(frozen=True)
class _Place:
    """Where an error is: the path that a user writes, and the schema there."""

    steps: tuple[str, ...]
    annotation: Any  # of the value
    field: FieldInfo | None  # None: not a field of a model
    owner: Any  # annotation of what holds the value

    @property
    def accepted(self) -> str:
        meaning = self.field.description if self.field else None
        return accepted(self.annotation, self.field) + (f" ({meaning})" if meaning else "")


def _locate(model: type[BaseModel], location: Sequence[int | str]) -> _Place:
    """Follow pydantic's path through the schema: it also has the tags and members of unions, which a user does not write and
    which may be called as a layer is."""
    place = _Place((), model, None, None)
    for item in location:
        annotation = _without_metadata(place.annotation)
        models, step = _models(annotation), str(item)
        if len(models) > 1:
            chosen = next((each for each in models if step in _tags(each)), None)
            place = _Place(place.steps, chosen, place.field, place.owner)
            continue
        if models:
            field = models[0].model_fields.get(step)
            inner = field.annotation if field else None
        elif typing.get_origin(annotation) in (dict, tuple):
            field = None
            inner = next(each for each in reversed(typing.get_args(annotation)) if each is not ...)
        else:
            break  # a member of a union of values
        place = _Place((*place.steps, step), inner, field, annotation)
    return _Place(place.steps, _without_metadata(place.annotation), place.field, place.owner)


def _without_metadata(annotation: Any) -> Any:
    """The union in an ``Annotated`` one."""
    inner = typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation
    return inner if _models(inner) else annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that a value can be: one, or the members of a union of models."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    members = typing.get_args(annotation) if union else (annotation,)
    return [each for each in members if isinstance(each, type) and issubclass(each, BaseModel)]


def _tags(model: type[BaseModel]) -> list[str]:
    """The names by which a member of a union is chosen: its first field has them, as a choice."""
    first = next(iter(model.model_fields.values()))
    return [str(tag) for tag in typing.get_args(first.annotation)]
