"""`error_stage` for the smallest FPGAs: the same sums, mantissas and ports as hdl/network/error_stage.py has them, one sum after
the other.

    search    the magnitudes of all sums, ORed: that has the bit length of the largest
    length    shifted out, which counts it
    scale     per sum: read, shifted a place per cycle, times the slope, stored
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from emulator.fixed import LARGEST_EXPONENT
from hdl.fixed import magnitude, rounded, with_sign
from hdl.network.descriptor import DescriptorWidths
from hdl.network.memory_ports import reading, writing
from hdl.periphery.activation import ActivationBackParameters
from hdl.periphery.block_exponent import SHIFT, exponent_and_shift
from hdl.periphery.scaler import Scaler, ScalerParameters
from hdl.shapes import width_for


class SerialErrorStage(wiring.Component):
    """As ErrorStage, with one lane."""

    def __init__(
        self, widths: DescriptorWidths, slopes: Sequence[ActivationBackParameters], sum_magnitude_bits: int
    ) -> None:
        self._tanh = any(slope.kind == "tanh" for slope in slopes)
        self._slope = slope = slopes[0]
        self._scaler = Scaler(
            ScalerParameters(
                lanes=1,
                magnitude_bits=sum_magnitude_bits,
                multiplier_bits=0,
                lowest_shift=-slope.magnitude_bits,
                highest_shift=max(sum_magnitude_bits, LARGEST_EXPONENT),
                limit=(1 << slope.magnitude_bits) - 1,
                serial=True,
            )
        )
        sums, errors = self._scaler.i.payload.elements.shape(), self._scaler.o.payload.elements.shape()
        super().__init__(
            {
                "layer": In(widths.layer),
                "fraction": In(SHIFT),
                "start": In(1),
                "busy": Out(1),
                "done": Out(1),
                "exponent": Out(width_for(LARGEST_EXPONENT)),
                "sums": Out(reading(widths.address, sums)),
                "activations": Out(reading(widths.address, data.ArrayLayout(signed(slope.activation_bits + 1), 1))),
                "memory": Out(writing(widths.address, errors)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.scaler = scaler = self._scaler
        bits = self._slope.magnitude_bits
        address = Signal.like(self.sums.address)
        last = address == self.layer.output_last
        seen, length = Signal(scaler.parameters.magnitude_bits), Signal(range(scaler.parameters.magnitude_bits + 1))
        shift = Signal(SHIFT)
        exponent, found_shift = exponent_and_shift(length, self.fraction, bits)
        squaring = Signal()
        m.d.comb += [
            self.busy.eq(1),
            self.sums.address.eq(address),
            self.activations.address.eq(self.layer.output_base + address),
            self.memory.address.eq(address),
            self.memory.data[0].eq(self._sloped(m, squaring)),
            scaler.i.payload.elements[0].eq(self.sums.data[0]),
            scaler.i.payload.shift.eq(shift),
        ]

        def next_sum() -> None:
            m.d.sync += address.eq(Mux(last, 0, address + 1))

        with m.FSM():
            with m.State("idle"):
                m.d.comb += self.busy.eq(0)
                m.d.sync += [seen.eq(0), length.eq(0)]
                with m.If(self.start):
                    m.next = "search"
            with m.State("search"):
                m.d.comb += self.sums.enable.eq(1)
                m.next = "look"
            with m.State("look"):
                m.d.sync += seen.eq(seen | magnitude(self.sums.data[0]))
                next_sum()
                m.next = "search"
                with m.If(last):
                    m.next = "length"
            with m.State("length"):
                m.d.sync += [seen.eq(seen[1:]), length.eq(length + seen.any())]
                with m.If(~seen.any()):
                    m.d.sync += [shift.eq(found_shift), self.exponent.eq(exponent)]
                    m.next = "read"
            with m.State("read"):
                m.d.comb += [self.sums.enable.eq(1), self.activations.enable.eq(1)]
                m.next = "slope"
            with m.State("slope"):
                m.d.comb += squaring.eq(1)
                m.next = "scale"
            with m.State("scale"):
                m.d.comb += scaler.i.valid.eq(1)
                with m.If(scaler.o.valid):
                    m.d.comb += [scaler.o.ready.eq(1), self.memory.enable.eq(1)]
                    next_sum()
                    m.next = "read"
                    with m.If(last):
                        m.d.comb += self.done.eq(1)
                        m.next = "idle"
        return m

    def _sloped(self, m: Module, squaring: Value) -> Value:
        """The mantissa that the scaler offers, times the slope; ``squaring``: the cycle in which the slope is found. As
        hdl/periphery/activation.py, ActivationBack, with one multiplier."""
        mantissa = self._scaler.o.payload.elements[0]
        if not self._tanh:
            return mantissa
        q, bits = self._slope.fraction, self._slope.magnitude_bits
        size = magnitude(self.activations.data[0])[: q + 1]
        slope = Signal(q + 1)
        left, right = Signal(max(bits, q + 1)), Signal(q + 1)
        product = Signal(len(left) + len(right))
        m.d.comb += [
            left.eq(Mux(squaring, size, magnitude(mantissa))),
            right.eq(Mux(squaring, size, slope)),
            product.eq(left * right),
        ]
        near = rounded(product[q - 1 :])
        with m.If(squaring):
            m.d.sync += slope.eq((1 << q) - near[: q + 1])
        return Mux(self.layer.tanh, with_sign(mantissa < 0, near[:bits]), mantissa)
