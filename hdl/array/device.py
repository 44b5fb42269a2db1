"""One device lane: the devices of a row, one column after another, with the multiplier that reads and updates share.

Reading, the weight of a column times a code, accumulated (forward) or given to the adder tree (backward):

    product = weight * code                       total = sum of products

Updating, the device ``constant_step`` (emulator/array/devices/constant_step.py, docs/arithmetic.md sections 6, 13):

    c      = ones(row train & column train)
    factor = (c << 10) + rs(xi(mix(row noise ^ column noise)) * cycle_gain[c], 10)
    step   = max(0, step_mean + rs(xi_0 * step_gain, 10))         h = rs(xi_1 * ratio_gain, 10)
    step   = max(0, rs(step * (65536 +- h), 16))                  + upwards, if the signs agree
    bound  = sat(bound_mean + rs(xi_k * bound_gain, 10), 0, WL)   k = 2 if the weight rises, else 3
    weight = weight +- round(step * factor / 2**move_shift), not beyond the bound

``round`` is stochastic: up where ``rounding = mix_rounds(mix(row noise ^ column noise), 3)``, as a fraction, reaches what lacks
to the next integer; or to nearest, if the parameters say so.

Nothing but the weight is stored: the device's parameters are drawn again from the words of its row and column. Weights
lie within the bounds of their devices, so a weight that rises needs the upper bound alone, and one that falls the lower.

A column takes two cycles. All four draws of a device have the same form, and two circuits (``Draw``) make two each:

    cycle      even: 0   odd: 1   ..   6        7 (odd)   8     9     10     11     12     13      14
    draw a     noise                            bound, with the sign of factor
    draw b     step      ratio
    multiplier                         h * step                 step * factor
    then                                                  +-              rs     +-weight  limit   moved

The second cycle after a reset is even, the fourth, and so on: every lane counts for itself, as the sequencer does, since one
net to all lanes would have thousands of ends. In cycle 0 ``column`` is there, and holds for two cycles. ``weight`` is
expected in cycle 11 (reading: in cycle 1, so that it goes to nothing but the register ``kept``), ``late_device`` in cycle 7;
``moved`` and ``fires`` are there in cycle 14, MOVE_LATENCY.
"""

from __future__ import annotations

from functools import partial

from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from emulator.fixed import (
    CYCLE_FRACTION_BITS,
    DRAW_FRACTION_BITS,
    RATIO_FRACTION_BITS,
    ROUNDING_ROUNDS,
    WORD_BITS,
)
from hdl.array.crossbar_parameters import DEVICE_BITS, CrossbarParameters, drawn
from hdl.array.noise import GAUSSIAN_SHAPE, MIX_ROUNDS, gaussian, mix_rounds
from hdl.fixed import ones, round_half_up, round_shift, round_stochastically, sum_or_difference
from hdl.multiplier import Multiplier
from hdl.shapes import record, signed_for, width_for

#: Rounds of ``mix`` in front of the first register of a draw.
FIRST_ROUNDS = 1
#: Cycles in which the words of the bounds, and the moved weight, follow the column's.
BOUND_DELAY, MOVE_LATENCY = 7, 14
#: When the column's weight must come out of the memory, counted likewise.
WEIGHT_DELAY = 11
#: The draws of a device: step, ratio, upper and lower bound.
STEP, RATIO, HIGH, LOW = range(4)


def line_layout(parameters: CrossbarParameters) -> data.StructLayout:
    """What a line does: a DAC code (its bits), or a pulse train with its sign and its word of cycle noise."""
    return record(value=max(parameters.code_bits, parameters.desired_bl), negative=1, noise=WORD_BITS)


def sum_shape(parameters: CrossbarParameters) -> Shape:
    """Of codes times weights."""
    return signed_for(parameters.largest_sum)


def device_word(words: Value, draw: int) -> Value:
    """The word of one draw among those of a line."""
    return words[draw * WORD_BITS : (draw + 1) * WORD_BITS]


#: A register of a lane. None is reset: the sequencer's are, and without them nothing of a lane counts. A net to all of
#: them would take a good part of the routing.
register = partial(Signal, reset_less=True)


