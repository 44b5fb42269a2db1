"""The schema: every parameter of a run, with its unit or Q-format and the accepted range.

Field terms follow the paper (Gokmen, Onen, Haensch 2017) and, where it has none, the field's main simulator.
All models are frozen and refuse unknown fields and values of another type (emulator/frozen.py).
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, Union

from pydantic import BeforeValidator, Field, field_validator, model_validator

from emulator.array.devices import DEVICE_MODELS, Device
from emulator.array.devices.constant_step import ConstantStep
from emulator.config.messages import shown
from emulator.config.stages import Stage, build_stages
from emulator.fixed import ARITHMETIC_VERSION
from emulator.frozen import Frozen, IntegerChoice

Off = Literal["off"]
Management = Literal["none", "exact", "power_of_two"]
NoiseManagement = Literal["none", "exact", "power_of_two", "constant"]


class Read(Frozen):
    """One direction of reading an array (forward: columns to rows; backward: rows to columns)."""

    noise: float = Field(0.06, ge=0, le=4, description="read noise, standard deviation, in units of the output")
    bound: Annotated[float, Field(gt=0, le=1024)] | Off = Field(
        12.0, description="output bound alpha, in units of the output, or off"
    )
    noise_management: NoiseManagement = Field("none", description="scaling of the input vector before the DAC")
    constant_exponent: int = Field(
        0, ge=-8, le=24, description="for noise management 'constant': inputs are divided by 2**-constant_exponent"
    )
    bound_management: int = Field(0, ge=0, le=12, description="most halvings of the input when an output saturates")


class Update(Frozen):
    """The rank-one update of an array."""

    mode: Literal["pulsed", "exact"] = Field(
        "pulsed",
        description="stochastic pulses, or the outer product of an ideal digital multiplier (FP-baseline); on hardware pulsed",
    )
    desired_bl: int = Field(10, ge=1, le=63, description="BL, slots of a pulse train")
    management: Management = Field("none", description="update management, m = sqrt(delta_max / x_max)")
    probability_bits: int = Field(24, ge=2, le=24, description="pulse probability word, Q0.n, 1.0 included")
    generator_sharing: int = Field(
        1,
        ge=1,
        le=24,
        description="neighbouring lines that share one pulse generator, each with its own rotation; on hardware 1",
    )


class Converters(Frozen):
    """The DAC and the ADC of an array. "off" is the finest resolution that the arithmetic carries."""

    dac_fraction_bits: Annotated[int, Field(ge=1, le=14)] | Off = Field(
        9, description="DAC code: sign and n bits of pulse duration, LSB 2**-n, 1.0 included"
    )
    adc_fraction_bits: Annotated[int, Field(ge=1, le=14)] | Off = Field(
        7, description="ADC code: LSB 2**-n in units of the output"
    )


class Weight(Frozen):
    """The stored conductance: a signed integer of ``bits`` bits, LSB ``2**-fraction_bits``."""

    bits: int = Field(18, ge=4, le=30, description="width of the stored weight, sign included")
    fraction_bits: int = Field(17, ge=2, le=28, description="LSB of the stored weight is 2**-n")
    initial_range: float = Field(
        1.0, ge=0, le=8, description="initial weights are uniform in +-initial_range / sqrt(columns)"
    )
    rounding: Literal["stochastic", "nearest"] = Field(
        "stochastic",
        description="of a pulsed move to the LSB of the weight: stochastic keeps the mean of the update at any LSB",
    )


def _name_device_model(value: object) -> object:
    """A device table without ``model`` means the paper's device."""
    return {"model": ConstantStep.model_fields["model"].default, **value} if isinstance(value, dict) else value


if TYPE_CHECKING:
    AnyDevice: TypeAlias = Device
else:
    #: The device at every cross-point: one of the models in emulator/array/devices, told apart by ``model``.
    AnyDevice = Annotated[
        Union[tuple(DEVICE_MODELS.values())],  # noqa: UP007 (built at run time)
        BeforeValidator(_name_device_model),
        Field(discriminator="model") if len(DEVICE_MODELS) > 1 else Field(),
    ]


class Array(Frozen):
    """One crossbar array with its converters and the digital periphery around it."""

    replication: int = Field(1, ge=1, le=64, description="devices per weight, along the array's short side")
    forward: Read = Read()
    backward: Read = Read()
    update: Update = Update()
    converters: Converters = Converters()
    weight: Weight = Weight()
    device: AnyDevice = Field(default_factory=ConstantStep, description="device model and its parameters")


class Convolution(Frozen):
    """k x k convolution, stride 1, no padding; one array, im2col (Gokmen et al. 2017)."""

    type: Literal["convolution"]
    kernel: int = Field(ge=1, le=15, description="k, pixels")
    outputs: int = Field(ge=1, le=1024, description="number of kernels")
    bias: bool = Field(True, description="an input line held at 1")
    activation: Literal["tanh", "identity"] = Field("tanh", description="of every output")
    array: Array = Array()


class MaxPooling(Frozen):
    """2 x 2 maximum, stride 2, directly after a convolution. An odd last row or column is dropped."""

    type: Literal["max_pooling"]


