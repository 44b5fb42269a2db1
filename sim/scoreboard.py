"""Expected against seen, word by word. Only equality passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sim.payload import Value, Values


def first_difference(port: str, expected: Sequence[Values], seen: Sequence[Values]) -> str | None:
    """None if all words agree, else one line naming the first one that differs. None in ``expected`` is anything."""
    for number, (wanted, got) in enumerate(zip(expected, seen, strict=False)):
        difference = _difference(wanted, got)
        if difference:
            return f"{port}, word {number}: {difference}"
    if len(expected) != len(seen):
        return f"{port}: {len(seen)} words, expected {len(expected)}"
    return None


def _difference(wanted: Values, got: Mapping[str, Value]) -> str | None:
    if set(wanted) != set(got):
        return f"fields {sorted(got)}, expected {sorted(wanted)}"
    for name, value in wanted.items():
        other = got[name]
        if isinstance(value, list) and isinstance(other, list):
            for lane, (element, seen) in enumerate(zip(value, other, strict=True)):
                if element is not None and element != seen:
                    return f"{name}[{lane}] = {seen}, expected {element}"
        elif value is not None and value != other:
            return f"{name} = {other}, expected {value}"
    return None
