"""From sums to beats of ``sense``: read noise, rounding to the ADC's LSB, saturation.

    z = sat(rs(sum + noise_gain * xi(word), adc_shift), -limit, limit)        saturated if |z| = limit

docs/arithmetic.md section 9. After ``start``, beats 0, 1 .. are converted as soon as they are among the ``summed`` ones:
``read`` fetches sums, noise words and masks of beat ``number`` from their memories, where they are in the next cycle and
stay until the next read. Every line of a beat draws, if ``noise_gain`` > 0. A beat per cycle, latency LATENCY.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from emulator.fixed import WORD_BITS
from hdl.array.crossbar_parameters import CrossbarParameters
from hdl.array.device import sum_shape
from hdl.array.noise import GAUSSIAN_SHAPE, gaussian
from hdl.fixed import round_shift
from hdl.pipeline import delayed, pipeline
from hdl.shapes import beat, index_for, signed_for, stream_of, width_for

#: Memories, word, Gaussian word, times gain, sum, rounded, saturated.
LATENCY = 7


def sense_payload(parameters: CrossbarParameters) -> data.StructLayout:
    return beat(signed_for(parameters.limit), parameters.lanes, saturated=parameters.lanes)


class Converter(wiring.Component):
    def __init__(self, parameters: CrossbarParameters) -> None:
        p = self.parameters = parameters
        super().__init__(
            {
                "start": In(1),
                "beats": In(width_for(p.longest_beats)),
                "noise_gain": In(width_for(p.noise_gain)),
                "limit": In(width_for(p.limit)),
                "summed": In(width_for(p.longest_beats)),
                "number": Out(index_for(p.longest_beats)),
                "read": Out(1),
                "draw": Out(1),
                "sums": In(data.ArrayLayout(sum_shape(p), p.lanes)),
                "words": In(data.ArrayLayout(WORD_BITS, p.lanes)),
                "mask": In(p.lanes),
                "sense": Out(stream_of(sense_payload(p))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        beats_in = stream.Signature(1).create()
        advance, valid = pipeline(m, beats_in, self.sense, LATENCY)
        last = self.number == self.beats - 1
        reading = Signal()
        m.d.comb += [
            beats_in.valid.eq(reading & (self.number < self.summed)),
            self.read.eq(beats_in.valid & advance),
            self.draw.eq(valid[0] & advance & self.noise_gain.any()),
        ]
        with m.If(self.start):
            m.d.sync += [reading.eq(1), self.busy.eq(1), self.number.eq(0)]
        with m.Elif(self.read):
            m.d.sync += [reading.eq(~last), self.number.eq(self.number + 1)]
        with m.If(self.sense.valid & self.sense.ready & self.sense.payload.last):
            m.d.sync += self.busy.eq(0)

        m.d.comb += self.sense.payload.last.eq(delayed(m, advance, last, LATENCY, "last")[-1])
        masks = delayed(m, advance, self.mask, LATENCY - 1, "mask")
        m.d.comb += self.sense.payload.mask.eq(masks[-1])
        for lane in range(p.lanes):
            self._convert(m, advance, lane, masks[-2][lane])
        return m

    def _convert(self, m: Module, advance: Signal, lane: int, enabled: Value) -> None:
        """A lane, from its word and sum at the memories on."""
        p = self.parameters
        largest = p.largest_sum + p.largest_noise
        word = Signal(WORD_BITS, name=f"word_{lane}")
        xi = Signal(GAUSSIAN_SHAPE, name=f"xi_{lane}")
        noise = Signal(signed(GAUSSIAN_SHAPE.width + len(self.noise_gain)), name=f"noise_{lane}")
        noisy = Signal(signed_for(largest), name=f"noisy_{lane}")
        code = Signal(signed_for((largest >> p.adc_shift) + 1), name=f"code_{lane}")
        total = delayed(m, advance, self.sums[lane], 3, f"sum_{lane}")[-1]
        above, below = code >= self.limit, code <= -self.limit
        limited = Mux(above, self.limit, Mux(below, -self.limit, code))
        drawn = gaussian(m, word)
        with m.If(advance):
            m.d.sync += [
                word.eq(self.words[lane]),
                xi.eq(drawn),
                noise.eq(xi * self.noise_gain),
                noisy.eq(total + noise),
                code.eq(round_shift(noisy, p.adc_shift)),
                self.sense.payload.elements[lane].eq(limited),
                self.sense.payload.saturated[lane].eq(enabled & (above | below)),
            ]
