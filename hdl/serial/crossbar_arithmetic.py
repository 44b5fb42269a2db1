"""The arithmetic of a serial crossbar (hdl/serial/crossbar.py): one multiplier for sums and noise, one for the draws of a
device, which take effect one after the other."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from emulator.fixed import (
    CYCLE_FRACTION_BITS,
    DRAW_FRACTION_BITS,
    RATIO_FRACTION_BITS,
    ROUNDING_ROUNDS,
    WORD_BITS,
)
from hdl.array.crossbar_parameters import CrossbarParameters, drawn
from hdl.array.device import HIGH, LOW, RATIO, STEP
from hdl.array.intake import Mode
from hdl.array.noise import GAUSSIAN_SHAPE, gaussian, mix, mix_rounds
from hdl.fixed import round_half_up, round_shift, round_stochastically, sum_or_difference
from hdl.serial.crossbar_memories import CrossbarMemories, Position
from hdl.shapes import signed_for, width_for

#: The draws of a device, in their turns.
CYCLE_TURN, STEP_TURN, RATIO_TURN, BOUND_TURN = range(4)


class CrossbarArithmetic:
    """The sum of a line that is sensed; the draws and the move of a device."""

    def __init__(
        self, m: Module, p: CrossbarParameters, at: Position, settings: data.View, memories: CrossbarMemories
    ) -> None:
        # What is done in this cycle.
        self.add_product, self.add_noise, self.clear, self.keep_drawn = Signal(), Signal(), Signal(), Signal()
        self.keep_source, self.keep_mixed, self.keep_result = Signal(), Signal(), Signal()
        self.apply, self.keep_change, self.note_direction = Signal(), Signal(), Signal()
        self.count, self.up = Signal(width_for(p.desired_bl)), Signal()
        updating, backward = at.mode == Mode.UPDATE, at.mode == Mode.BACKWARD
        turn, rising = at.turn, Signal()
        upwards, coincidences = Signal(), Signal.like(self.count)
        with m.If(self.note_direction):
            m.d.sync += [upwards.eq(self.up), coincidences.eq(self.count)]

        source, held, word = Signal(WORD_BITS), Signal(WORD_BITS), Signal(WORD_BITS)
        m.d.comb += [
            source.eq(Mux(turn == CYCLE_TURN, memories.drawn, memories.device)),
            memories.draw_number.eq(Array((STEP, STEP, RATIO, Mux(rising, HIGH, LOW)))[turn]),
        ]
        with m.If(self.keep_source):
            m.d.sync += held.eq(source)
        with m.If(self.keep_drawn):
            m.d.sync += word.eq(memories.fresh)
        with m.If(self.keep_mixed):
            m.d.sync += word.eq(mix(m, held ^ source))

        gains = Array(settings.cycle_gain[max(c, 1)] for c in range(p.desired_bl + 1))
        turn_gains = Array((gains[coincidences], settings.step_gain, settings.ratio_gain, settings.bound_gain))
        read_gain = Mux(backward, settings.backward_noise_gain, settings.forward_noise_gain)
        means = Array((Cat(Const(0, CYCLE_FRACTION_BITS), coincidences), settings.step_mean, 0, settings.bound_mean))
        largest = max(
            p.largest_factor, p.largest_step, p.largest_ratio, drawn(p.bound_mean, p.bound_gain), p.weight_limit
        )
        self.gain = Signal(width_for(max(p.noise_gain, p.cycle_gain, p.step_gain, p.ratio_gain, p.bound_gain)))
        xi = Signal(GAUSSIAN_SHAPE)
        noise = Signal(signed(GAUSSIAN_SHAPE.width + len(self.gain)))
        result = Signal(signed_for(largest))
        m.d.comb += [
            self.gain.eq(Mux(updating, turn_gains[turn], read_gain)),
            xi.eq(gaussian(m, word)),
            noise.eq(xi * self.gain),
        ]
        with m.If(self.keep_result):
            m.d.sync += result.eq(round_shift(noise, DRAW_FRACTION_BITS, Cat(means[turn], Const(0, 1))))
        self._sense(m, p, settings, memories, backward, noise)
        self._move(m, p, memories, turn, result, rising, upwards, self._rounding(m, p, turn, word))

    def _rounding(self, m: Module, p: CrossbarParameters, turn: Value, mixed: Signal) -> Signal:
        """The word that rounds the change, from that of the cycle's noise; nothing of it that has no effect."""
        rounding = Signal(min(p.move_shift, WORD_BITS))
        with m.If(self.keep_result & (turn == CYCLE_TURN)):
            m.d.sync += rounding.eq(mix_rounds(m, mixed, ROUNDING_ROUNDS)[-len(rounding) :])
        return rounding

    def _sense(
        self,
        m: Module,
        p: CrossbarParameters,
        settings: data.View,
        memories: CrossbarMemories,
        backward: Value,
        noise: Value,
    ) -> None:
        """The sum and, once its noise is added, the ADC's code."""
        largest = p.largest_sum + p.largest_noise
        total = Signal(signed_for(largest))
        product = Signal(signed(p.weight_bits + p.code_bits))
        m.d.comb += product.eq(memories.weight * memories.line.value[: p.code_bits].as_signed())
        with m.If(self.clear):
            m.d.sync += total.eq(0)
        with m.Elif(self.add_product | self.add_noise):
            m.d.sync += total.eq(total + Mux(self.add_noise, noise, product))
        code = Signal(signed_for((largest >> p.adc_shift) + 1))
        limit = Mux(backward, settings.backward_limit, settings.forward_limit)
        above, below = code >= limit, code <= -limit
        m.d.comb += code.eq(round_shift(total, p.adc_shift))
        self.code = Mux(above, limit, Mux(below, -limit, code))
        self.saturated = above | below

    def _move(
        self,
        m: Module,
        p: CrossbarParameters,
        memories: CrossbarMemories,
        turn: Value,
        result: Signal,
        rising: Signal,
        upwards: Value,
        rounding: Signal,
    ) -> None:
        """A draw takes effect: factor, step, directed step, change, moved weight."""
        factor = Signal(signed_for(p.largest_factor))
        step = Signal(width_for(max(p.largest_step, p.largest_directed_step)))
        change = Signal(signed_for(p.largest_change))
        ratio = Mux(upwards, result, -result)[: signed_for(p.largest_ratio).width].as_signed()
        times = Signal(signed(max(signed_for(p.largest_factor).width, signed_for(p.largest_ratio).width)))
        product = Signal(signed(len(times) + len(step) + 1))
        directed = Signal(signed(len(step) + 2))
        m.d.comb += [
            times.eq(Mux(self.keep_change, factor, ratio)),
            product.eq(step * times),
            # A negative sum becomes 0, so only the halves of positive ones matter: they are rounded up.
            directed.eq(round_half_up(product, RATIO_FRACTION_BITS, Cat(step, Const(0, 1)))),
        ]
        with m.If(self.apply):
            with m.Switch(turn):
                with m.Case(CYCLE_TURN):
                    m.d.sync += [factor.eq(result), rising.eq(upwards ^ (result < 0))]
                with m.Case(STEP_TURN):
                    m.d.sync += step.eq(Mux(result < 0, 0, result))
                with m.Case(RATIO_TURN):
                    m.d.sync += step.eq(Mux(directed < 0, 0, directed))
        with m.If(self.keep_change):
            m.d.sync += change.eq(
                round_stochastically(product, p.move_shift, rounding)
                if p.stochastic_rounding
                else round_shift(product, p.move_shift)
            )
        moved = Signal(signed_for(p.weight_limit + (1 << len(change) - 1)))
        limited = Mux(result > p.weight_limit, p.weight_limit, result)
        bound = Cat(Mux(result < 0, 0, limited)[: p.weight_bits - 1], Const(0, 1)).as_signed()
        room = sum_or_difference(bound, moved, rising)
        self.moved = Mux(room < 0, Mux(rising, bound, -bound), moved)
        m.d.comb += moved.eq(sum_or_difference(memories.weight, change, ~upwards))