class FullyConnected(Frozen):
    """One array over the flattened input. The last layer of a network has the softmax activation."""

    type: Literal["fully_connected"]
    outputs: int = Field(ge=1, le=4096, description="number of outputs")
    bias: bool = Field(True, description="an input line held at 1")
    activation: Literal["tanh", "identity", "softmax"] = Field("tanh", description="of every output")
    array: Array = Array()


Layer = Annotated[Convolution | MaxPooling | FullyConnected, Field(discriminator="type")]


class Input(Frozen):
    """The image; pixels 0..255 stand for 0..1. Data sets are resampled to it."""

    height: int = Field(28, ge=1, le=256, description="pixels")
    width: int = Field(28, ge=1, le=256, description="pixels")


class Formats(Frozen):
    """The digital words between arrays."""

    activation_bits: int = Field(16, ge=4, le=16, description="activation word, signed, saturating")
    activation_fraction_bits: int = Field(
        12, ge=2, le=14, description="LSB of an activation is 2**-n; at most activation_bits - 2"
    )
    error_bits: int = Field(16, ge=4, le=16, description="error mantissa, signed, one shared exponent per tensor")


class Generator(Frozen):
    """The pulse and noise generators: one maximal-length LFSR per line (emulator/periphery/lfsr.py)."""

    width: Annotated[Literal[32, 48, 64], IntegerChoice] = Field(64, description="state bits")


class Hardware(Frozen):
    """The network in logic: machines ``rtl`` and ``board``. Decides cost and speed, never a bit."""

    lanes: int = Field(32, ge=1, le=64, description="devices that the emulated crossbar works on at once")
    port_lanes: Annotated[Literal["auto", 1, 2, 4, 8], IntegerChoice] = Field(
        "auto", description="elements a beat of the tile's streams; a divisor of lanes; auto: at most 4"
    )

    compact: bool = Field(
        False, description="for the smallest FPGAs: circuits that take turns, and more cycles; with lanes = 1"
    )

    @model_validator(mode="after")
    def _divides(self) -> Hardware:
        if self.compact and self.lanes > 1:
            raise ValueError(f"hardware.compact: accepted: with lanes = 1, not {self.lanes}")
        if self.port_lanes != "auto" and self.lanes % self.port_lanes:
            raise ValueError(f"hardware.port_lanes = {self.port_lanes}: accepted: divisors of lanes = {self.lanes}")
        return self

    @property
    def beat_lanes(self) -> int:
        """Elements a beat: ``port_lanes``, or what one column a cycle keeps busy."""
        if self.port_lanes != "auto":
            return self.port_lanes
        return next(lanes for lanes in (4, 2, 1) if self.lanes % lanes == 0)


#: Parts of a config that decide no bits.
BITLESS = frozenset({"name", "description", "hardware"})

#: Far above every network of the literature that trains on arrays, and no work to read.
MOST_LAYERS = 256
MOST_NAME = 128


class Config(Frozen):
    """A run, resolved: every layer holds its complete array description."""

    name: str = Field("custom", description="what reports call it: printable characters")
    description: str = Field("", description="what it is, in a sentence")
    seed: int = Field(1, ge=0, le=2**63 - 1, description="every random source derives from it")
    learning_rate: float = Field(0.01, gt=0, le=1, description="eta")
    classes: int = Field(10, ge=2, le=256, description="labels are 0 .. classes - 1; outputs of the last layer")
    input: Input = Input()
    formats: Formats = Formats()
    generator: Generator = Generator()
    hardware: Hardware = Hardware()
    layers: dict[str, Layer] = Field(description="the network, in order: convolution, max_pooling, fully_connected")

    @field_validator("name", mode="after")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError(f"name = {shown(name)}: accepted: printable characters, in one line")
        return name

    @field_validator("description", mode="after")
    @classmethod
    def _unicode(cls, description: str) -> str:
        """Half a surrogate pair, which Python makes of bytes that are no UTF-8, cannot be written to a file."""
        if any("\ud800" <= character <= "\udfff" for character in description):
            raise ValueError(f"description = {shown(description)}: accepted: text that UTF-8 can hold")
        return description

    @field_validator("layers", mode="before")
    @classmethod
    def _countable_and_printable(cls, layers: object) -> object:
        """Before the layers are read, of which there may be any number."""
        if not isinstance(layers, dict):
            return layers
        if not 1 <= len(layers) <= MOST_LAYERS:
            raise ValueError(f"layers: {len(layers)} of them: accepted: 1 .. {MOST_LAYERS}")
        for name in layers:
            if not (isinstance(name, str) and 1 <= len(name) <= MOST_NAME and name.isprintable()):
                raise ValueError(
                    f"layers: name {shown(name)}: accepted: 1 .. {MOST_NAME} characters, all of them printable"
                )
        return layers

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        formats = self.formats
        if formats.activation_fraction_bits > formats.activation_bits - 2:
            raise ValueError(
                f"formats.activation_fraction_bits = {formats.activation_fraction_bits}: accepted: at most "
                f"activation_bits - 2 = {formats.activation_bits - 2}, so that 1.0 fits"
            )
        build_stages(self)
        return self

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The arrays of the network in order, with every integer quantity their circuits need."""
        return build_stages(self)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides bits: the version of the arithmetic, and every field but those of BITLESS."""
        text = f"arithmetic {ARITHMETIC_VERSION} {self.model_dump_json(exclude=set(BITLESS))}"
        return hashlib.sha256(text.encode()).hexdigest()
