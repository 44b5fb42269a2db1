"""Parameters of the tile, what its hardware can hold; and of the blocks that it is composed of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from itertools import chain
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from emulator.config import Stage
from emulator.config.schema import IntegerChoice
from emulator.fixed import GAIN_BITS, LARGEST_EXPONENT, RECIPROCAL_GUARD_BITS
from hdl.block import Parameters, plain_refusals
from hdl.network.array_lines import ArrayLines
from hdl.periphery.average import AverageParameters
from hdl.periphery.bound_management import LARGEST_LIMIT, BoundManagementParameters
from hdl.periphery.max_search import MaxSearchParameters
from hdl.periphery.noise_management import NoiseManagementParameters, NoiseMode
from hdl.periphery.pulse_generator import PulseGeneratorParameters
from hdl.periphery.replicate import ReplicateParameters
from hdl.periphery.scaler import ScalerParameters
from hdl.periphery.update_management import UpdateManagementParameters, UpdateMode

Shifts = tuple[Annotated[int, Field(ge=-128, le=127)], Annotated[int, Field(ge=-128, le=127)]]

#: Formats that all arrays of a tile share, and where the config has them below a layer; None: for the whole network.
SHARED_FORMATS = {
    "activation_bits": None,
    "activation_fraction": None,
    "error_bits": None,
    "generator_width": None,
    "dac_fraction": "array.converters.dac_fraction_bits",
    "probability_bits": "array.update.probability_bits",
    "generator_sharing": "array.update.generator_sharing",
}


class TileParameters(Parameters):
    lanes: int = Field(4, ge=1, le=64, description="lines per beat")
    activation_bits: int = Field(16, ge=4, le=16, description="activation word, signed")
    activation_fraction: int = Field(12, ge=2, le=14, description="LSB of an activation is 2**-n")
    error_bits: int = Field(16, ge=4, le=16, description="error mantissa, signed")
    dac_fraction: int = Field(9, ge=1, le=14, description="LSB of a DAC code is 2**-n")
    limit: int = Field(1536, ge=1, le=1 << 26, description="largest ADC code, of both directions")
    forward_modes: tuple[NoiseMode, ...] = Field(("none",), min_length=1, description="noise managements, forward")
    backward_modes: tuple[NoiseMode, ...] = Field(("exact",), min_length=1, description="noise managements, backward")
    update_modes: tuple[UpdateMode, ...] = Field(("exact",), min_length=1, description="update managements")
    column_beats: int = Field(5, ge=1, le=65536, description="most beats of an x, or of one copy of the columns")
    row_beats: int = Field(2, ge=1, le=65536, description="most beats of a delta, or of one copy of the rows")
    fewest_beats: int = Field(2, ge=1, le=65536, description="fewest beats of one copy of a side")
    column_copies: int = Field(1, ge=1, le=64, description="most copies of the columns")
    row_copies: int = Field(1, ge=1, le=64, description="most copies of the rows")
    replications: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (1,), min_length=1, description="devices per weight: all that occur"
    )
    sensed_beats: int = Field(5, ge=1, le=65536, description="most beats of a read, copies included")
    lines: int = Field(13, ge=1, le=1 << 20, description="most lines of a side, copies included")
    halvings: int = Field(6, ge=0, le=LARGEST_LIMIT, description="most halvings of bound management")
    desired_bl: int = Field(1, ge=1, le=63, description="largest BL, slots of a pulse train")
    probability_bits: int = Field(24, ge=2, le=24, description="pulse probability word, 1.0 included")
    generator_width: Annotated[Literal[32, 48, 64], IntegerChoice] = Field(
        64, description="state bits of a pulse generator"
    )
    generator_sharing: int = Field(1, ge=1, le=24, description="neighbouring lines that share a pulse generator")
    pulse_beats: int = Field(
        7, ge=1, le=65536, description="beats whose generators are kept: update cycles of all arrays"
    )
    fewest_update_beats: int = Field(7, ge=1, le=65536, description="beats of the shortest update cycle")
    drive_shifts: Shifts = Field((3, 25), description="lowest and highest shift in front of the DAC, halvings included")
    scale_shifts: Shifts = Field((0, 0), description="lowest and highest shift behind the scale")
    pulse_shifts: Shifts = Field((-19, 39), description="lowest and highest shift of update management")
    radix: Annotated[Literal[2, 4], IntegerChoice] = Field(4, description="of the dividers and the square root")
    compact: bool = Field(False, description="small and slow: a command at a time, serial scalers")
    settings_held: bool = Field(False, description="settings stay at their stream until the next, and are not copied")

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> TileParameters:
        """The tile of one array. Raises ValueError for an exact update, which no array has, for generators that are
        shared across beats, and for more than there are words for."""
        return cls.of_stages([stage], lanes)

    @classmethod
    def of_stages(cls, stages: Sequence[Stage], lanes: int, *, compact: bool = False) -> TileParameters:
        """The tile of all arrays of a network, the union of what they need. Raises ValueError as ``of``, and where they
        differ in a format that is no setting."""
        _check_sharing(stages, lanes)
        each = [_needs(stage, lanes) for stage in stages]
        for name, path in SHARED_FORMATS.items():
            for stage, needs in zip(stages, each, strict=True):
                if needs[name] != each[0][name]:
                    field = f"{stage.place}.{path}" if path else f"{name} of {stage.place}"
                    given, wanted = (
                        (_value_at(stage, path), _value_at(stages[0], path)) if path else (needs[name], each[0][name])
                    )
                    raise ValueError(f"{field} = {given}: accepted: {wanted}, as layer {stages[0].name}, on hardware")
        united = {name: _united(name, [needs[name] for needs in each]) for name in each[0]}
        pulse_beats = sum(ArrayLines.of(stage, lanes).update_beats for stage in stages)
        with plain_refusals():
            return cls(lanes=lanes, **united, pulse_beats=pulse_beats, compact=compact, settings_held=compact)

    @model_validator(mode="after")
    def _legal(self) -> TileParameters:
        if self.lanes % self.generator_sharing:
            raise ValueError(
                f"generator_sharing = {self.generator_sharing}: accepted: divisors of lanes = {self.lanes}"
            )
        return self

    def lacks(self, needed: TileParameters, pulse_base: int) -> str:
        """What that tile holds and this one does not, its generators beginning at ``pulse_base`` here; "" if nothing."""
        needed = needed.model_copy(update={"pulse_beats": pulse_base + needed.pulse_beats})
        lacking = []
        for name in type(self).model_fields:
            own, other = getattr(self, name), getattr(needed, name)
            enough = own == other if name in SHARED_FORMATS else _united(name, [own, other]) == own
            if not enough and name not in ("lanes", "radix", "compact", "settings_held"):
                lacking.append(f"{name} = {other}")
        return ", ".join(lacking)

    # --- derived ----------------------------------------------------------------------------------------------------

    @property
    def magnitude_bits(self) -> int:
        """Of an element of either side."""
        return max(self.activation_bits, self.error_bits) - 1

    @property
    def divides(self) -> bool:
        """Whether noise management has multipliers other than 1."""
        return "exact" in (*self.forward_modes, *self.backward_modes)

    @property
    def direct(self) -> bool:
        """Compact and without means: halvings are taken back by the scaler that takes the scale back."""
        return self.compact and not self.average.scales and self.average.copies == 1

    @property
    def reading_limit(self) -> int:
        """Of a code with its halvings taken back."""
        return self.limit << self.halvings

    # --- of the blocks ----------------------------------------------------------------------------------------------

    def replicate(self, side: str) -> ReplicateParameters:
        columns = side == "columns"
        return ReplicateParameters(
            lanes=self.lanes,
            magnitude_bits=(self.activation_bits if columns else self.error_bits) - 1,
            beats=self.column_beats if columns else self.row_beats,
            copies=self.column_copies if columns else self.row_copies,
        )

    @property
    def max_search(self) -> MaxSearchParameters:
        return MaxSearchParameters(lanes=self.lanes, magnitude_bits=self.magnitude_bits)

    @property
    def noise_management(self) -> NoiseManagementParameters:
        """Of both directions. The maximum's width is that of either side: it does not enter into the result."""
        return NoiseManagementParameters(
            modes=_united("modes", [self.forward_modes, self.backward_modes]),
            magnitude_bits=self.magnitude_bits,
            dac_fraction=self.dac_fraction,
            radix=self.radix,
        )

    @property
    def converter(self) -> ScalerParameters:
        """Elements to DAC codes."""
        lowest, highest = self.drive_shifts
        return ScalerParameters(
            lanes=self.lanes,
            magnitude_bits=self.magnitude_bits,
            multiplier_bits=0 if self.compact and not self.divides else self.noise_management.multiplier_bits,
            lowest_shift=lowest,
            highest_shift=highest,
            limit=1 << self.dac_fraction,
            sideband_bits=1,
            serial=self.compact,
        )

    @property
    def bound_management(self) -> BoundManagementParameters:
        return BoundManagementParameters(limit=self.halvings)

    @property
    def restore(self) -> ScalerParameters:
        """ADC codes times two to the halvings: a shift to the left."""
        return ScalerParameters(
            lanes=self.lanes,
            magnitude_bits=self.limit.bit_length(),
            multiplier_bits=0,
            lowest_shift=-self.halvings,
            highest_shift=0,
            limit=self.reading_limit,
            serial=self.compact,
        )

    @property
    def average(self) -> AverageParameters:
        """The mean over the copies of the sensed side; where the driven side is replicated the array has summed."""
        return AverageParameters(
            lanes=self.lanes,
            magnitude_bits=self.reading_limit.bit_length(),
            fewest_beats=self.fewest_beats,
            beats=max(self.column_beats, self.row_beats),
            copies=max(self.column_copies, self.row_copies),
            replications=self.replications,
        )

    @property
    def scale_back(self) -> ScalerParameters:
        """Means times noise management's scale; forward also back to the ADC's LSB. Wide enough never to saturate."""
        lowest, highest = self.scale_shifts
        mean_bits, scale_bits = self.average.mean_magnitude_bits, self.magnitude_bits + 1
        if self.direct:
            mean_bits, lowest = self.limit.bit_length(), lowest - self.halvings
        return ScalerParameters(
            lanes=self.lanes,
            magnitude_bits=mean_bits,
            multiplier_bits=scale_bits,
            lowest_shift=lowest,
            highest_shift=highest,
            limit=(1 << (mean_bits + scale_bits + max(0, -lowest))) - 1,
            sideband_bits=1,
            serial=self.compact,
        )

    @property
    def update_management(self) -> UpdateManagementParameters:
        return UpdateManagementParameters(
            modes=self.update_modes,
            x_magnitude_bits=self.magnitude_bits,
            delta_magnitude_bits=self.magnitude_bits,
            x_fraction=self.activation_fraction,
            probability_bits=self.probability_bits,
            radix=self.radix,
        )

    @property
    def probability(self) -> ScalerParameters:
        """Elements to probability words."""
        lowest, highest = self.pulse_shifts
        return ScalerParameters(
            lanes=self.lanes,
            magnitude_bits=self.magnitude_bits,
            multiplier_bits=GAIN_BITS + ("exact" in self.update_modes or not self.compact),
            lowest_shift=lowest,
            highest_shift=highest,
            limit=1 << self.probability_bits,
            sideband_bits=1,
            serial=self.compact,
        )

    @property
    def pulse_generator(self) -> PulseGeneratorParameters:
        return PulseGeneratorParameters(
            lanes=self.lanes,
            beats=self.pulse_beats,
            fewest_beats=self.fewest_update_beats,
            desired_bl=self.desired_bl,
            probability_bits=self.probability_bits,
            generator_width=self.generator_width,
            generator_sharing=self.generator_sharing,
            sideband_bits=1,
            serial=self.compact,
        )


