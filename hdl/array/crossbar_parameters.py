"""Parameters of the crossbar, and settings: the numbers of one array that it gets at run time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from amaranth.lib import data
from pydantic import Field, model_validator

from emulator.config import Stage
from emulator.config.schema import IntegerChoice
from emulator.fixed import (
    CYCLE_FRACTION_BITS,
    DRAW_FRACTION_BITS,
    GAUSSIAN_DEVIATION,
    LARGEST_GAUSSIAN,
    RATIO_FRACTION_BITS,
    WORD_BITS,
    step_fraction_bits,
)
from hdl.block import Parameters, plain_refusals
from hdl.shapes import Segments, record, width_for

#: The device model in logic, and its draws per device.
DEVICE_MODEL = "constant_step"
DRAWS = 4
#: A line's device words, one after another.
DEVICE_BITS = DRAWS * WORD_BITS


@dataclass(frozen=True)
class CrossbarSettings:
    """One array: where it lies in the memories, its reads and its devices. Lines lie in beats, the copies of a
    replicated side one after another; all bases are in beats, but that of the weights."""

    weight_base: int
    row_base: int
    row_beats: int
    row_blocks: int
    column_base: int
    column_beats: int
    forward_noise_gain: int
    forward_limit: int
    backward_noise_gain: int
    backward_limit: int
    cycle_noise: bool
    cycle_gain: tuple[int, ...]
    step_mean: int
    step_gain: int
    ratio_gain: int
    bound_mean: int
    bound_gain: int

    def word(self) -> dict[str, int | list[int]]:
        """The word of stream ``settings``."""
        plain = {name: int(value) for name, value in vars(self).items() if name != "cycle_gain"}
        return {**plain, "cycle_gain": list(self.cycle_gain)}


def row_segments(stage: Stage, lanes: int) -> Segments:
    """How the physical rows lie in beats: a segment per copy."""
    return Segments((stage.rows,) * (stage.array.replication if stage.replicate_rows else 1), lanes)


def column_segments(stage: Stage, lanes: int) -> Segments:
    """How the physical columns lie in beats: for every copy, a segment per pixel, and the bias line."""
    pixels = (stage.channels,) * (stage.inputs // stage.channels) + (1,) * stage.layer.bias
    return Segments(pixels * (1 if stage.replicate_rows else stage.array.replication), lanes)


def lay_out(stages: Sequence[Stage], lanes: int, devices: int) -> tuple[CrossbarSettings, ...]:
    """The settings of every array, with all arrays one behind the other in the memories.

    Raises ValueError for a device model other than DEVICE_MODEL, and for exact updates, which no array has.
    """
    settings = []
    weight_base = row_base = column_base = 0
    for stage in stages:
        rows, columns = row_segments(stage, lanes), column_segments(stage, lanes)
        blocks = -(-rows.beats * lanes // devices)
        settings.append(
            CrossbarSettings(
                weight_base=weight_base,
                row_base=row_base,
                row_beats=rows.beats,
                row_blocks=blocks,
                column_base=column_base,
                column_beats=columns.beats,
                forward_noise_gain=stage.forward.noise_gain,
                forward_limit=stage.forward.limit,
                backward_noise_gain=stage.backward.noise_gain,
                backward_limit=stage.backward.limit,
                cycle_noise=stage.cycle_noise,
                cycle_gain=stage.cycle_gains,
                **_device_constants(stage),
            )
        )
        weight_base += blocks * columns.beats * lanes
        row_base += rows.beats
        column_base += columns.beats
    longest = max(len(array.cycle_gain) for array in settings)
    return tuple(_with_gains(array, longest) for array in settings)


def _with_gains(settings: CrossbarSettings, count: int) -> CrossbarSettings:
    """Settings with entries for as many coincidences as the longest trains have slots; no train reaches the new ones."""
    gains = settings.cycle_gain + (0,) * (count - len(settings.cycle_gain))
    return CrossbarSettings(**{**vars(settings), "cycle_gain": gains})


def _device_constants(stage: Stage) -> dict[str, int]:
    """docs/arithmetic.md sections 4 and 6: means and gains of the device's draws."""
    device, place = stage.array.device, f"{stage.place}.array"
    if stage.array.update.mode == "exact":
        raise ValueError(f"{place}.update.mode = exact: accepted: pulsed, on hardware")
    if device.model != DEVICE_MODEL:
        raise ValueError(f"{place}.device.model = {device.model}: accepted: {DEVICE_MODEL}, on hardware")
    fraction = stage.array.weight.fraction_bits
    step = math.ldexp(device.dw_min, step_fraction_bits(fraction))
    if device.w_max == "off":
        bound_mean, bound_gain = stage.weight_limit, 0
    else:
        bound = math.ldexp(device.w_max, fraction)
        bound_mean, bound_gain = round(bound), _gain(bound, device.w_max_dtod)
    return {
        "step_mean": round(step),
        "step_gain": _gain(step, device.dw_min_dtod),
        "ratio_gain": _gain(1 << RATIO_FRACTION_BITS, device.up_down_dtod / 2),
        "bound_mean": bound_mean,
        "bound_gain": bound_gain,
    }


