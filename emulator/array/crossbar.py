"""`crossbar`: the emulated resistive array behind the tile's three streams.

- drive and sense: ``codes`` to the lines of one side, ADC codes and saturation flags from the other;
- pulse: the pulse trains and signs of both sides move the devices at which they coincide.

The array owns what a real one would: conductances, device parameters, and one noise generator per line. A row's
generator is drawn for every forward read, a column's for every backward read, and both for the update cycles in which
their line fires.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from emulator.array.devices import Device, Rounding
from emulator.array.noise import cycle_factor, device_gaussian, gaussian, mix, rounding_words
from emulator.config import ReadQuantities, Stage
from emulator.fixed import WORD_BITS, Flags, Integers, matrix_product, round_shift, round_stochastically, saturate
from emulator.periphery.lfsr import Lfsr, Words
from emulator.streams import Purpose, keys


@dataclass(frozen=True)
class PulseTrains:
    """What one side does in successive update cycles: pulses ``(cycles, BL, lines)``, negative ``(cycles, lines)``."""

    pulses: Flags
    negative: Flags


class Crossbar:
    """The array of a stage, in its initial state for the seed. Shapes are physical: replicas are lines of their own."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.device: Device = stage.array.device
        self.generator = Lfsr(stage.generator_width)
        rows, columns = stage.physical_rows, stage.physical_columns
        self.parameters = self.device.draw(
            lambda draw: device_gaussian(
                _words(keys(seed, Purpose.DEVICE_ROW, stage.index, draw, count=rows)),
                _words(keys(seed, Purpose.DEVICE_COLUMN, stage.index, draw, count=columns)),
            ),
            stage.array.weight.fraction_bits,
            stage.weight_limit,
        )
        self.weights = np.clip(_initial_weights(stage, seed), *self.device.bounds(self.parameters))
        self.row_noise = self.generator.seed(keys(seed, Purpose.ROW_NOISE, stage.index, count=rows))
        self.column_noise = self.generator.seed(keys(seed, Purpose.COLUMN_NOISE, stage.index, count=columns))

    def read_forward(self, codes: Integers) -> tuple[Integers, Flags]:
        """Drive columns with DAC codes ``(reads, columns)`` one vector after another; sense the rows.

        Returns ADC codes and saturation flags ``(done, rows)``. The reads end after the first one that saturates, so
        that the digital side can repeat it before the next: ``done`` may be less than ``reads``.
        """
        done, flags, self.row_noise = self._read(codes, self.weights.T, self.row_noise, self.stage.forward)
        return done, flags

    def read_backward(self, codes: Integers) -> tuple[Integers, Flags]:
        """The same with rows driven and columns sensed: ``(reads, rows)`` to ``(done, columns)``."""
        done, flags, self.column_noise = self._read(codes, self.weights, self.column_noise, self.stage.backward)
        return done, flags

    def _read(
        self, codes: Integers, weights: Integers, noise: Words, read: ReadQuantities
    ) -> tuple[Integers, Flags, Words]:
        outputs = matrix_product(codes, weights)
        history = None
        if read.noise_gain:
            history = self.generator.sequence(noise, len(codes))
            outputs = outputs + read.noise_gain * gaussian(self.generator.word(history))
        converted = saturate(round_shift(outputs, self.stage.adc_shift), -read.limit, read.limit)
        saturated = np.abs(converted) == read.limit
        stops = np.flatnonzero(saturated.any(axis=1))
        done = stops[0] + 1 if len(stops) else len(codes)
        if history is not None:
            noise = history[done - 1]
        return converted[:done], saturated[:done], noise

    def pulse(self, rows: PulseTrains, columns: PulseTrains) -> int:
        """Apply update cycles one after another; returns the number of coincidences.

        Device (i, j) moves once per cycle, by its c coincidences: up if the signs of row and column agree.
        """
        row_words, self.row_noise = self._draw_cycle_noise(rows.pulses, self.row_noise)
        column_words, self.column_noise = self._draw_cycle_noise(columns.pulses, self.column_noise)
        row_trains, column_trains = pack(rows.pulses), pack(columns.pulses)
        # One move for every device and cycle with coincidences, in the order of the cycles.
        cycle, i = np.nonzero(row_trains)
        place, j = np.nonzero(column_trains[cycle])
        cycle, i = cycle[place], i[place]
        counts = np.bitwise_count(row_trains[cycle, i] & column_trains[cycle, j]).astype(np.int64)
        mixed = mix(row_words[cycle, i] ^ column_words[cycle, j])
        factors = cycle_factor(counts, gaussian(mixed), np.array(self.stage.cycle_gains, dtype=np.int64))
        up = rows.negative[cycle, i] == columns.negative[cycle, j]
        self._move(i * self.weights.shape[1] + j, factors, up, rounding_words(mixed))
        return int(counts.sum())

    def _move(self, device: Integers, factors: Integers, up: Flags, words: Integers) -> None:
        """Moves of devices (row-major indices) in order. Devices do not depend on each other, so the first moves of
        all are done at once, then the second ones, and so on."""
        order = np.argsort(device, kind="stable")
        device, factors, up, words = device[order], factors[order], up[order], words[order]
        starts = np.flatnonzero(np.diff(device, prepend=-1))
        counts = np.diff(starts, append=len(device))
        weights = self.weights.ravel()
        parameters = {name: values.ravel() for name, values in self.parameters.items()}
        for nth in range(int(counts.max(initial=0))):
            move = starts[counts > nth] + nth
            moving = device[move]
            own = {name: values[moving] for name, values in parameters.items()}
            rounding = self._rounding(words[move])
            weights[moving] = self.device.move(weights[moving], own, factors[move], up[move], rounding)
        self.weights = weights.reshape(self.weights.shape)

    def _rounding(self, words: Integers) -> Rounding:
        if self.stage.stochastic_rounding:
            return partial(round_stochastically, shift=self.stage.move_shift, words=words)
        return partial(round_shift, shift=self.stage.move_shift)

    def _draw_cycle_noise(self, pulses: Flags, noise: Words) -> tuple[Integers, Words]:
        """The words of one side's lines for every cycle ``(cycles, lines)``, and their generators afterwards.

        A line draws in the cycles in which it fires; what stands at the others is used by nothing. Zeros, and nothing
        drawn, where no move needs a word.
        """
        fires = pulses.any(axis=1)
        if not self.stage.cycle_noise:
            return np.zeros(fires.shape, dtype=np.int64), noise
        draws = fires.cumsum(axis=0)
        history = np.concatenate([noise[None], self.generator.sequence(noise, int(draws[-1].max()))])
        states = history[draws, np.arange(len(noise))]
        return self.generator.word(states), states[-1]

    def add(self, change: Integers) -> None:
        """The ideal update: weights plus ``change``, clipped once to the devices' bounds."""
        self.weights = np.clip(self.weights + change, *self.device.bounds(self.parameters))


