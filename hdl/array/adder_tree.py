"""A sum of many values, a register behind every level."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value


def levels(count: int) -> int:
    """Cycles from ``count`` values to their sum."""
    return (count - 1).bit_length()


def adder_tree(m: Module, values: list[Value], name: str) -> Value:
    """The sum of the values, ``levels`` cycles later."""
    level = 0
    while len(values) > 1:
        sums: list[Value] = []
        for index in range(0, len(values), 2):
            total = sum(values[index + 1 : index + 2], values[index])
            register = Signal(total.shape(), name=f"{name}_{level}_{index // 2}")
            m.d.sync += register.eq(total)
            sums.append(register)
        values, level = sums, level + 1
    return values[0]