def _gain(mean: float, deviation: float) -> int:
    return round(math.ldexp(mean * deviation / GAUSSIAN_DEVIATION, DRAW_FRACTION_BITS))


class CrossbarParameters(Parameters):
    """Sizes of memories and largest numbers of all arrays. The defaults are those of the arrays of preset ``tiny``."""

    lanes: int = Field(4, ge=1, le=64, description="lines per beat, a power of two")
    devices: int = Field(8, ge=1, le=64, description="rows that are worked on at once, a multiple of lanes")
    weight_words: int = Field(84, ge=1, le=1 << 20, description="columns of devices in the memory of weights")
    row_beats: int = Field(6, ge=1, le=1 << 16, description="beats of the rows of all arrays")
    column_beats: int = Field(18, ge=1, le=1 << 16, description="beats of the columns of all arrays")
    longest_rows: int = Field(3, ge=1, le=1 << 16, description="beats of the rows of the array with most")
    longest_columns: int = Field(10, ge=1, le=1 << 16, description="beats of the columns of the array with most")
    weight_bits: int = Field(18, ge=4, le=30, description="width of a weight, sign included")
    dac_fraction: int = Field(9, ge=1, le=14, description="LSB of a DAC code is 2**-n")
    adc_shift: int = Field(19, ge=1, le=41, description="from the analog sum to the ADC code")
    limit: int = Field(1536, ge=1, le=1 << 26, description="largest ADC code")
    noise_gain: int = Field(3892, ge=0, le=(1 << 40) - 1, description="largest gain of read noise")
    cycle_gain: int = Field(304, ge=0, le=(1 << 16) - 1, description="largest gain of cycle noise")
    step_mean: int = Field(2097, ge=0, le=1 << 26, description="largest mean step")
    step_gain: int = Field(623, ge=0, le=1 << 26, description="largest gain of a step's draw")
    ratio_gain: int = Field(649, ge=0, le=1 << 16, description="largest gain of a ratio's draw")
    bound_mean: int = Field(78643, ge=0, le=1 << 31, description="largest mean bound")
    bound_gain: int = Field(23351, ge=0, le=1 << 31, description="largest gain of a bound's draw")
    desired_bl: int = Field(1, ge=1, le=63, description="BL, most slots of a pulse train")
    move_shift: int = Field(14, ge=14, le=29, description="from a step times a factor to the LSB of the weight")
    stochastic_rounding: bool = Field(True, description="of a weight's change; else to nearest")
    generator_width: Annotated[Literal[32, 48, 64], IntegerChoice] = Field(
        64, description="bits of a noise generator's state"
    )
    serial: bool = Field(False, description="one device after the other, of 1 lane and 1 device: small and slow")
    weights_in_spram: bool = Field(False, description="serial: weights lie in SB_SPRAM256KA of an iCE40 UltraPlus")
    settings_held: bool = Field(
        False, description="serial: settings stay at their stream until the next, and are not copied"
    )

    @classmethod
    def of(cls, stage: Stage, lanes: int, devices: int | None = None) -> CrossbarParameters:
        """A crossbar for one array; ``devices`` rows at once (None: as many as lanes)."""
        return cls.of_stages([stage], lanes, lanes if devices is None else devices)

    @classmethod
    def of_stages(
        cls, stages: Sequence[Stage], lanes: int, devices: int, *, serial: bool = False
    ) -> CrossbarParameters:
        """A crossbar for several arrays. Raises ValueError if their weights, converters or generators differ in width or
        rounding, or as ``lay_out`` does."""
        arrays = lay_out(stages, lanes, devices)
        common = {}
        for name, field, values in (
            ("weight_bits", ".array.weight.bits", [stage.array.weight.bits for stage in stages]),
            ("dac_fraction", ".array.converters.dac_fraction_bits", [stage.dac_fraction for stage in stages]),
            (
                "adc_shift",
                ".array: weight.fraction_bits + converters.dac_fraction_bits - converters.adc_fraction_bits",
                [stage.adc_shift for stage in stages],
            ),
            (
                "move_shift",
                ".array: 10 + max(21, weight.fraction_bits + 4) - weight.fraction_bits",
                [stage.move_shift for stage in stages],
            ),
            (
                "stochastic_rounding",
                ".array: weight.rounding is stochastic",
                [stage.stochastic_rounding for stage in stages],
            ),
            ("generator_width", ": generator.width", [stage.generator_width for stage in stages]),
        ):
            for stage, value in zip(stages, values, strict=True):
                if value != values[0]:
                    raise ValueError(
                        f"{stage.place}{field} = {value}: accepted: {values[0]}, as layer {stages[0].name}, on hardware"
                    )
            common[name] = values[0]

        def most(*names: str) -> int:
            return max(getattr(array, name) for array in arrays for name in names)

        with plain_refusals():
            return cls(
                lanes=lanes,
                devices=devices,
                weight_words=sum(array.row_blocks * array.column_beats * lanes for array in arrays),
                row_beats=sum(array.row_beats for array in arrays),
                column_beats=sum(array.column_beats for array in arrays),
                longest_rows=most("row_beats"),
                longest_columns=most("column_beats"),
                limit=most("forward_limit", "backward_limit"),
                noise_gain=most("forward_noise_gain", "backward_noise_gain"),
                cycle_gain=max(max(array.cycle_gain) for array in arrays),
                step_mean=most("step_mean"),
                step_gain=most("step_gain"),
                ratio_gain=most("ratio_gain"),
                bound_mean=most("bound_mean"),
                bound_gain=most("bound_gain"),
                desired_bl=max(stage.array.update.desired_bl for stage in stages),
                serial=serial,
                settings_held=serial,
                **common,
            )

    @model_validator(mode="after")
    def _legal(self) -> CrossbarParameters:
        if self.lanes & self.lanes - 1:
            raise ValueError(f"lanes = {self.lanes}: accepted: powers of two")
        if self.devices % self.lanes:
            raise ValueError(f"devices = {self.devices}: accepted: multiples of lanes = {self.lanes}")
        if self.serial and self.devices > 1:
            raise ValueError(f"serial: accepted: with devices = 1, not {self.devices}")
        for name in ("settings_held", "weights_in_spram"):
            if getattr(self, name) and not self.serial:
                raise ValueError(f"{name}: accepted: with serial")
        return self

    # --- derived ----------------------------------------------------------------------------------------------------

    @property
    def groups(self) -> int:
        """Beats of a block of rows."""
        return self.devices // self.lanes

    @property
    def longest_beats(self) -> int:
        """Of either side of an array."""
        return max(self.longest_rows, self.longest_columns)

    @property
    def columns(self) -> int:
        """Places for columns of the array with most."""
        return self.longest_columns * self.lanes

    @property
    def weight_limit(self) -> int:
        return (1 << self.weight_bits - 1) - 1

    @property
    def code_bits(self) -> int:
        """Of a DAC code, sign included."""
        return self.dac_fraction + 2

    @property
    def largest_sum(self) -> int:
        """Of codes times weights, over the lines of either side."""
        return (self.weight_limit + 1 << self.dac_fraction) * self.longest_beats * self.lanes

    @property
    def largest_noise(self) -> int:
        return self.noise_gain * LARGEST_GAUSSIAN

    @property
    def largest_factor(self) -> int:
        """Of the steps that a device moves at once, CYCLE_FRACTION_BITS."""
        return (self.desired_bl << CYCLE_FRACTION_BITS) + drawn(0, self.cycle_gain)

    @property
    def largest_step(self) -> int:
        """Of a device's step, before its ratio."""
        return drawn(self.step_mean, self.step_gain)

    @property
    def largest_ratio(self) -> int:
        """Of half a device's ratio."""
        return drawn(0, self.ratio_gain)

    @property
    def largest_directed_step(self) -> int:
        """Of a device's step upwards or downwards."""
        one = 1 << RATIO_FRACTION_BITS
        return (self.largest_step * (one + self.largest_ratio) >> RATIO_FRACTION_BITS) + 1

    @property
    def largest_change(self) -> int:
        """Of a weight, rounded either way."""
        return (self.largest_directed_step * self.largest_factor >> self.move_shift) + 1

    @property
    def most_coincidences(self) -> int:
        """Of an update cycle."""
        return self.longest_rows * self.lanes * self.columns * self.desired_bl

    @property
    def settings(self) -> data.StructLayout:
        """The payload of stream ``settings``; fields as in CrossbarSettings."""
        return record(
            weight_base=width_for(self.weight_words - 1),
            row_base=width_for(self.row_beats - 1),
            row_beats=width_for(self.longest_rows),
            row_blocks=width_for(-(-self.longest_rows // self.groups)),
            column_base=width_for(self.column_beats - 1),
            column_beats=width_for(self.longest_columns),
            forward_noise_gain=width_for(self.noise_gain),
            forward_limit=width_for(self.limit),
            backward_noise_gain=width_for(self.noise_gain),
            backward_limit=width_for(self.limit),
            cycle_noise=1,
            cycle_gain=data.ArrayLayout(width_for(self.cycle_gain), self.desired_bl + 1),
            step_mean=width_for(self.step_mean),
            step_gain=width_for(self.step_gain),
            ratio_gain=width_for(self.ratio_gain),
            bound_mean=width_for(self.bound_mean),
            bound_gain=width_for(self.bound_gain),
        )


def drawn(mean: int, gain: int) -> int:
    """The largest magnitude of ``mean + rs(xi * gain, DRAW_FRACTION_BITS)``."""
    return mean + (LARGEST_GAUSSIAN * gain >> DRAW_FRACTION_BITS) + 1
