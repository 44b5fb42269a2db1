"""Payloads as flat words, packed and unpacked by the port description that goes with exported Verilog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Value = int | list[int | None] | None
Values = Mapping[str, Value]


def pack(fields: Mapping[str, Mapping[str, Any]], values: Values) -> int:
    """The flat word of a payload. Raises ValueError naming a field that is missing, unknown or too large."""
    if set(values) != set(fields):
        raise ValueError(f"fields {sorted(values)}: accepted: {sorted(fields)}")
    word = 0
    for name, field in fields.items():
        value = values[name]
        elements = value if isinstance(value, list) else [value]
        if len(elements) != (field["count"] or 1):
            raise ValueError(f"{name}: {len(elements)} elements: accepted: {field['count'] or 1}")
        for index, element in enumerate(elements):
            low = -(1 << (field["width"] - 1)) if field["signed"] else 0
            if element is None or not low <= element < low + (1 << field["width"]):
                raise ValueError(f"{name}[{index}] = {element}: does not fit {field['width']} bits")
            word |= (element & ((1 << field["width"]) - 1)) << (field["offset"] + index * field["width"])
    return word


def unpack(fields: Mapping[str, Mapping[str, Any]], word: int) -> dict[str, Value]:
    """The fields of a flat word."""
    return {
        name: _element(field, word, 0)
        if field["count"] is None
        else [_element(field, word, index) for index in range(field["count"])]
        for name, field in fields.items()
    }


def _element(field: Mapping[str, Any], word: int, index: int) -> int:
    value = word >> (field["offset"] + index * field["width"]) & ((1 << field["width"]) - 1)
    return value - (1 << field["width"]) if field["signed"] and value >> (field["width"] - 1) else value
