"""Payloads as flat words, packed and unpacked by the port description that goes with exported Verilog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Value = int | list[int | None] | None
Values = Mapping[str, Value]
#: Many flat words: uint64 (count, limbs), limbs of 64 bits with the least significant first.
Words: TypeAlias = NDArray[np.uint64]
LIMB_BITS = 64
LIMB_BYTES = LIMB_BITS // 8


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


# --- arrays of words ------------------------------------------------------------------------------------------------


def limbs_of(width: int) -> int:
    """Limbs of a word of so many bits."""
    return -(-width // LIMB_BITS)


def pack_words(fields: Mapping[str, Mapping[str, Any]], values: Mapping[str, ArrayLike]) -> Words:
    """`pack` of many payloads at once: of a single field an array of integers ``(count)``, of an array field
    ``(count, elements)``. Raises ValueError naming a field that is missing, unknown, of another shape or too large."""
    if set(values) != set(fields):
        raise ValueError(f"fields {sorted(values)}: accepted: {sorted(fields)}")
    arrays = {name: np.asarray(values[name]) for name in fields}
    count = len(np.atleast_1d(next(iter(arrays.values()))))
    words = np.zeros((count, limbs_of(_width(fields))), np.uint64)
    for name, field in fields.items():
        shape = (count,) if field["count"] is None else (count, field["count"])
        if arrays[name].shape != shape:
            raise ValueError(f"{name}: shape {arrays[name].shape}: accepted: {shape}")
        bits = _bits(name, field, arrays[name].reshape(count, field["count"] or 1))
        for index in range(bits.shape[1]):
            limb, shift = divmod(field["offset"] + index * field["width"], LIMB_BITS)
            words[:, limb] |= bits[:, index] << np.uint64(shift)
            if shift + field["width"] > LIMB_BITS:
                words[:, limb + 1] |= bits[:, index] >> np.uint64(LIMB_BITS - shift)
    return words


def unpack_words(fields: Mapping[str, Mapping[str, Any]], words: Words) -> dict[str, NDArray[Any]]:
    """`unpack` of many words: signed fields as int64, others as uint64, in the shapes of `pack_words`."""
    return {name: _field(name, field, words) for name, field in fields.items()}


def words_of(integers: Sequence[int], width: int) -> Words:
    """Flat words of ``width`` bits, one integer each, as limbs."""
    limbs = limbs_of(width)
    flat = b"".join(integer.to_bytes(limbs * LIMB_BYTES, "little") for integer in integers)
    return np.frombuffer(flat, "<u8").astype(np.uint64).reshape(len(integers), limbs)


def integers_of(words: Words) -> list[int]:
    """Flat words as one integer each."""
    size = words.shape[1] * LIMB_BYTES
    flat = words.astype("<u8").tobytes()
    return [int.from_bytes(flat[start : start + size], "little") for start in range(0, len(flat), size)]


def _width(fields: Mapping[str, Mapping[str, Any]]) -> int:
    return max(field["offset"] + field["width"] * (field["count"] or 1) for field in fields.values())


def _bits(name: str, field: Mapping[str, Any], elements: NDArray[Any]) -> Words:
    """Elements as words whose bits above the field's width are 0."""
    _check_width(name, field)
    if elements.dtype.kind not in "iub":
        raise ValueError(f"{name}: {elements.dtype}: accepted: integers")
    low = -(1 << (field["width"] - 1)) if field["signed"] else 0
    high = low + (1 << field["width"]) - 1
    if elements.size and not (low <= int(elements.min()) and int(elements.max()) <= high):
        row, index = next(place for place, element in np.ndenumerate(elements) if not low <= int(element) <= high)
        raise ValueError(f"{name}[{index}] = {elements[row, index]} of word {row}: does not fit {field['width']} bits")
    return elements.astype(np.uint64) & np.uint64((1 << field["width"]) - 1)


def _field(name: str, field: Mapping[str, Any], words: Words) -> NDArray[Any]:
    _check_width(name, field)
    width = field["width"]
    bits = np.empty((len(words), field["count"] or 1), np.uint64)
    for index in range(bits.shape[1]):
        limb, shift = divmod(field["offset"] + index * width, LIMB_BITS)
        bits[:, index] = words[:, limb] >> np.uint64(shift)
        if shift + width > LIMB_BITS:
            bits[:, index] |= words[:, limb + 1] << np.uint64(LIMB_BITS - shift)
    spare = LIMB_BITS - width
    bits <<= np.uint64(spare)
    elements = bits.view(np.int64) >> np.int64(spare) if field["signed"] else bits >> np.uint64(spare)
    return elements[:, 0] if field["count"] is None else elements


def _check_width(name: str, field: Mapping[str, Any]) -> None:
    if field["width"] > LIMB_BITS:
        raise ValueError(f"{name}: {field['width']} bits: accepted in arrays: up to {LIMB_BITS}")
