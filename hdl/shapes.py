"""Shapes of what flows through streams: beats of vectors, and how the elements of a vector lie in beats.

A vector travels as beats of ``lanes`` elements. The elements of a vector are the enabled lanes of its beats, in
order; ``last`` marks its last beat. A plain vector of N elements takes ``ceil(N / lanes)`` beats and only the last one
has lanes disabled. A vector made of segments (copies of a replicated line, rows of a patch) begins every segment in
a beat of its own, so that no block has to shift elements between lanes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from amaranth.hdl import Shape, ShapeLike, signed, unsigned
from amaranth.lib import data, stream


def beat(element: ShapeLike, lanes: int, **sideband: ShapeLike) -> data.StructLayout:
    """One beat of a vector, with ``sideband`` fields that hold for the whole vector."""
    return data.StructLayout(
        {"elements": data.ArrayLayout(element, lanes), "mask": unsigned(lanes), "last": unsigned(1), **sideband}
    )


def record(**fields: ShapeLike) -> data.StructLayout:
    """A payload of named fields."""
    return data.StructLayout(fields)


def stream_of(payload: data.StructLayout) -> stream.Signature:
    return stream.Signature(payload)


def width_for(largest: int) -> int:
    """Bits of an unsigned word that holds 0 .. ``largest``; at least one."""
    return max(1, largest.bit_length())


def index_for(count: int) -> Shape:
    """The unsigned word that counts 0 .. ``count - 1``; at least one bit, since Verilog has no words without bits."""
    return unsigned(width_for(count - 1))


def signed_for(largest: int) -> Shape:
    """The signed word that holds ``-largest .. largest``."""
    return signed(largest.bit_length() + 1)


@dataclass(frozen=True)
class Segments:
    """How the elements of a vector lie in beats: lengths of its segments, each of which starts a new beat."""

    lengths: tuple[int, ...]
    lanes: int

    @property
    def elements(self) -> int:
        return sum(self.lengths)

    @property
    def beats(self) -> int:
        return sum(-(-length // self.lanes) for length in self.lengths)

    def places(self) -> Iterator[tuple[int, int]]:
        """Beat and lane of every element, in order."""
        first = 0
        for length in self.lengths:
            for element in range(length):
                yield first + element // self.lanes, element % self.lanes
            first += -(-length // self.lanes)


@dataclass(frozen=True)
class Field:
    """A field of a flat payload: ``count`` words of ``width`` bits from bit ``offset`` on."""

    offset: int
    width: int
    signed: bool
    count: int | None  # None: a single word, not an array


def fields_of(layout: data.StructLayout) -> Mapping[str, Field]:
    """The flat form of a payload, as simulators and exported Verilog see it: field 0 in the lowest bits."""
    fields = {}
    for name, field in layout:
        if isinstance(field.shape, data.ArrayLayout):
            element = Shape.cast(field.shape.elem_shape)
            fields[name] = Field(field.offset, element.width, element.signed, field.shape.length)
        else:
            shape = Shape.cast(field.shape)
            fields[name] = Field(field.offset, shape.width, shape.signed, None)
    return fields