def _united(name: str, values: Sequence[Any]) -> Any:
    """What holds all of the values of a field. Shared formats do not differ."""
    if name in SHARED_FORMATS:
        return values[0]
    if name.endswith("_shifts"):
        return min(lowest for lowest, _ in values), max(highest for _, highest in values)
    if isinstance(values[0], tuple):
        return tuple(dict.fromkeys(chain.from_iterable(values)))
    return min(values) if name.startswith("fewest") else max(values)


def _value_at(stage: Stage, path: str) -> Any:
    """What the config of a layer has at a path below it."""
    return reduce(getattr, path.split("."), stage.layer)


def _check_sharing(stages: Sequence[Stage], lanes: int) -> None:
    """Raises ValueError if lines that share a pulse generator would lie in different beats of a tile of these arrays."""
    common = math.gcd(*(ArrayLines.of(stage, lanes).shareable for stage in stages))
    for stage in stages:
        sharing = stage.array.update.generator_sharing
        if common % sharing:
            possible = ", ".join(str(number) for number in range(1, common + 1) if common % number == 0)
            raise ValueError(
                f"{stage.place}.array.update.generator_sharing = {sharing}: accepted: {possible} on hardware, where lines "
                f"that share a generator lie in one beat; machines golden and fast run it"
            )


