"""From the schema to integers: the arrays of a network with their shapes, gains, limits and tables.

A *stage* is one array with what follows it up to the next array: convolution or fully connected layer, activation,
and pooling where the list has it. Everything here is plain integers, shared by the golden model, the compiled
engine and the hardware.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from emulator.config.messages import toml_path
from emulator.fixed import (
    AVERAGE_BITS,
    CYCLE_FRACTION_BITS,
    DRAW_FRACTION_BITS,
    EXACT_FLOAT_BITS,
    FINEST_CONVERTER_BITS,
    GAIN_BITS,
    GAUSSIAN_DEVIATION,
    LARGEST_GAUSSIAN,
    PATH_BITS,
    STEP_BITS,
    UNBOUNDED_INTEGER_BITS,
    step_fraction_bits,
)

if TYPE_CHECKING:
    from emulator.config.schema import Array, Config, Convolution, FullyConnected, Read


#: Rounded to nearest, a mean step below this many LSBs of the weight is 0.
SMALLEST_NEAREST_STEP = 0.5


def mantissa_and_shift(value: float, bits: int) -> tuple[int, int]:
    """``value ~ mantissa * 2**-shift`` with ``2**(bits-1) <= mantissa < 2**bits``, for a positive value."""
    shift = bits - math.frexp(value)[1]
    mantissa = round(math.ldexp(value, shift))
    if mantissa == 1 << bits:
        mantissa, shift = mantissa >> 1, shift - 1
    return mantissa, shift


@dataclass(frozen=True)
class ReadQuantities:
    """Integers of one read direction."""

    noise_gain: int  # accumulator LSBs per LSB of the Gaussian word
    limit: int  # largest ADC code; reaching it sets the saturation flag
    noise_management: str
    constant_exponent: int
    bound_management: int


@dataclass(frozen=True)
class Stage:
    """One array of the network and the digital path to the next. ``height`` x ``width`` x ``channels`` go in."""

    config_name: str
    name: str
    index: int
    height: int
    width: int
    channels: int
    layer: Convolution | FullyConnected
    pooled: bool
    activation_bits: int
    activation_fraction: int
    error_bits: int
    learning_rate: float
    generator_width: int

    @property
    def place(self) -> str:
        """The path of the layer in a config, for messages."""
        return toml_path(("layers", self.name))

    @property
    def array(self) -> Array:
        return self.layer.array

    @property
    def convolutional(self) -> bool:
        return self.layer.type == "convolution"

    @property
    def kernel(self) -> int:
        return self.layer.kernel if self.layer.type == "convolution" else 1

    @property
    def output_height(self) -> int:
        return self.height - self.kernel + 1 if self.convolutional else 1

    @property
    def output_width(self) -> int:
        return self.width - self.kernel + 1 if self.convolutional else 1

    @property
    def rows(self) -> int:
        """M, outputs of the array."""
        return self.layer.outputs

    @property
    def inputs(self) -> int:
        """Inputs of the array without the bias line."""
        return self.kernel**2 * self.channels if self.convolutional else self.height * self.width * self.channels

    @property
    def columns(self) -> int:
        """N, inputs of the array, bias line included (it is the last)."""
        return self.inputs + self.layer.bias

    @property
    def positions(self) -> int:
        """ws, the weight-sharing factor: array reads per image and cycle."""
        return self.output_height * self.output_width

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Height, width, channels handed to the next stage, after pooling."""
        scale = 2 if self.pooled else 1
        return self.output_height // scale, self.output_width // scale, self.rows

    # --- the physical array -------------------------------------------------------------------------------------

    @property
    def replicate_rows(self) -> bool:
        """Replicas lie along the short side: more rows when the array is wider than high, else more columns."""
        return self.rows <= self.columns

    @property
    def physical_rows(self) -> int:
        return self.rows * (self.array.replication if self.replicate_rows else 1)

    @property
    def physical_columns(self) -> int:
        return self.columns * (1 if self.replicate_rows else self.array.replication)

    @property
    def average_guard_bits(self) -> int:
        """Fraction bits that the mean over replicas carries beyond the ADC's."""
        return (self.array.replication - 1).bit_length()

    @property
    def average_reciprocal(self) -> int:
        """Round(2**AVERAGE_BITS / replication)."""
        d = self.array.replication
        return ((2 << AVERAGE_BITS) + d) // (2 * d)

    @property
    def dac_fraction(self) -> int:
        bits = self.array.converters.dac_fraction_bits
        return FINEST_CONVERTER_BITS if bits == "off" else bits

    @property
    def adc_fraction(self) -> int:
        bits = self.array.converters.adc_fraction_bits
        return FINEST_CONVERTER_BITS if bits == "off" else bits

    @property
    def accumulator_fraction(self) -> int:
        """Fraction bits of the analog sum: DAC code times weight."""
        return self.dac_fraction + self.array.weight.fraction_bits

    @property
    def adc_shift(self) -> int:
        """From the analog sum to the ADC code."""
        return self.accumulator_fraction - self.adc_fraction

    def _read(self, read: Read) -> ReadQuantities:
        limit = (
            1 << (self.adc_fraction + UNBOUNDED_INTEGER_BITS)
            if read.bound == "off"
            else max(1, round(math.ldexp(read.bound, self.adc_fraction)))
        )
        return ReadQuantities(
            noise_gain=round(math.ldexp(read.noise, self.accumulator_fraction) / GAUSSIAN_DEVIATION),
            limit=limit,
            noise_management=read.noise_management,
            constant_exponent=read.constant_exponent if read.noise_management == "constant" else 0,
            bound_management=read.bound_management,
        )

    @cached_property
    def forward(self) -> ReadQuantities:
        return self._read(self.array.forward)

    @cached_property
    def backward(self) -> ReadQuantities:
        return self._read(self.array.backward)

    @property
    def error_magnitude_bits(self) -> int:
        return self.error_bits - 1

    @property
    def activation_magnitude_bits(self) -> int:
        return self.activation_bits - 1

    # --- update -------------------------------------------------------------------------------------------------

    @cached_property
    def pulse_power(self) -> tuple[int, int]:
        """C_x C_delta = eta / (BL dw_min) as mantissa and shift."""
        update = self.array.update
        return mantissa_and_shift(self.learning_rate / (update.desired_bl * self.array.device.dw_min), GAIN_BITS)

    @cached_property
    def pulse_gain(self) -> tuple[int, int]:
        """C_x = C_delta = sqrt(eta / (BL dw_min)) as mantissa and shift."""
        update = self.array.update
        gain = math.sqrt(self.learning_rate / (update.desired_bl * self.array.device.dw_min))
        return mantissa_and_shift(gain, GAIN_BITS)

    @cached_property
    def rate_gain(self) -> tuple[int, int]:
        """eta as mantissa and shift, for the exact update."""
        return mantissa_and_shift(self.learning_rate, GAIN_BITS)

    @property
    def generators_per_row_side(self) -> int:
        return -(-self.physical_rows // self.array.update.generator_sharing)

    @property
    def generators_per_column_side(self) -> int:
        return -(-self.physical_columns // self.array.update.generator_sharing)

    @property
    def stochastic_rounding(self) -> bool:
        """Whether the change of a weight is rounded up or down by chance, instead of to nearest."""
        return self.array.weight.rounding == "stochastic"

    @property
    def move_shift(self) -> int:
        """From the product of a step and a cycle factor to the LSB of the weight."""
        weight_fraction = self.array.weight.fraction_bits
        return CYCLE_FRACTION_BITS + step_fraction_bits(weight_fraction) - weight_fraction

    @property
    def cycle_noise(self) -> bool:
        """Whether moves depend on words that every line draws in an update cycle: for the cycle-to-cycle noise of their
        steps, or for their rounding."""
        return self.array.device.dw_min_std > 0 or self.stochastic_rounding

    @property
    def step_in_lsb(self) -> float:
        """dw_min in LSBs of the weight."""
        return math.ldexp(self.array.device.dw_min, self.array.weight.fraction_bits)

    @cached_property
    def cycle_gains(self) -> tuple[int, ...]:
        """For c = 0 .. BL coincidences: dw_min_std * sqrt(c) as a gain on the Gaussian word."""
        scale = 2.0 ** (CYCLE_FRACTION_BITS + DRAW_FRACTION_BITS) / GAUSSIAN_DEVIATION
        deviation = self.array.device.dw_min_std
        return tuple(round(deviation * math.sqrt(c) * scale) for c in range(self.array.update.desired_bl + 1))

    # --- devices ------------------------------------------------------------------------------------------------

    @property
    def weight_limit(self) -> int:
        """Largest magnitude of the weight word; the most negative code is not used."""
        return (1 << (self.array.weight.bits - 1)) - 1

    def validate(self) -> None:
        """Prove that no sum or product of this stage can leave its word. Raises ValueError naming the excess."""
        place = self.place
        array = self.array
        widest = max(self.physical_rows, self.physical_columns)
        sum_bits = self.dac_fraction + array.weight.bits - 1 + math.ceil(math.log2(widest)) + 1
        if sum_bits > EXACT_FLOAT_BITS - 1:
            raise ValueError(
                f"{place}.array: sums of DAC codes times weights need {sum_bits} bits: accepted: at most "
                f"{EXACT_FLOAT_BITS - 1}, so narrow the DAC, the weight or the array"
            )
        noisiest = max(self.forward.noise_gain, self.backward.noise_gain) * LARGEST_GAUSSIAN
        if noisiest.bit_length() > EXACT_FLOAT_BITS - 2:
            raise ValueError(f"{place}.array: read noise needs {noisiest.bit_length()} bits: accepted: at most 51")
        for side, read in (("forward", self.forward), ("backward", self.backward)):
            magnitude = self.activation_magnitude_bits if side == "forward" else self.error_magnitude_bits
            path = (
                read.limit.bit_length()
                + read.bound_management
                + max(
                    AVERAGE_BITS + self.average_guard_bits,
                    self.average_guard_bits + magnitude + (self.kernel**2 - 1).bit_length(),
                )
            )
            if path > PATH_BITS:
                raise ValueError(
                    f"{place}.array.{side}: ADC range, bound management, replication and scale need {path} bits: "
                    f"accepted: at most {PATH_BITS}"
                )
        finest = math.ldexp(1, -step_fraction_bits(array.weight.fraction_bits))
        if array.update.mode == "pulsed" and not 1 <= array.device.dw_min / finest <= 1 << STEP_BITS:
            raise ValueError(
                f"{place}.array.device.dw_min = {array.device.dw_min}: accepted: {finest} .. "
                f"{finest * 2**STEP_BITS}, the steps of this weight word"
            )
        if array.update.mode == "pulsed" and not self.stochastic_rounding and self.step_in_lsb < SMALLEST_NEAREST_STEP:
            least = math.ldexp(SMALLEST_NEAREST_STEP, -array.weight.fraction_bits)
            raise ValueError(
                f"{place}.array.device.dw_min = {array.device.dw_min}: {self.step_in_lsb:.3g} LSB of the weight, which "
                f"rounds to 0, so that no coincidence moves a weight: accepted: at least {least} with "
                "weight.rounding = nearest, or weight.rounding = stochastic"
            )
        if array.update.mode == "exact" and self.activation_fraction + self.rate_gain[1] < array.weight.fraction_bits:
            raise ValueError(
                f"{place}.array.weight.fraction_bits = {array.weight.fraction_bits}: accepted: at most "
                f"{self.activation_fraction + self.rate_gain[1]} with exact updates of this learning rate"
            )
        if math.isinf(self.learning_rate / (array.update.desired_bl * array.device.dw_min)):
            raise ValueError(
                f"{place}.array.device.dw_min = {array.device.dw_min}: accepted: a step by which the learning rate can be divided"
            )
        if self.convolutional and (self.output_height < 1 or self.output_width < 1):
            raise ValueError(
                f"{place}.kernel = {self.kernel}: accepted: at most {min(self.height, self.width)}, "
                f"the size of its input"
            )
        if self.pooled and (self.output_height < 2 or self.output_width < 2):
            raise ValueError(
                f"{place}: {self.output_height} x {self.output_width} outputs before max_pooling: "
                f"accepted: at least 2 x 2"
            )


def build_stages(config: Config) -> tuple[Stage, ...]:
    """The stages of a network, validated. Raises ValueError on a list of layers that makes no network."""
    names = list(config.layers)
    layers = list(config.layers.values())
    if layers[-1].type != "fully_connected":
        place = toml_path(("layers", names[-1]))
        raise ValueError(f"{place}.type = {layers[-1].type}: accepted: fully_connected as the last layer")
    height, width, channels = config.input.height, config.input.width, 1
    stages: list[Stage] = []
    flat = False
    for position, (name, layer) in enumerate(zip(names, layers, strict=True)):
        place = toml_path(("layers", name))
        if layer.type == "max_pooling":
            if position == 0 or layers[position - 1].type != "convolution":
                raise ValueError(f"{place}.type = max_pooling: accepted: directly after a convolution")
            continue
        if layer.type == "convolution" and flat:
            raise ValueError(f"{place}.type = convolution: accepted: before the first fully_connected layer")
        flat = layer.type == "fully_connected"
        last = position == len(layers) - 1
        if (layer.activation == "softmax") != last:
            wanted = "softmax, on the last layer" if last else "tanh, identity, but on the last layer"
            raise ValueError(f"{place}.activation = {layer.activation}: accepted: {wanted}")
        if last and layer.outputs != config.classes:
            raise ValueError(f"{place}.outputs = {layer.outputs}: accepted: classes = {config.classes}")
        stage = Stage(
            config_name=config.name,
            name=name,
            index=len(stages),
            height=height,
            width=width,
            channels=channels,
            layer=layer,
            pooled=position + 1 < len(layers) and layers[position + 1].type == "max_pooling",
            activation_bits=config.formats.activation_bits,
            activation_fraction=config.formats.activation_fraction_bits,
            error_bits=config.formats.error_bits,
            learning_rate=config.learning_rate,
            generator_width=config.generator.width,
        )
        stage.validate()
        stages.append(stage)
        height, width, channels = stage.output_shape
    return tuple(stages)
