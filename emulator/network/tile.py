"""`tile`: one array with its digital periphery: forward, backward and update (Gokmen et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emulator.array.crossbar import Crossbar, PulseTrains
from emulator.config import ReadQuantities, Stage
from emulator.fixed import Flags, Integers, matrix_product, round_shift
from emulator.machine import COUNTERS, Ranges, State
from emulator.periphery.average import average
from emulator.periphery.bound_management import bound_management
from emulator.periphery.lfsr import Lfsr, Words
from emulator.periphery.max_search import max_search
from emulator.periphery.noise_management import InputScaling, noise_management
from emulator.periphery.pulse_generator import pulse_trains
from emulator.periphery.replicate import replicate
from emulator.periphery.scaler import scale
from emulator.periphery.update_management import PulseGain, probability_words, update_management
from emulator.streams import Purpose, keys

ReadArray = Callable[[Integers], tuple[Integers, Flags]]


@dataclass(frozen=True)
class Errors:
    """Errors of a stage: mantissas ``(positions, rows)`` with one exponent, standing for ``m * 2**-exponent``."""

    mantissas: Integers
    exponent: int


class Tile:
    """The tile of a stage. Vectors lie along the last axis; an image's vectors are one matrix, one read each."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.crossbar = Crossbar(stage, seed)
        self.generator = Lfsr(stage.generator_width)
        self.row_pulse = self.generator.seed(
            keys(seed, Purpose.ROW_PULSE, stage.index, count=stage.generators_per_row_side)
        )
        self.column_pulse = self.generator.seed(
            keys(seed, Purpose.COLUMN_PULSE, stage.index, count=stage.generators_per_column_side)
        )
        self.counters = dict.fromkeys(COUNTERS, 0)

    # --- the three cycles ---------------------------------------------------------------------------------------

    def forward(self, x: Integers) -> Integers:
        """``y = W x``: activations ``(positions, columns)`` to pre-activations ``(positions, rows)``, ADC's LSB."""
        stage = self.stage
        outputs, fraction = self._read(
            x,
            fraction=stage.activation_fraction,
            magnitude_bits=stage.activation_magnitude_bits,
            read=stage.forward,
            read_array=self.crossbar.read_forward,
            drive_replicated=not stage.replicate_rows,
            direction="forward",
        )
        return round_shift(outputs, fraction - stage.adc_fraction)

    def backward(self, errors: Errors) -> tuple[Integers, int]:
        """``z = W^T delta``: errors to sums ``(positions, columns)`` and their number of fraction bits."""
        return self._read(
            errors.mantissas,
            fraction=errors.exponent,
            magnitude_bits=self.stage.error_magnitude_bits,
            read=self.stage.backward,
            read_array=self.crossbar.read_backward,
            drive_replicated=self.stage.replicate_rows,
            direction="backward",
        )

    def update(self, x: Integers, errors: Errors) -> None:
        """``W <- W + eta delta x^T``, one update cycle per position."""
        if self.stage.array.update.mode == "exact":
            self._update_exactly(x, errors)
        else:
            self._update_by_pulses(x, errors)
        self.counters["update_cycles"] += len(x)

    # --- reading ------------------------------------------------------------------------------------------------

    def _read(
        self,
        vectors: Integers,
        *,
        fraction: int,
        magnitude_bits: int,
        read: ReadQuantities,
        read_array: ReadArray,
        drive_replicated: bool,
        direction: str,
    ) -> tuple[Integers, int]:
        """Noise management, DAC, array, bound management, ADC, averaging, and the scale taken back."""
        stage = self.stage
        scaling = noise_management(
            max_search(vectors),
            mode=read.noise_management,
            constant_exponent=read.constant_exponent,
            fraction=fraction,
            magnitude_bits=magnitude_bits,
            dac_fraction=stage.dac_fraction,
        )
        sensed = self.read_until_bounded(vectors, scaling, read, read_array, drive_replicated, direction=direction)
        copies = stage.array.replication
        if not drive_replicated:
            sensed = sensed.reshape(len(sensed), copies, -1).sum(axis=1)
        mean = average(sensed, stage.average_reciprocal, stage.average_guard_bits)
        return mean * scaling.scale[:, None], stage.adc_fraction + stage.average_guard_bits + scaling.fraction

    def read_until_bounded(
        self,
        vectors: Integers,
        scaling: InputScaling,
        read: ReadQuantities,
        read_array: ReadArray,
        drive_replicated: bool,
        *,
        direction: str,
    ) -> Integers:
        """ADC codes of all reads, each at the number of halvings that bound management settled on, scaled back."""
        results = []
        start, halvings = 0, 0
        while start < len(vectors):
            shifts = np.zeros(len(vectors) - start, dtype=np.int64)
            shifts[0] = halvings
            codes, saturated = read_array(self.drive(vectors, scaling, start, shifts, drive_replicated))
            repeat, halvings = bound_management(
                bool(saturated[-1].any()), halvings if len(codes) == 1 else 0, read.bound_management
            )
            accepted = len(codes) - repeat
            results.append(codes[:accepted] << shifts[:accepted, None])
            start += accepted
            self.counters[f"{direction}_reads"] += len(codes)
            self.counters[f"{direction}_repeats"] += repeat
            self.counters[f"{direction}_saturations"] += int(saturated[:accepted].sum())
            halvings = halvings if repeat else 0
        return np.concatenate(results)

    def drive(
        self, vectors: Integers, scaling: InputScaling, start: int, halvings: Integers, replicated: bool
    ) -> Integers:
        """DAC codes of the vectors from ``start`` on, each halved that many times."""
        full_range = 1 << self.stage.dac_fraction
        codes = scale(
            vectors[start:],
            scaling.multiplier[start:, None],
            scaling.shift[start:, None] + halvings[:, None],
            -full_range,
            full_range,
        )
        return replicate(codes, self.stage.array.replication) if replicated else codes

    # --- updating -----------------------------------------------------------------------------------------------

    def _update_by_pulses(self, x: Integers, errors: Errors) -> None:
        stage = self.stage
        update = stage.array.update
        x_gain, delta_gain = update_management(
            max_search(x),
            max_search(errors.mantissas),
            mode=update.management,
            x_fraction=stage.activation_fraction,
            delta_fraction=errors.exponent,
            gain=stage.pulse_gain,
            power=stage.pulse_power,
            probability_bits=update.probability_bits,
        )
        copies = stage.array.replication
        row_copies, column_copies = (copies, 1) if stage.replicate_rows else (1, copies)
        rows, self.row_pulse = self._pulses(errors.mantissas, delta_gain, row_copies, self.row_pulse)
        columns, self.column_pulse = self._pulses(x, x_gain, column_copies, self.column_pulse)
        self.counters["row_pulses"] += int(rows.pulses.sum())
        self.counters["column_pulses"] += int(columns.pulses.sum())
        self.counters["coincidences"] += self.crossbar.pulse(rows, columns)

    def _pulses(self, vectors: Integers, gain: PulseGain, copies: int, states: Words) -> tuple[PulseTrains, Words]:
        update = self.stage.array.update
        words = replicate(self.probabilities(vectors, gain), copies)
        pulses, states = pulse_trains(
            self.generator, states, words, update.desired_bl, update.probability_bits, update.generator_sharing
        )
        return PulseTrains(pulses, replicate(vectors < 0, copies)), states

    def probabilities(self, vectors: Integers, gain: PulseGain) -> Integers:
        """Probability words of one side's logical lines ``(positions, lines)``."""
        return probability_words(vectors, gain, self.stage.array.update.probability_bits)

    def _update_exactly(self, x: Integers, errors: Errors) -> None:
        """The FP-baseline's update: the sum of outer products over all positions, times eta, rounded once."""
        stage = self.stage
        mantissa, shift = stage.rate_gain
        change = round_shift(
            matrix_product(errors.mantissas.T, x) * mantissa,
            errors.exponent + stage.activation_fraction + shift - stage.array.weight.fraction_bits,
        )
        copies = stage.array.replication
        self.crossbar.add(np.tile(change, (copies, 1) if stage.replicate_rows else (1, copies)))

    # --- state --------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Weights, generators and counters of this tile, by name."""
        name = self.stage.name
        return {
            f"{name}.weights": self.crossbar.weights.astype(np.int32),
            f"{name}.row_pulse": self.row_pulse.copy(),
            f"{name}.column_pulse": self.column_pulse.copy(),
            f"{name}.row_noise": self.crossbar.row_noise.copy(),
            f"{name}.column_noise": self.crossbar.column_noise.copy(),
            f"{name}.counters": np.array([self.counters[counter] for counter in COUNTERS], dtype=np.int64),
        }

    def ranges(self) -> Ranges:
        """Lowest and highest values of the arrays of ``state``: weights lie in the devices' bounds, and a generator of zeros
        would stay there."""
        name, crossbar = self.stage.name, self.crossbar
        generators = ("row_pulse", "column_pulse", "row_noise", "column_noise")
        return {
            f"{name}.weights": crossbar.device.bounds(crossbar.parameters),
            **{f"{name}.{generator}": (np.uint64(1), self.generator.state_mask) for generator in generators},
            f"{name}.counters": (0, np.iinfo(np.int64).max),
        }

    def load(self, state: State) -> None:
        """The reverse of ``state``, which must be checked before."""
        name = self.stage.name
        self.crossbar.weights = state[f"{name}.weights"].astype(np.int64)
        self.row_pulse = state[f"{name}.row_pulse"].copy()
        self.column_pulse = state[f"{name}.column_pulse"].copy()
        self.crossbar.row_noise = state[f"{name}.row_noise"].copy()
        self.crossbar.column_noise = state[f"{name}.column_noise"].copy()
        self.counters = dict(zip(COUNTERS, (int(count) for count in state[f"{name}.counters"]), strict=True))
