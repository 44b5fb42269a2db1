"""`activation`: tanh by table or identity, and the way back through the derivative.

    tanh       a = sign(y) * table[min(|y|, 8 * 2^A - 1)],  table[n] = round(2^Q tanh(n 2^-A))
    identity   a = sat(rs(y, A - Q), -(2^P - 1), 2^P - 1)
    back       m' = rs(m * slope, Q),  slope = 2^Q - rs(a * a, Q) for tanh, 2^Q for identity

Model: emulator/periphery/activation.py. `Activation`: ``i`` beats of pre-activations with A fraction bits, ``o`` beats of
activations with Q. `ActivationBack`: ``i`` beats of error mantissas with the activations beside them, ``o`` beats of
mantissas; with tanh an activation must lie in -2^Q .. 2^Q. Both take a beat per cycle, ``latency`` cycles each.
"""

from __future__ import annotations

from typing import Literal

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pydantic import Field, model_validator

from emulator.config import Stage
from emulator.config.tables import TANH_RANGE, tanh_table
from emulator.fixed import PATH_BITS
from hdl.block import Block, Parameters
from hdl.fixed import limited, magnitude, rounded, with_sign
from hdl.pipeline import delayed, pipeline
from hdl.shapes import beat, stream_of

Kind = Literal["tanh", "identity"]
#: A table in a block RAM is read by two lanes.
PORTS_PER_TABLE = 2


def _kind(stage: Stage) -> Kind:
    """The softmax layer has no activation of its own: its outputs are carried on as they are."""
    return "tanh" if stage.layer.activation == "tanh" else "identity"


class ActivationParameters(Parameters):
    lanes: int = Field(8, ge=1, le=64, description="elements per beat")
    kind: Kind = Field("tanh", description="the function")
    input_bits: int = Field(16, ge=1, le=PATH_BITS, description="bits of a pre-activation's magnitude, sign excluded")
    input_fraction: int = Field(7, ge=1, le=14, description="A, fraction bits of a pre-activation")
    output_fraction: int = Field(12, ge=1, le=14, description="Q, fraction bits of an activation")
    magnitude_bits: int = Field(15, ge=1, le=15, description="P, bits of an activation's magnitude, sign excluded")

    @model_validator(mode="after")
    def _one_fits(self) -> ActivationParameters:
        if self.output_fraction >= self.magnitude_bits:
            raise ValueError(
                f"output_fraction = {self.output_fraction}: accepted: below magnitude_bits = {self.magnitude_bits}"
            )
        return self

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> ActivationParameters:
        """Pre-activations are at most the ADC's limit, halvings undone, times the largest scale."""
        read = stage.forward
        gain = max(0, stage.activation_magnitude_bits - stage.activation_fraction, -read.constant_exponent)
        return cls(
            lanes=lanes,
            kind=_kind(stage),
            input_bits=read.limit.bit_length() + read.bound_management + gain + 1,
            input_fraction=stage.adc_fraction,
            output_fraction=stage.activation_fraction,
            magnitude_bits=stage.activation_magnitude_bits,
        )


class Activation(Block[ActivationParameters]):
    def __init__(self, parameters: ActivationParameters) -> None:
        super().__init__(
            parameters,
            {
                "i": In(stream_of(beat(signed(parameters.input_bits + 1), parameters.lanes))),
                "o": Out(stream_of(beat(signed(parameters.magnitude_bits + 1), parameters.lanes))),
            },
        )

    @property
    def latency(self) -> int:
        """Magnitude; address or rounding; table or saturation; sign."""
        return 4

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, _ = pipeline(m, self.i, self.o, self.latency)
        payload = self.i.payload
        mask = delayed(m, advance, payload.mask, self.latency, "mask")[-1]
        last = delayed(m, advance, payload.last, self.latency, "last")[-1]
        m.d.comb += [self.o.payload.mask.eq(mask), self.o.payload.last.eq(last)]
        sizes = []
        for lane in range(self.parameters.lanes):
            size = Signal(self.parameters.input_bits, name=f"size_{lane}")
            with m.If(advance):
                m.d.sync += size.eq(magnitude(payload.elements[lane]))
            sizes.append(size)
        results = self._table(m, advance, sizes) if self.parameters.kind == "tanh" else self._plain(m, advance, sizes)
        for lane, result in enumerate(results):
            negative = delayed(m, advance, payload.elements[lane] < 0, self.latency - 1, f"negative_{lane}")[-1]
            element = Signal(signed(self.parameters.magnitude_bits + 1), name=f"element_{lane}")
            with m.If(advance):
                m.d.sync += element.eq(with_sign(negative, result))
            m.d.comb += self.o.payload.elements[lane].eq(element)
        return m

    def _table(self, m: Module, advance: Value, sizes: list[Signal]) -> list[Value]:
        table = tanh_table(self.parameters.input_fraction, self.parameters.output_fraction).tolist()
        entry = self.parameters.output_fraction + 1
        results: list[Value] = []
        for lane, size in enumerate(sizes):
            if lane % PORTS_PER_TABLE == 0:
                memory = Memory(shape=entry, depth=TANH_RANGE << self.parameters.input_fraction, init=table)
                m.submodules[f"table_{lane // PORTS_PER_TABLE}"] = memory
            port = memory.read_port()
            address = Signal(len(port.addr), name=f"address_{lane}")
            with m.If(advance):
                m.d.sync += address.eq(limited(size, len(table) - 1))
            m.d.comb += [port.addr.eq(address), port.en.eq(advance)]
            results.append(port.data)
        return results

    def _plain(self, m: Module, advance: Value, sizes: list[Signal]) -> list[Value]:
        shift = self.parameters.input_fraction - self.parameters.output_fraction
        largest = (1 << self.parameters.magnitude_bits) - 1
        results: list[Value] = []
        for lane, size in enumerate(sizes):
            wide = Cat(size, Const(0, max(1, shift)))
            scaled = rounded(wide[shift - 1 :]) if shift > 0 else Cat(Const(0, -shift), size)
            near = Signal(len(scaled), name=f"near_{lane}")
            result = Signal(self.parameters.magnitude_bits, name=f"result_{lane}")
            with m.If(advance):
                m.d.sync += [near.eq(scaled), result.eq(limited(Cat(near, Const(0, len(result))), largest))]
            results.append(result)
        return results