def _needs(stage: Stage, lanes: int) -> dict[str, Any]:
    """The parameters of the tile of one array, but lanes and the depth of the pulse generators' memory."""
    array, lines = stage.array, ArrayLines.of(stage, lanes)
    if array.update.mode == "exact":
        raise ValueError(f"{stage.place}.array.update.mode = exact: accepted: pulsed, on hardware")
    reads = (stage.forward, stage.backward)
    drive_shifts = [_drive_shifts(stage, direction) for direction in ("forward", "backward")]
    return {
        "activation_bits": stage.activation_bits,
        "activation_fraction": stage.activation_fraction,
        "error_bits": stage.error_bits,
        "dac_fraction": stage.dac_fraction,
        "limit": max(read.limit for read in reads),
        "forward_modes": (stage.forward.noise_management,),
        "backward_modes": (stage.backward.noise_management,),
        "update_modes": (array.update.management,),
        "column_beats": lines.columns.beats,
        "row_beats": lines.rows.beats,
        "fewest_beats": min(lines.columns.beats, lines.rows.beats),
        "column_copies": lines.column_copies,
        "row_copies": lines.row_copies,
        "replications": (array.replication,),
        "sensed_beats": max(lines.physical_columns.beats, lines.physical_rows.beats),
        "lines": max(lines.physical_columns.elements, lines.physical_rows.elements),
        "halvings": max(read.bound_management for read in reads),
        "desired_bl": array.update.desired_bl,
        "probability_bits": array.update.probability_bits,
        "generator_width": stage.generator_width,
        "generator_sharing": array.update.generator_sharing,
        "fewest_update_beats": lines.update_beats,
        "drive_shifts": _united("drive_shifts", drive_shifts),
        "scale_shifts": _scale_shifts(stage),
        "pulse_shifts": _pulse_shifts(stage),
    }