class Draw(wiring.Component):
    """``mean + rs(xi(mix(word)) * gain, 10)``, a word per cycle. ``gain`` is expected 2 cycles after the word, ``mean`` 4; the
    result is there after 5, ``mixed``, which is ``mix(word)``, after 2."""

    def __init__(self, gain_bits: int, mean_bits: int, result: Shape) -> None:
        self.result = result
        super().__init__(
            {
                "word": In(WORD_BITS),
                "gain": In(gain_bits),
                "mean": In(mean_bits),
                "mixed": Out(WORD_BITS),
                "o": Out(result),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        first, mixed, result = register(WORD_BITS), register(WORD_BITS), register(self.result)
        m.submodules.multiplier = multiplier = Multiplier(GAUSSIAN_SHAPE, signed(len(self.gain) + 1))
        m.d.comb += [
            self.mixed.eq(mixed),
            self.o.eq(result),
            multiplier.a.eq(gaussian(m, mixed)),
            multiplier.b.eq(self.gain),
        ]
        m.d.sync += [
            first.eq(mix_rounds(m, self.word, FIRST_ROUNDS)),
            mixed.eq(mix_rounds(m, first, MIX_ROUNDS - FIRST_ROUNDS)),
            result.eq(round_shift(multiplier.product, DRAW_FRACTION_BITS, Cat(self.mean, Const(0, 1)))),
        ]
        return m


class DeviceLane(wiring.Component):
    def __init__(self, parameters: CrossbarParameters) -> None:
        p = self.parameters = parameters
        self.line = line_layout(p)
        weight, total = signed(p.weight_bits), sum_shape(p)
        self._multiplicand = signed(
            max(p.weight_bits, signed_for(p.largest_factor).width, signed_for(p.largest_ratio).width)
        )
        self._multiplier = signed(max(p.code_bits, signed_for(max(p.largest_step, p.largest_directed_step)).width))
        self._even = Signal()  # the first of the two cycles of a column
        super().__init__(
            {
                "settings": In(p.settings),
                "update": In(1),  # else reading
                "clear": In(1),  # a row that does nothing
                "load": In(1),  # the row
                "row": In(self.line),
                "row_device": In(DEVICE_BITS),
                "forward": In(1),  # reading, the code is the column's
                "column": In(self.line),
                "column_device": In(DEVICE_BITS),
                "late_device": In(DEVICE_BITS),
                "weight": In(weight),
                "kept": Out(weight),  # a cycle later
                "product": Out(signed(self._multiplicand.width + self._multiplier.width)),
                "restart": In(1),
                "accumulate": In(1),
                "shift": In(1),  # totals move on by a beat
                "shifted": In(total),
                "total": Out(total),
                "coincidences": Out(width_for(p.desired_bl)),  # in cycles 1 and 2
                "moved": Out(weight),
                "fires": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        m.d.sync += self._even.eq(~self._even)
        row, row_device = register(self.line), register(DEVICE_BITS)
        with m.If(self.clear):
            m.d.sync += row.value.eq(0)
        with m.Elif(self.load):
            m.d.sync += [row.eq(self.row), row_device.eq(self.row_device)]

        both = (row.value & self.column.value)[: p.desired_bl]
        up = self._delayed(m, self._even, row.negative == self.column.negative, 6, "up")
        fires = self._delayed(m, self._even, both.any(), 7, "fires")
        counts = self._delayed(m, self._even, ones(both), 2, "count")
        m.d.comb += [self.coincidences.eq(counts[0]), self.fires.eq(fires[6])]

        factor, step, ratio, bound, rising, rounding = self._draws(m, row, row_device, counts, up[2])
        self._multiply(m, row, factor, step, ratio, up[2])
        self._move(m, bound, rising, up[5], rounding)
        return m

    def _delayed(self, m: Module, enable: Value, value: Value, registers: int, name: str) -> list[Signal]:
        """Registers that hold a column's value for two cycles each: with ``even`` as their enable, number k in cycles
        2 k + 1 and 2 k + 2 after it; else in the two cycles after those."""
        chain: list[Signal] = []
        for number in range(registers):
            held = register(value.shape(), name=f"{name}_{number}")
            with m.If(enable):
                m.d.sync += held.eq(chain[-1] if chain else value)
            chain.append(held)
        return chain

    def _draws(
        self, m: Module, row: data.View, row_device: Signal, counts: list[Signal], up: Value
    ) -> tuple[Signal, list[Signal], Signal, Signal, Signal, Signal]:
        """Factor in cycles 8, 9; step in 6, 7 and 8, 9; ratio in 6; bound in 13; whether the weight rises in 13; the word
        that rounds its change in 11."""
        p, given = self.parameters, self.settings
        cycle_mean = Cat(Const(0, CYCLE_FRACTION_BITS), counts[1])
        m.submodules.draw_a = a = Draw(
            width_for(max(p.cycle_gain, p.bound_gain)),
            max(width_for(p.bound_mean), len(cycle_mean)),
            signed_for(max(p.largest_factor, drawn(p.bound_mean, p.bound_gain))),
        )
        m.submodules.draw_b = b = Draw(
            width_for(max(p.step_gain, p.ratio_gain)),
            width_for(p.step_mean),
            signed_for(max(p.largest_step, p.largest_ratio)),
        )
        rising = self._delayed(m, ~self._even, up ^ (a.o < 0), 4, "rising")
        rises = rising[0]
        # Per bit: three LUTs a lane for a, one for b; what columns alone decide is shared by all lanes.
        own, column, late = row_device, self.column_device, self.late_device
        own_bound = Mux(rises, device_word(own, HIGH), device_word(own, LOW))
        noise_or_high = Mux(self._even, self.column.noise, device_word(late, HIGH))
        step_or_ratio = Mux(self._even, device_word(column, STEP), device_word(column, RATIO))
        own_step_or_ratio = Mux(self._even, device_word(own, STEP), device_word(own, RATIO))
        m.d.comb += [
            a.word.eq(
                Mux(self._even, row.noise, own_bound) ^ Mux(~self._even & ~rises, device_word(late, LOW), noise_or_high)
            ),
            b.word.eq(own_step_or_ratio ^ step_or_ratio),
            a.mean.eq(Mux(self._even, cycle_mean, given.bound_mean)),
            b.mean.eq(Mux(self._even, given.step_mean, 0)),
        ]
        # Without a coincidence the device does not move, whatever the gain.
        gains = Array(given.cycle_gain[max(c, 1)] for c in range(p.desired_bl + 1))
        m.d.comb += [
            a.gain.eq(Mux(self._even, gains[counts[0]], given.bound_gain)),
            b.gain.eq(Mux(self._even, given.step_gain, given.ratio_gain)),
        ]

        size = Mux(b.o < 0, 0, b.o)[: width_for(p.largest_step)]
        limited = Mux(a.o > p.weight_limit, p.weight_limit, a.o)
        bound = Mux(a.o < 0, 0, limited)[: p.weight_bits - 1]
        factors = self._delayed(m, ~self._even, a.o[: signed_for(p.largest_factor).width].as_signed(), 2, "factor")
        steps = self._delayed(m, ~self._even, size, 2, "step")
        (late_bound,) = self._delayed(m, self._even, bound, 1, "bound")
        ratio = b.o[: signed_for(p.largest_ratio).width].as_signed()
        return factors[1], steps, ratio, late_bound, rising[3], self._rounding(m, a.mixed)

    def _rounding(self, m: Module, mixed: Value) -> Signal:
        """In cycle 11; nothing of the word that has no effect."""
        word = mix_rounds(m, mixed, ROUNDING_ROUNDS)[-min(self.parameters.move_shift, WORD_BITS) :]
        return self._delayed(m, self._even, word, 5, "rounding")[-1]

    def _multiply(
        self, m: Module, row: data.View, factor: Signal, steps: list[Signal], ratio: Value, up: Value
    ) -> None:
        """The shared multiplier, its operands and the accumulator behind it."""
        p = self.parameters
        m.submodules.multiplier = multiplier = Multiplier(self._multiplicand, self._multiplier)
        code = register(signed(p.code_bits))
        m.d.comb += self.product.eq(multiplier.product)
        m.d.sync += code.eq(Mux(self.forward, self.column.value, row.value)[: p.code_bits].as_signed())

        directed = register(width_for(p.largest_directed_step))
        # A negative sum becomes 0, so only the halves of positive ones matter: they are rounded up.
        exact = round_half_up(self.product, RATIO_FRACTION_BITS, Cat(steps[1], Const(0, 1)))
        m.d.sync += directed.eq(Mux(exact < 0, 0, exact))
        with m.If(self.update):
            m.d.comb += [
                multiplier.a.eq(Mux(self._even, Mux(up, ratio, -ratio), factor)),
                multiplier.b.eq(Mux(self._even, steps[0], directed)),
            ]
        with m.Else():
            m.d.comb += [multiplier.a.eq(self.kept), multiplier.b.eq(code)]

        total = register(sum_shape(p))
        m.d.comb += self.total.eq(total)
        with m.If(self.restart):
            m.d.sync += total.eq(0)
        with m.Elif(self.shift):
            m.d.sync += total.eq(self.shifted)
        with m.Elif(self.accumulate):
            m.d.sync += total.eq(total + self.product)

    def _move(self, m: Module, bound: Signal, rising: Value, up: Value, rounding: Signal) -> None:
        p = self.parameters
        largest = p.largest_change
        change, moved = register(signed_for(largest)), register(signed_for(p.weight_limit + largest))
        kept, bounded = register(self.weight.shape()), register(self.weight.shape())
        room = sum_or_difference(Cat(bound, Const(0, 1)).as_signed(), moved, rising)
        limit = Cat(bound, Const(0, 1)).as_signed()
        m.d.comb += [self.kept.eq(kept), self.moved.eq(bounded)]
        m.d.sync += [
            change.eq(
                round_stochastically(self.product, p.move_shift, rounding)
                if p.stochastic_rounding
                else round_shift(self.product, p.move_shift)
            ),
            kept.eq(self.weight),
            moved.eq(sum_or_difference(kept, change, ~up)),
            bounded.eq(Mux(room < 0, Mux(rising, limit, -limit), moved)),
        ]
