"""Payloads and how vectors lie in beats."""

from __future__ import annotations

import pytest
from amaranth.hdl import Const, signed, unsigned
from hypothesis import given
from hypothesis import strategies as st

from hdl.shapes import Field, Segments, beat, fields_of, record, signed_for, stream_of, width_for


@pytest.mark.parametrize(("largest", "bits"), [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (255, 8), (256, 9)])
def test_width_for(largest: int, bits: int) -> None:
    assert width_for(largest) == bits


@pytest.mark.parametrize("largest", [0, 1, 2, 3, 4, 127, 128])
def test_signed_for_holds_both_ends_and_is_the_narrowest(largest: int) -> None:
    shape = signed_for(largest)
    assert shape.signed
    assert all(Const(value, shape).value == value for value in (largest, -largest))
    assert largest == 0 or Const(largest, signed(shape.width - 1)).value != largest


def test_a_beat_is_elements_mask_last_sideband() -> None:
    assert fields_of(beat(signed(5), 3, shift=4)) == {
        "elements": Field(0, 5, True, 3),
        "mask": Field(15, 3, False, None),
        "last": Field(18, 1, False, None),
        "shift": Field(19, 4, False, None),
    }


def test_a_record_keeps_signs_and_order() -> None:
    layout = record(a=unsigned(3), b=signed(2))
    assert fields_of(layout) == {"a": Field(0, 3, False, None), "b": Field(3, 2, True, None)}
    assert stream_of(layout).members["payload"].shape == layout


def test_places_of_a_plain_vector() -> None:
    vector = Segments((5,), 3)
    assert (vector.elements, vector.beats) == (5, 2)
    assert list(vector.places()) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 8))
def test_every_segment_begins_a_beat(lengths: list[int], lanes: int) -> None:
    segments = Segments(tuple(lengths), lanes)
    places = list(segments.places())
    assert len(places) == len(set(places)) == segments.elements
    assert places == sorted(places)
    assert {beat for beat, _ in places} == set(range(segments.beats))
    first = 0
    for length in lengths:
        assert places[first][1] == 0
        assert [lane for _, lane in places[first : first + length]] == [k % lanes for k in range(length)]
        first += length