class ActivationBackParameters(Parameters):
    lanes: int = Field(8, ge=1, le=64, description="elements per beat")
    kind: Kind = Field("tanh", description="the function whose derivative is taken")
    magnitude_bits: int = Field(15, ge=1, le=15, description="bits of an error mantissa's magnitude, sign excluded")
    activation_bits: int = Field(15, ge=1, le=15, description="bits of an activation's magnitude, sign excluded")
    fraction: int = Field(12, ge=1, le=14, description="Q, fraction bits of an activation")

    @model_validator(mode="after")
    def _one_fits(self) -> ActivationBackParameters:
        if self.fraction >= self.activation_bits:
            raise ValueError(f"fraction = {self.fraction}: accepted: below activation_bits = {self.activation_bits}")
        return self

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> ActivationBackParameters:
        return cls(
            lanes=lanes,
            kind=_kind(stage),
            magnitude_bits=stage.error_magnitude_bits,
            activation_bits=stage.activation_magnitude_bits,
            fraction=stage.activation_fraction,
        )


class ActivationBack(Block[ActivationBackParameters]):
    def __init__(self, parameters: ActivationBackParameters) -> None:
        element = signed(parameters.magnitude_bits + 1)
        activations = data.ArrayLayout(signed(parameters.activation_bits + 1), parameters.lanes)
        super().__init__(
            parameters,
            {
                "i": In(stream_of(beat(element, parameters.lanes, activations=activations))),
                "o": Out(stream_of(beat(element, parameters.lanes))),
            },
        )

    @property
    def latency(self) -> int:
        """tanh: magnitudes, square, its rounding, slope, product, its rounding, sign. Identity: a register."""
        return 7 if self.parameters.kind == "tanh" else 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, _ = pipeline(m, self.i, self.o, self.latency)
        payload = self.i.payload
        mask = delayed(m, advance, payload.mask, self.latency, "mask")[-1]
        last = delayed(m, advance, payload.last, self.latency, "last")[-1]
        m.d.comb += [self.o.payload.mask.eq(mask), self.o.payload.last.eq(last)]
        for lane in range(self.parameters.lanes):
            mantissa, value = payload.elements[lane], payload.activations[lane]
            result = self._sloped(m, advance, mantissa, value, lane) if self.parameters.kind == "tanh" else mantissa
            element = Signal(signed(self.parameters.magnitude_bits + 1), name=f"element_{lane}")
            with m.If(advance):
                m.d.sync += element.eq(result)
            m.d.comb += self.o.payload.elements[lane].eq(element)
        return m

    def _sloped(self, m: Module, advance: Value, mantissa: Value, value: Value, lane: int) -> Value:
        """All but the last register of a lane. One in activations, 2^Q, takes Q + 1 bits; so does the slope."""
        q, bits = self.parameters.fraction, self.parameters.magnitude_bits
        size = Signal(q + 1, name=f"size_{lane}")
        square = Signal(2 * (q + 1), name=f"square_{lane}")
        part, slope = Signal(q + 1, name=f"part_{lane}"), Signal(q + 1, name=f"slope_{lane}")
        product = Signal(bits + q + 1, name=f"product_{lane}")
        near = Signal(bits, name=f"near_{lane}")
        sizes = delayed(m, advance, magnitude(mantissa), 4, f"mantissa_{lane}")
        negative = delayed(m, advance, mantissa < 0, self.latency - 1, f"negative_{lane}")[-1]
        with m.If(advance):
            m.d.sync += [
                size.eq(magnitude(value)),
                square.eq(size * size),
                part.eq(rounded(square[q - 1 :])),
                slope.eq((1 << q) - part),
                product.eq(sizes[-1] * slope),
                near.eq(rounded(product[q - 1 :])),
            ]
        return with_sign(negative, near)
