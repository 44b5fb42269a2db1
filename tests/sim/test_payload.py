"""Arrays of payloads against single ones: the same words, the same fields, the same refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.payload import integers_of, limbs_of, pack, pack_words, unpack, unpack_words, words_of

Fields = dict[str, dict[str, Any]]


@st.composite
def layouts(draw: st.DrawFn) -> Fields:
    """Fields one after another, as in exported descriptions; limits of limbs fall anywhere."""
    fields: Fields = {}
    offset = 0
    for number in range(draw(st.integers(1, 4))):
        width = draw(st.one_of(st.integers(1, 64), st.sampled_from((1, 63, 64))))
        count = draw(st.one_of(st.none(), st.integers(1, 5)))
        fields[f"f{number}"] = {"offset": offset, "width": width, "signed": draw(st.booleans()), "count": count}
        offset += width * (count or 1)
    return fields


def width_of(fields: Fields) -> int:
    return sum(field["width"] * (field["count"] or 1) for field in fields.values())


def limits(field: dict[str, Any]) -> tuple[int, int]:
    low = -(1 << (field["width"] - 1)) if field["signed"] else 0
    return low, low + (1 << field["width"]) - 1


@st.composite
def payloads(draw: st.DrawFn) -> tuple[Fields, list[dict[str, Any]]]:
    fields = draw(layouts())

    def value(field: dict[str, Any]) -> Any:
        low, high = limits(field)
        element = st.one_of(st.integers(low, high), st.sampled_from((low, high)))
        return draw(
            element if field["count"] is None else st.lists(element, min_size=field["count"], max_size=field["count"])
        )

    count = draw(st.integers(0, 4))
    return fields, [{name: value(field) for name, field in fields.items()} for _ in range(count)]


def arrays(fields: Fields, values: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    return {
        name: np.array([value[name] for value in values], np.int64 if field["signed"] else np.uint64).reshape(
            (len(values),) if field["count"] is None else (len(values), field["count"])
        )
        for name, field in fields.items()
    }


@given(payloads())
def test_arrays_pack_as_single_payloads_do(drawn: tuple[Fields, list[dict[str, Any]]]) -> None:
    fields, values = drawn
    words = pack_words(fields, arrays(fields, values))
    assert words.dtype == np.uint64
    assert words.shape == (len(values), limbs_of(width_of(fields)))
    assert integers_of(words) == [pack(fields, value) for value in values]


@given(payloads())
def test_arrays_unpack_as_single_payloads_do(drawn: tuple[Fields, list[dict[str, Any]]]) -> None:
    fields, values = drawn
    words = words_of([pack(fields, value) for value in values], width_of(fields))
    unpacked = unpack_words(fields, words)
    for number, word in enumerate(integers_of(words)):
        assert {name: array[number].tolist() for name, array in unpacked.items()} == unpack(fields, word)
    for name, array in arrays(fields, values).items():
        assert unpacked[name].dtype == array.dtype
        np.testing.assert_array_equal(unpacked[name], array)


@given(layouts(), st.data())
def test_an_element_that_does_not_fit_is_named(fields: Fields, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(fields)))
    low, high = limits(fields[name])
    outside = data.draw(
        st.sampled_from([value for value in (low - 1, high + 1) if -(1 << 63) <= value < 1 << 64] or [None])
    )
    if outside is None:
        return
    values = arrays(fields, [{n: [0] * f["count"] if f["count"] else 0 for n, f in fields.items()}] * 3)
    wrong = np.zeros(values[name].shape, np.uint64 if outside > 0 else np.int64)
    wrong[(1, *[-1] * (wrong.ndim - 1))] = outside
    index = (fields[name]["count"] or 1) - 1
    with pytest.raises(ValueError, match=rf"^{name}\[{index}\] = {outside} of word 1: does not fit"):
        pack_words(fields, {**values, name: wrong})


FIELDS: Fields = {
    "single": {"offset": 0, "width": 3, "signed": False, "count": None},
    "many": {"offset": 3, "width": 4, "signed": True, "count": 2},
}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"single": [1]}, r"fields \['single'\]: accepted"),
        ({"single": [1], "many": [[1, 2]], "other": [1]}, r"fields .*other.*: accepted"),
        ({"single": [1], "many": [1, 2]}, r"many: shape \(2,\): accepted: \(1, 2\)"),
        ({"single": [1, 2], "many": [[1, 2]]}, r"many: shape \(1, 2\): accepted: \(2, 2\)"),
        ({"single": 1, "many": [[1, 2]]}, r"single: shape \(\): accepted: \(1,\)"),
        ({"single": [1.0], "many": [[1, 2]]}, "single: float64: accepted: integers"),
    ],
)
def test_wrong_arrays_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack_words(FIELDS, values)


def test_fields_wider_than_a_limb_are_refused() -> None:
    fields: Fields = {"wide": {"offset": 0, "width": 65, "signed": False, "count": None}}
    with pytest.raises(ValueError, match="wide: 65 bits"):
        pack_words(fields, {"wide": [1]})
    with pytest.raises(ValueError, match="wide: 65 bits"):
        unpack_words(fields, np.zeros((1, 2), np.uint64))
