"""From sums to beats of ``sense``: read noise, rounding to the ADC's LSB, saturation.

    z = sat(rs(sum + noise_gain * xi(word), adc_shift), -limit, limit)        saturated if |z| = limit

docs/arithmetic.md section 9. After ``start``, beats 0, 1 .. are converted as soon as they are among the ``summed`` ones:
``read`` fetches sums, noise words and masks of beat ``number`` from their memories, where they are in the next cycle and
stay until the next read. Every line of a beat draws, if ``noise_gain`` > 0. A beat per cycle, latency LATENCY.

Nothing on the way of a beat waits: it is read when there is a place for it in the queue behind, so ``sense.ready`` goes no
further than a counter of places.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from emulator.fixed import WORD_BITS
from hdl.array.crossbar_parameters import CrossbarParameters
from hdl.array.device import sum_shape
from hdl.array.noise import GAUSSIAN_SHAPE, lowered_gaussian, raised_gaussian
from hdl.fixed import round_shift
from hdl.multiplier import Multiplier
from hdl.pipeline import delayed, registered
from hdl.shapes import beat, index_for, signed_for, stream_of, width_for

#: Memories, word, its ones, Gaussian word, times gain, sum, rounded, compared; the queue, saturated on the way into it; its
#: front.
LATENCY = 10
#: Of the queue: those on the way, those that wait, and a few whose going is not known yet; a distributed memory of 16.
PLACES = 16


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
        payload = self.sense.payload.shape()
        m.submodules.queue = queue = Memory(shape=payload, depth=PLACES, init=[])
        write, read = queue.write_port(), queue.read_port(domain="comb")
        front = stream_of(payload).create()
        offered = registered(m, front, "offered")
        wiring.connect(m, offered, wiring.flipped(self.sense))
        # Beats that have been read, queued, taken from the queue, modulo twice its places.
        begun, queued, taken = (Signal(range(2 * PLACES), name=name) for name in ("begun", "queued", "taken"))
        reading, room, live = Signal(), Signal(), Signal(LATENCY - 2)
        draws = Signal()
        waiting = Signal(range(2 * PLACES))
        last = self.number == self.beats - 1
        m.d.sync += [
            live.eq(Cat(self.read, live)),
            begun.eq(begun + self.read),
            queued.eq(queued + write.en),
            taken.eq(taken + (front.valid & front.ready)),
            # Of the cycle before, in which one more may have begun.
            room.eq(waiting < PLACES - 1),
            # There in time, as the gain is.
            draws.eq(self.noise_gain.any()),
        ]
        m.d.comb += [
            waiting.eq(begun - taken),
            self.read.eq(reading & (self.number < self.summed) & room),
            self.draw.eq(live[0] & draws),
            write.addr.eq(queued),
            write.en.eq(live[-1]),
            read.addr.eq(taken),
            front.payload.eq(read.data),
            front.valid.eq(queued != taken),
        ]
        with m.If(self.start):
            m.d.sync += [reading.eq(1), self.busy.eq(1), self.number.eq(0)]
        with m.Elif(self.read):
            m.d.sync += [reading.eq(~last), self.number.eq(self.number + 1)]
        with m.If(self.sense.valid & self.sense.ready & self.sense.payload.last):
            m.d.sync += self.busy.eq(0)

        converted = Signal(payload)
        masks = delayed(m, Const(1), self.mask, LATENCY - 3, "mask")
        m.d.comb += [
            write.data.eq(converted),
            converted.last.eq(delayed(m, Const(1), last, LATENCY - 2, "last")[-1]),
            converted.mask.eq(masks[-1]),
        ]
        for lane in range(p.lanes):
            self._convert(m, lane, masks[-1][lane], converted)
        return m

    def _convert(self, m: Module, lane: int, enabled: Value, converted: data.View) -> None:
        """A lane, from its word and sum at the memories on."""
        p = self.parameters
        largest = p.largest_sum + p.largest_noise
        word = Signal(WORD_BITS, name=f"word_{lane}")
        counted = raised_gaussian(m, word)
        raised = Signal(len(counted), name=f"raised_{lane}")
        m.submodules[f"multiplier_{lane}"] = noise = Multiplier(GAUSSIAN_SHAPE, signed(len(self.noise_gain) + 1))
        noisy = Signal(signed_for(largest), name=f"noisy_{lane}")
        code = Signal(signed_for((largest >> p.adc_shift) + 1), name=f"code_{lane}")
        compared = Signal.like(code, name=f"compared_{lane}")
        above, below = (Signal(name=f"{name}_{lane}") for name in ("above", "below"))
        total = delayed(m, Const(1), self.sums[lane], 4, f"sum_{lane}")[-1]
        limited = Mux(above, self.limit, Mux(below, -self.limit, compared))
        m.d.comb += [
            noise.a.eq(lowered_gaussian(raised)),
            noise.b.eq(self.noise_gain),
            converted.elements[lane].eq(limited),
            converted.saturated[lane].eq(enabled & (above | below)),
        ]
        m.d.sync += [
            word.eq(self.words[lane]),
            raised.eq(counted),
            noisy.eq(total + noise.product),
            code.eq(round_shift(noisy, p.adc_shift)),
            compared.eq(code),
            above.eq(code >= self.limit),
            below.eq(code <= -self.limit),
        ]
