"""Parameters of the tile, and of the blocks that it is composed of."""

from __future__ import annotations

from itertools import accumulate
from typing import Any, Literal

from pydantic import Field, model_validator

from emulator.config import Stage
from emulator.fixed import GAIN_BITS, LARGEST_EXPONENT, RECIPROCAL_GUARD_BITS
from hdl.block import Parameters
from hdl.periphery.average import AverageParameters
from hdl.periphery.noise_management import NoiseManagementParameters
from hdl.periphery.pulse_generator import PulseGeneratorParameters
from hdl.periphery.replicate import ReplicateParameters
from hdl.periphery.scaler import ScalerParameters
from hdl.periphery.update_management import UpdateManagementParameters
from hdl.shapes import Segments

Mode = Literal["none", "constant", "power_of_two", "exact"]


class TileParameters(Parameters):
    lanes: int = Field(4, ge=1, le=64, description="lines per beat")
    rows: int = Field(5, ge=1, le=4096, description="M, outputs of the array")
    column_segments: tuple[int, ...] = Field(
        (3, 3, 3, 3, 1), min_length=1, description="segments of the N inputs, bias last"
    )
    replication: int = Field(1, ge=1, le=64, description="devices per weight, along the short side")
    activation_bits: int = Field(16, ge=4, le=16, description="activation word, signed")
    activation_fraction: int = Field(12, ge=2, le=14, description="LSB of an activation is 2**-n")
    error_bits: int = Field(16, ge=4, le=16, description="error mantissa, signed")
    dac_fraction: int = Field(9, ge=1, le=14, description="LSB of a DAC code is 2**-n")
    forward_limit: int = Field(1536, ge=1, le=1 << 26, description="largest ADC code, forward")
    forward_noise_management: Mode = Field("none", description="scaling before the DAC, forward")
    forward_constant_exponent: int = Field(0, ge=-8, le=24, description="for noise management 'constant'")
    forward_bound_management: int = Field(6, ge=0, le=12, description="most halvings, forward")
    backward_limit: int = Field(1536, ge=1, le=1 << 26, description="largest ADC code, backward")
    backward_noise_management: Mode = Field("exact", description="scaling before the DAC, backward")
    backward_constant_exponent: int = Field(0, ge=-8, le=24, description="for noise management 'constant'")
    backward_bound_management: int = Field(6, ge=0, le=12, description="most halvings, backward")
    update_management: Literal["none", "power_of_two", "exact"] = Field("exact", description="gains of the pulses")
    gain: tuple[int, int] = Field((51811, 14), description="C = sqrt(eta / (BL dw_min)), mantissa and shift")
    power: tuple[int, int] = Field((40960, 12), description="C**2, mantissa and shift")
    desired_bl: int = Field(1, ge=1, le=63, description="BL, slots of a pulse train")
    probability_bits: int = Field(24, ge=2, le=24, description="pulse probability word, 1.0 included")
    generator_width: Literal[32, 48, 64] = Field(64, description="state bits of a pulse generator")
    generator_sharing: int = Field(1, ge=1, le=24, description="neighbouring lines that share a pulse generator")
    radix: Literal[2, 4] = Field(2, description="of the dividers and the square root")

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> TileParameters:
        """The tile of a network's stage: the pixels of a patch, or of the whole input, are segments of the columns.
        Raises ValueError for an exact update, which no array has."""
        array = stage.array
        if array.update.mode == "exact":
            raise ValueError(f"layers.{stage.name}.array.update.mode = exact: accepted: pulsed, on hardware")
        pixels = stage.inputs // stage.channels
        return cls(
            lanes=lanes,
            rows=stage.rows,
            column_segments=(stage.channels,) * pixels + (1,) * stage.layer.bias,
            replication=array.replication,
            activation_bits=stage.activation_bits,
            activation_fraction=stage.activation_fraction,
            error_bits=stage.error_bits,
            dac_fraction=stage.dac_fraction,
            **_read_parameters("forward", stage),
            **_read_parameters("backward", stage),
            update_management=array.update.management,
            gain=stage.pulse_gain,
            power=stage.pulse_power,
            desired_bl=array.update.desired_bl,
            probability_bits=array.update.probability_bits,
            generator_width=stage.generator_width,
            generator_sharing=array.update.generator_sharing,
        )

    @model_validator(mode="after")
    def _legal(self) -> TileParameters:
        if self.lanes % self.generator_sharing:
            raise ValueError(
                f"generator_sharing = {self.generator_sharing}: accepted: divisors of lanes = {self.lanes}"
            )
        for name, lengths, copies in (
            ("rows", (self.rows,), self.row_copies),
            ("column_segments", self.column_segments, self.column_copies),
        ):
            starts = accumulate(lengths * copies, initial=0)
            if any(start % self.generator_sharing for start in list(starts)[:-1]):
                raise ValueError(
                    f"generator_sharing = {self.generator_sharing}: accepted: a divisor of the first line of every "
                    f"segment of {name}, so that lines which share a generator lie in one beat"
                )
        lowest, highest = self.pulse_shifts
        if lowest < -128 or highest > 127:
            raise ValueError(
                f"gain, power = {self.gain}, {self.power}: pulse shifts {lowest} .. {highest}: accepted: 8 bits"
            )
        return self

    # --- derived ----------------------------------------------------------------------------------------------------

    @property
    def columns(self) -> Segments:
        return Segments(self.column_segments, self.lanes)

    @property
    def row_lines(self) -> Segments:
        return Segments((self.rows,), self.lanes)

    @property
    def replicate_rows(self) -> bool:
        return self.rows <= self.columns.elements

    @property
    def row_copies(self) -> int:
        return self.replication if self.replicate_rows else 1

    @property
    def column_copies(self) -> int:
        return 1 if self.replicate_rows else self.replication

    @property
    def line_beats(self) -> int:
        """Beats of an update cycle: all columns, then all rows."""
        return self.columns.beats * self.column_copies + self.row_lines.beats * self.row_copies

    @property
    def activation_magnitude_bits(self) -> int:
        return self.activation_bits - 1

    @property
    def error_magnitude_bits(self) -> int:
        return self.error_bits - 1

    @property
    def magnitude_bits(self) -> int:
        """Of an element of either side."""
        return max(self.activation_magnitude_bits, self.error_magnitude_bits)

    @property
    def guard_bits(self) -> int:
        return (self.replication - 1).bit_length()

    @property
    def limit(self) -> int:
        """Of an ADC code of either direction."""
        return max(self.forward_limit, self.backward_limit)

    @property
    def halvings(self) -> int:
        return max(self.forward_bound_management, self.backward_bound_management)

    @property
    def reading_limit(self) -> int:
        """Of a code with its halvings taken back."""
        return self.limit << self.halvings

    @property
    def pulse_shifts(self) -> tuple[int, int]:
        """Lowest and highest shift of update management, over all maxima and exponents."""
        q, bits = self.activation_fraction, self.probability_bits
        if self.update_management == "exact":
            exponent = q + self.power[1]
            product = self.activation_magnitude_bits + self.error_magnitude_bits + 16
            # root exponent (exponent + places) / 2 with places -(product - 32) - 1 .. 32, then 16 - (1 .. 16) and pb.
            return (exponent + 31 - product) // 2 - bits, (exponent + LARGEST_EXPONENT + 32) // 2 + 16 - bits
        most = self.error_magnitude_bits + q
        least = -LARGEST_EXPONENT - self.activation_magnitude_bits + q
        lowest_half, highest_half = (least >> 1, most >> 1) if self.update_management == "power_of_two" else (0, 0)
        base = self.gain[1] - bits
        return (
            min(q + base - highest_half, base + lowest_half),
            max(q + base - lowest_half, LARGEST_EXPONENT + base + highest_half),
        )

    @property
    def lines(self) -> int:
        """Of the side with more of them, physical."""
        return max(self.rows * self.row_copies, self.columns.elements * self.column_copies)

    @property
    def sensed_beats(self) -> int:
        """Of a read, in the direction with more of them."""
        return max(self.columns.beats * self.column_copies, self.row_lines.beats * self.row_copies)

    # --- of the blocks ----------------------------------------------------------------------------------------------

    def replicate(self, side: str) -> ReplicateParameters:
        columns = side == "columns"
        return ReplicateParameters(
            lanes=self.lanes,
            magnitude_bits=self.activation_magnitude_bits if columns else self.error_magnitude_bits,
            beats=self.columns.beats if columns else self.row_lines.beats,
            copies=self.column_copies if columns else self.row_copies,
        )

    def noise_management(self, direction: str) -> NoiseManagementParameters:
        """The maximum's width is that of either side: it does not enter into the result."""
        forward = direction == "forward"
        mode = self.forward_noise_management if forward else self.backward_noise_management
        exponent = self.forward_constant_exponent if forward else self.backward_constant_exponent
        return NoiseManagementParameters(
            mode=mode,
            constant_exponent=exponent if mode == "constant" else 0,
            magnitude_bits=self.magnitude_bits,
            dac_fraction=self.dac_fraction,
            radix=self.radix,
        )

    def _drive_shifts(self, direction: str) -> tuple[int, int]:
        """Lowest and highest shift in front of the DAC, halvings included."""
        forward = direction == "forward"
        noise = self.noise_management(direction)
        halvings = self.forward_bound_management if forward else self.backward_bound_management
        fractions = (self.activation_fraction,) * 2 if forward else (0, LARGEST_EXPONENT)
        if noise.mode == "exact":
            lowest, highest = RECIPROCAL_GUARD_BITS, self.magnitude_bits + RECIPROCAL_GUARD_BITS
        elif noise.mode == "power_of_two":
            lowest, highest = -self.dac_fraction, self.magnitude_bits - self.dac_fraction
        else:
            lowest, highest = (fraction - self.dac_fraction - noise.constant_exponent for fraction in fractions)
        return lowest, highest + halvings

    @property
    def converter(self) -> ScalerParameters:
        """Elements to DAC codes."""
        shifts = [self._drive_shifts(direction) for direction in ("forward", "backward")]
        return ScalerParameters(
            lanes=self.lanes,
            magnitude_bits=self.magnitude_bits,
            multiplier_bits=self.noise_management("forward").multiplier_bits,
            lowest_shift=min(lowest for lowest, _ in shifts),
            highest_shift=max(highest for _, highest in shifts),
            limit=1 << self.dac_fraction,
            sideband_bits=1,
        )

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
        )

    def average(self, direction: str) -> AverageParameters:
        """The mean over the copies of the sensed side; where the driven side is replicated the array has summed."""
        forward = direction == "forward"
        return AverageParameters(
            lanes=self.lanes,
            magnitude_bits=self.reading_limit.bit_length(),
            beats=self.row_lines.beats if forward else self.columns.beats,
            copies=self.row_copies if forward else self.column_copies,
            replication=self.replication,
        )

    @property
    def scale_back(self) -> ScalerParameters:
        """Means times noise management's scale; forward also back to the ADC's LSB. Wide enough never to saturate."""
        mode = self.forward_noise_management
        fraction = {"none": 0, "constant": self.forward_constant_exponent}.get(mode, self.activation_fraction)
        shift = fraction + self.guard_bits
        mean_bits = max(self.average(direction).mean_magnitude_bits for direction in ("forward", "backward"))
        scale_bits = self.magnitude_bits + 1
        return ScalerParameters(
            lanes=self.lanes,
            magnitude_bits=mean_bits,
            multiplier_bits=scale_bits,
            lowest_shift=min(0, shift),
            highest_shift=max(0, shift),
            limit=(1 << (mean_bits + scale_bits + max(0, -shift))) - 1,
            sideband_bits=1,
        )

    @property
    def update_management_parameters(self) -> UpdateManagementParameters:
        return UpdateManagementParameters(
            mode=self.update_management,
            x_magnitude_bits=self.magnitude_bits,
            delta_magnitude_bits=self.magnitude_bits,
            x_fraction=self.activation_fraction,
            gain=self.gain,
            power=self.power,
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
            multiplier_bits=GAIN_BITS + 1,
            lowest_shift=lowest,
            highest_shift=highest,
            limit=1 << self.probability_bits,
            sideband_bits=1,
        )

    @property
    def pulse_generator(self) -> PulseGeneratorParameters:
        return PulseGeneratorParameters(
            lanes=self.lanes,
            beats=self.line_beats,
            desired_bl=self.desired_bl,
            probability_bits=self.probability_bits,
            generator_width=self.generator_width,
            generator_sharing=self.generator_sharing,
            sideband_bits=1,
        )


def _read_parameters(direction: str, stage: Stage) -> dict[str, Any]:
    read = stage.forward if direction == "forward" else stage.backward
    return {
        f"{direction}_limit": read.limit,
        f"{direction}_noise_management": read.noise_management,
        f"{direction}_constant_exponent": read.constant_exponent,
        f"{direction}_bound_management": read.bound_management,
    }
