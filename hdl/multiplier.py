"""A signed multiplier between registers: ``product`` is ``a * b`` two cycles later.

On ECP5 the product's register is that of the multiplier cell (MULT18X18D), which synthesis makes no use of by itself. The cells lie
in a few rows, so the wires to and from them are long ones, and a register behind the cell would put both, and the 3.9 ns of the
cell, in one cycle; from its own register a product comes 0.7 ns after the clock. The operands' registers stay in logic: before
those of the cell, the wires would be in one cycle with what makes the operands.
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
        # Starting as 1, an operand that is always odd, as Gaussian words are, has no register for its lowest bit.
        a, b = (Signal.like(each, reset_less=True, init=1) for each in (self.a, self.b))
        m.d.sync += [a.eq(self.a), b.eq(self.b)]
        if is_ecp5(platform) and max(len(a), len(b)) <= OPERAND_BITS:
            self._place_cell(m, a, b)
        else:
            product = Signal.like(self.product, reset_less=True)
            m.d.comb += self.product.eq(product)
            m.d.sync += product.eq(a * b)
        return m

    def _place_cell(self, m: Module, a: Signal, b: Signal) -> None:
        wide_a, wide_b, product = (
            Signal(signed(OPERAND_BITS)),
            Signal(signed(OPERAND_BITS)),
            Signal(signed(PRODUCT_BITS)),
        )
        m.d.comb += [wide_a.eq(a), wide_b.eq(b), self.product.eq(product)]

        def pins(direction: str, name: str, value: Value) -> dict[str, Value]:
            return {f"{direction}_{name}{bit}": value[bit] for bit in range(len(value))}

        m.submodules.cell = Instance(
            "MULT18X18D",
            p_REG_OUTPUT_CLK="CLK0",
            p_GSR="DISABLED",
            i_CLK0=ClockSignal(),
            i_CE0=Const(1, 1),
            i_RST0=Const(0, 1),
            i_SIGNEDA=Const(1, 1),
            i_SIGNEDB=Const(1, 1),
            **pins("i", "A", wide_a),
            **pins("i", "B", wide_b),
            **pins("o", "P", product),
        )
