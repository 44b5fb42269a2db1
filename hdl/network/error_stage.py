"""`error_stage`: from the sums of a volume's errors to the mantissas of the array before it.

    mantissa = rs(s, shift), saturated, with one exponent for all sums;  then rs(mantissa * slope, Q)

(emulator/network/layers.py, errors). The sums are read twice: for their largest magnitude, then to be scaled. The slope is
that of the array's activation at its output, read from the memory of activations; the last array has none.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from emulator.fixed import LARGEST_EXPONENT
from hdl.network.descriptor import DescriptorWidths
from hdl.network.memory_ports import reading, writing
from hdl.periphery.activation import ActivationBack, ActivationBackParameters
from hdl.periphery.block_exponent import SHIFT, BlockExponent, BlockExponentParameters
from hdl.periphery.max_search import MaxSearch, MaxSearchParameters
from hdl.periphery.scaler import Scaler, ScalerParameters
from hdl.pipeline import delayed
from hdl.shapes import width_for


class ErrorStage(wiring.Component):
    """``start`` with the sums complete and their ``fraction`` steady; ``busy`` from then on; ``done`` for a cycle, once all mantissas are
    stored; ``exponent`` stays from then on. ``slopes``: parameters of the derivatives by their ``kind``, with
    ``identity`` among them. ``sum_magnitude_bits``: of a sum, sign excluded."""

    def __init__(
        self, widths: DescriptorWidths, slopes: Sequence[ActivationBackParameters], sum_magnitude_bits: int
    ) -> None:
        lanes = widths.lanes
        self._slopes = {p.kind: ActivationBack(p) for p in slopes}
        slope = self._slopes["identity"]
        activations = slope.i.payload.activations.shape()
        magnitude_bits = slope.parameters.magnitude_bits
        self._search = MaxSearch(MaxSearchParameters(lanes=lanes, magnitude_bits=sum_magnitude_bits))
        self._block_exponent = BlockExponent(
            BlockExponentParameters(sum_bits=sum_magnitude_bits, error_magnitude_bits=magnitude_bits)
        )
        self._scaler = Scaler(
            ScalerParameters(
                lanes=lanes,
                magnitude_bits=sum_magnitude_bits,
                multiplier_bits=0,
                lowest_shift=-magnitude_bits,
                highest_shift=max(sum_magnitude_bits, LARGEST_EXPONENT),
                limit=(1 << magnitude_bits) - 1,
                sideband_bits=activations.size,
            )
        )
        super().__init__(
            {
                "layer": In(widths.layer),
                "fraction": In(SHIFT),
                "start": In(1),
                "busy": Out(1),
                "done": Out(1),
                "exponent": Out(width_for(LARGEST_EXPONENT)),
                "sums": Out(reading(widths.address, self._search.i.payload.elements.shape())),
                "activations": Out(reading(widths.address, activations)),
                "memory": Out(writing(widths.address, slope.o.payload.elements.shape())),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.search, m.submodules.block_exponent, m.submodules.scaler = (
            self._search,
            self._block_exponent,
            self._scaler,
        )
        reads, scaling = Signal(), Signal()
        self._read(m, reads, scaling)
        stored = self._store(m, scaling)
        found = self._block_exponent.o
        shift = Signal(SHIFT)
        m.d.comb += [
            self._block_exponent.i.valid.eq(self._search.o.valid),
            self._search.o.ready.eq(self._block_exponent.i.ready),
            self._block_exponent.i.payload.maximum.eq(self._search.o.payload.maximum),
            self._block_exponent.i.payload.fraction.eq(self.fraction),
            self._scaler.i.payload.shift.eq(shift),
            found.ready.eq(1),
        ]
        m.d.comb += self.busy.eq(1)
        with m.FSM():
            with m.State("idle"):
                m.d.comb += self.busy.eq(0)
                with m.If(self.start):
                    m.d.sync += [reads.eq(1), scaling.eq(0)]
                    m.next = "search"
            with m.State("search"):
                with m.If(found.valid):
                    m.d.sync += [
                        shift.eq(found.payload.shift),
                        self.exponent.eq(found.payload.exponent),
                        reads.eq(1),
                        scaling.eq(1),
                    ]
                    m.next = "scale"
            with m.State("scale"):
                with m.If(stored):
                    m.d.comb += self.done.eq(1)
                    m.next = "idle"
        return m

    def _read(self, m: Module, reads: Signal, scaling: Value) -> None:
        """All sums of the volume, with the activations beside them, to the search or to the scaler. Neither ever waits."""
        address = Signal.like(self.sums.address)
        last = address == self.layer.output_last
        always = Const(1)
        with m.If(reads):
            m.d.sync += address.eq(address + 1)
            with m.If(last):
                m.d.sync += [address.eq(0), reads.eq(0)]
        valid = delayed(m, always, reads, 2, "valid")[-1]
        ends = delayed(m, always, last, 2, "last")[-1]
        sums = delayed(m, always, self.sums.data, 1, "sums")[-1]
        activations = delayed(m, always, self.activations.data, 1, "activations")[-1]
        m.d.comb += [
            self.sums.address.eq(address),
            self.activations.address.eq(self.layer.output_base + address),
            self.sums.enable.eq(1),
            self.activations.enable.eq(1),
            self._search.i.valid.eq(valid & ~scaling),
            self._scaler.i.valid.eq(valid & scaling),
            self._scaler.i.payload.sideband.eq(activations),
        ]
        for block in (self._search, self._scaler):
            m.d.comb += [block.i.payload.mask.eq(-1), block.i.payload.last.eq(ends)]
            m.d.comb += block.i.payload.elements.eq(sums)

    def _store(self, m: Module, scaling: Value) -> Value:
        """Mantissas through the slope into the memory. Returns when the last one is stored."""
        address = Signal.like(self.memory.address)
        result = self._scaler.o
        stored = Signal()
        m.d.comb += [result.ready.eq(1), self.memory.address.eq(address)]
        for kind, block in self._slopes.items():
            m.submodules[f"slope_{kind}"] = block
            m.d.comb += [
                block.i.valid.eq(result.valid & (self.layer.tanh == (kind == "tanh"))),
                block.i.payload.elements.eq(result.payload.elements),
                block.i.payload.activations.eq(result.payload.sideband),
                block.i.payload.mask.eq(result.payload.mask),
                block.i.payload.last.eq(result.payload.last),
                block.o.ready.eq(1),
            ]
            with m.If(block.o.valid):
                m.d.comb += [self.memory.enable.eq(1), self.memory.data.eq(block.o.payload.elements)]
                m.d.sync += address.eq(Mux(block.o.payload.last, 0, address + 1))
                m.d.comb += stored.eq(block.o.payload.last)
        return stored
