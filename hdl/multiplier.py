"""A signed multiplier between registers: ``product`` is ``a * b`` two cycles later.

On ECP5 the registers are those of the multiplier cell (MULT18X18D), which synthesis makes no use of by itself. With registers in
the logic around it, a path through the cell is 3.9 ns of its own and two wires, from one register and to another; with its own,
nextpnr has 0.7 ns from the clock to the product. The cells lie in a few rows, so these wires are long ones.
"""

from __future__ import annotations

from amaranth.hdl import ClockSignal, Const, Instance, Module, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.part import is_ecp5

#: Bits of an operand of the cell, and of its product.
OPERAND_BITS, PRODUCT_BITS = 18, 36


class Multiplier(wiring.Component):
    """``a_shape``, ``b_shape``: signed. The registers are not reset."""

    def __init__(self, a_shape: Shape, b_shape: Shape) -> None:
        super().__init__({"a": In(a_shape), "b": In(b_shape), "product": Out(signed(a_shape.width + b_shape.width))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if is_ecp5(platform) and max(len(self.a), len(self.b)) <= OPERAND_BITS:
            self._place_cell(m)
            return m
        a, b, product = (Signal.like(each, reset_less=True) for each in (self.a, self.b, self.product))
        m.d.comb += self.product.eq(product)
        m.d.sync += [a.eq(self.a), b.eq(self.b), product.eq(a * b)]
        return m

    def _place_cell(self, m: Module) -> None:
        a, b = Signal(signed(OPERAND_BITS)), Signal(signed(OPERAND_BITS))
        product = Signal(signed(PRODUCT_BITS))
        m.d.comb += [a.eq(self.a), b.eq(self.b), self.product.eq(product)]

        def pins(direction: str, name: str, value: Value) -> dict[str, Value]:
            return {f"{direction}_{name}{bit}": value[bit] for bit in range(len(value))}

        m.submodules.cell = Instance(
            "MULT18X18D",
            **{f"p_REG_{register}_CLK": "CLK0" for register in ("INPUTA", "INPUTB", "OUTPUT")},
            p_GSR="DISABLED",
            i_CLK0=ClockSignal(),
            i_CE0=Const(1, 1),
            i_RST0=Const(0, 1),
            i_SIGNEDA=Const(1, 1),
            i_SIGNEDB=Const(1, 1),
            **pins("i", "A", a),
            **pins("i", "B", b),
            **pins("o", "P", product),
        )