def _drive_shifts(stage: Stage, direction: str) -> tuple[int, int]:
    """Lowest and highest shift in front of the DAC, halvings included."""
    forward = direction == "forward"
    read = stage.forward if forward else stage.backward
    magnitude_bits = max(stage.activation_magnitude_bits, stage.error_magnitude_bits)
    fractions = (stage.activation_fraction,) * 2 if forward else (0, LARGEST_EXPONENT)
    if read.noise_management == "exact":
        lowest, highest = RECIPROCAL_GUARD_BITS, magnitude_bits + RECIPROCAL_GUARD_BITS
    elif read.noise_management == "power_of_two":
        lowest, highest = -stage.dac_fraction, magnitude_bits - stage.dac_fraction
    else:
        lowest, highest = (fraction - stage.dac_fraction - read.constant_exponent for fraction in fractions)
    return lowest, highest + read.bound_management


def _scale_shifts(stage: Stage) -> tuple[int, int]:
    """Forward back to the ADC's LSB, backward none."""
    read = stage.forward
    divided = read.noise_management in ("power_of_two", "exact")
    shift = (stage.activation_fraction if divided else read.constant_exponent) + stage.average_guard_bits
    return min(0, shift), max(0, shift)


def _pulse_shifts(stage: Stage) -> tuple[int, int]:
    magnitude_bits = max(stage.activation_magnitude_bits, stage.error_magnitude_bits)
    parameters = UpdateManagementParameters.of(stage, 1).model_copy(
        update={"x_magnitude_bits": magnitude_bits, "delta_magnitude_bits": magnitude_bits}
    )
    try:
        return parameters.shift_range(stage.array.update.management, stage.pulse_gain, stage.pulse_power)
    except ValueError as error:
        update, device = stage.array.update, stage.array.device
        raise ValueError(
            f"{stage.place}.array: learning_rate = {stage.learning_rate} with update.desired_bl = {update.desired_bl} and "
            f"device.dw_min = {device.dw_min}: {error}, on hardware"
        ) from error