def pack(pulses: Flags) -> Words:
    """Pulses ``(cycles, BL, lines)`` as one word per line and cycle, slot s in bit s: ``(cycles, lines)``."""
    slots = np.arange(pulses.shape[1], dtype=np.uint64)
    return np.sum(pulses.astype(np.uint64) << slots[:, None], axis=1, dtype=np.uint64)


def _words(device_keys: Words) -> Integers:
    return (device_keys >> np.uint64(64 - WORD_BITS)).astype(np.int64)


def _initial_weights(stage: Stage, seed: int) -> Integers:
    """Uniform in ``-R .. R``, R = initial_range / sqrt(columns): ``(u * (2R + 1) >> 32) - R`` with u the upper 32
    bits of the weight's key. All replicas of a weight start alike, so that their mean starts as spread as one."""
    weight = stage.array.weight
    largest = math.ldexp(weight.initial_range / math.sqrt(stage.columns), weight.fraction_bits)
    reach = min(round(largest), stage.weight_limit)
    uniform = keys(seed, Purpose.INITIAL_WEIGHT, stage.index, count=stage.rows * stage.columns) >> np.uint64(32)
    weights = (uniform.astype(np.int64) * (2 * reach + 1) >> 32) - reach
    copies = stage.array.replication
    return np.tile(weights.reshape(stage.rows, stage.columns), (copies, 1) if stage.replicate_rows else (1, copies))
