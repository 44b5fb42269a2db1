"""What a network's hardware can hold: formats and widths, found from the arrays of a config."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.lib import data
from pydantic import Field

from emulator.config import Config, Stage
from emulator.fixed import SOFTMAX_FRACTION_BITS
from hdl.array.crossbar_parameters import CrossbarParameters
from hdl.block import Parameters, plain_refusals
from hdl.deep_memory import column_bits
from hdl.network.descriptor import DescriptorWidths, input_beats, output_beats
from hdl.network.descriptor_word import common_bits, descriptor_layout, descriptor_words
from hdl.network.tile_parameters import TileParameters
from hdl.periphery.activation import ActivationBackParameters, ActivationParameters
from hdl.periphery.im2col import Im2colBackParameters
from hdl.periphery.softmax import SoftmaxParameters
from hdl.shapes import width_for
from hdl.single_port import SPRAM_ADDRESS_BITS

#: Most words of all memories of a network. Verilog names the initial value of each in a line of its own: these are 400 MB of it,
#: and several minutes of work, for more weights than any FPGA holds.
MOST_MEMORY_WORDS = 1 << 24


class NetworkParameters(Parameters):
    """Made from a config (``of_config``); the defaults are those of preset ``tiny``."""

    lanes: int = Field(ge=1, le=64, description="elements per beat of the digital periphery")
    devices: int = Field(ge=1, le=64, description="devices of the crossbar in parallel: rows of a column per cycle")
    layers: int = Field(ge=1, le=64, description="arrays that the table of descriptors holds")
    volume_beats: int = Field(ge=1, description="beats of all input volumes together")
    error_beats: int = Field(ge=1, description="beats of the largest volume of errors")
    line_beats: int = Field(ge=1, description="beats of the longest row of a pooled volume")
    sum_magnitude_bits: int = Field(ge=1, le=60, description="bits of a sum of errors, sign excluded")
    coordinate_bits: int = Field(8, ge=1, le=8, description="of a pixel's or a position's number along a side")
    position_bits: int = Field(16, ge=1, le=16, description="of a position's number")
    fixed_mask: int = Field(0, ge=0, description="bits of a descriptor that are the same for all layers: a mask")
    fixed_bits: int = Field(0, ge=0, description="these bits; a network of others is refused")
    phase_bits: int = Field(32, ge=1, le=32, description="compact: bits of what a phase counts")
    tile: TileParameters
    crossbar: CrossbarParameters
    activations: tuple[ActivationParameters, ...] = Field(min_length=1, description="functions of the layers")
    slopes: tuple[ActivationBackParameters, ...] = Field(min_length=1, description="derivatives, identity among them")
    softmax: SoftmaxParameters
    compact: bool = Field(
        False, description="small and slow: what takes turns, in several cycles, where that is smaller"
    )
    probes: bool = Field(False, description="whether the streams of the tile can be watched from outside")

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> NetworkParameters:
        """Raises ValueError: a network is made for all stages of a config."""
        raise ValueError(f"{stage.place}: accepted: a whole config (of_config)")

    @classmethod
    def of_config(cls, config: Config) -> NetworkParameters:
        """Hardware that holds the network of a config, and any other of these formats that is not larger. Raises
        ValueError for formats that differ between layers, and for more memory than can be written down."""
        return cls.of_configs([config])

    @classmethod
    def of_configs(cls, configs: Sequence[Config]) -> NetworkParameters:
        """One hardware for several networks, as the first config has it. Memories that hold all arrays of all of them at
        once are more than enough for each. Raises ValueError."""
        stages = [stage for config in configs for stage in config.stages]
        lanes, compact = configs[0].hardware.beat_lanes, configs[0].hardware.compact
        classes = {config.classes for config in configs}
        if len(classes) > 1:
            raise ValueError(f"classes = {sorted(classes)}: accepted: one and the same for all networks of a hardware")
        for stage in stages:
            for part in (ActivationParameters, ActivationBackParameters, Im2colBackParameters):
                with plain_refusals(stage.place):
                    part.of(stage, lanes)
        with plain_refusals():
            made = cls._of_stages(configs[0], stages)
        if made.memory_words > MOST_MEMORY_WORDS:
            weights = made.crossbar.weight_words * made.crossbar.devices
            raise ValueError(
                f"{made.memory_words:,} words of memory, {weights:,} weights: accepted: at most {MOST_MEMORY_WORDS:,} words; "
                "a smaller input, fewer outputs or devices per weight"
            )
        return made._made_for(configs) if compact else made

    @classmethod
    def _of_stages(cls, config: Config, stages: Sequence[Stage]) -> NetworkParameters:
        devices, lanes = config.hardware.lanes, config.hardware.beat_lanes
        compact = config.hardware.compact
        activations = [ActivationParameters.of(stage, lanes) for stage in stages]
        input_bits = max(each.input_bits for each in activations)
        hidden = [each for each, stage in zip(activations, stages, strict=True) if stage.layer.activation != "softmax"]
        functions = {each.kind: each for each in hidden or activations}
        slopes = {each.kind: each for each in (ActivationBackParameters.of(stage, lanes) for stage in stages)}
        softmax = SoftmaxParameters.of(stages[-1], lanes)
        return cls(
            lanes=lanes,
            devices=devices,
            layers=len(stages),
            volume_beats=sum(input_beats(stage, lanes) for stage in stages) + output_beats(stages[-1], lanes),
            error_beats=max(output_beats(stage, lanes) for stage in stages),
            line_beats=max(output_beats(stage, lanes) // stage.output_shape[0] for stage in stages),
            sum_magnitude_bits=max(
                SOFTMAX_FRACTION_BITS + 1,
                *(Im2colBackParameters.of(stage, lanes).sum_bits for stage in stages),
            ),
            phase_bits=max(_most_counted(stage) for stage in stages).bit_length(),
            tile=TileParameters.of_stages(stages, lanes, compact=compact),
            crossbar=CrossbarParameters.of_stages(stages, lanes, devices, serial=compact),
            compact=compact,
            activations=tuple(each.model_copy(update={"input_bits": input_bits}) for each in functions.values()),
            slopes=tuple(slopes.values()),
            softmax=softmax.model_copy(update={"magnitude_bits": input_bits, "serial": compact}),
        )

    def _made_for(self, configs: Sequence[Config]) -> NetworkParameters:
        """With counters of the widths that these networks need, and what all their layers have in common built in."""
        stages = [stage for config in configs for stage in config.stages]
        sides = [
            side
            for stage in stages
            for side in (
                stage.kernel if stage.convolutional else max(stage.height, stage.width),
                stage.output_height,
                stage.output_width,
            )
        ]
        narrow = self.model_copy(
            update={
                "coordinate_bits": width_for(max(sides) - 1),
                "position_bits": width_for(max(stage.positions for stage in stages) - 1),
            }
        )
        words = [word for config in configs for word in narrow.descriptor_words(config.stages)]
        mask, bits = common_bits(words, narrow.descriptor_layout.size)
        return narrow.model_copy(update={"fixed_mask": mask, "fixed_bits": bits})

    @property
    def memory_words(self) -> int:
        """Words of the large memories: weights of all devices, in columns, and volumes of activations and errors."""
        crossbar = self.crossbar
        columns = -(-crossbar.weight_bits // column_bits(crossbar.weight_bits, crossbar.weight_words))
        return crossbar.weight_words * crossbar.devices * columns + 2 * (self.volume_beats + self.error_beats)

    @property
    def descriptor_layout(self) -> data.StructLayout:
        return descriptor_layout(self.widths, self.tile, self.crossbar)

    def in_spram(self) -> NetworkParameters:
        """With the weights in SB_SPRAM256KA of an iCE40 UltraPlus; it does the same in the same cycles. Raises ValueError for
        more weights than that holds."""
        weights, most = self.crossbar.weight_words, 1 << SPRAM_ADDRESS_BITS
        if weights > most:
            raise ValueError(f"{weights} weights: accepted: at most {most} in SB_SPRAM256KA")
        in_spram = self.crossbar.model_copy(update={"weights_in_spram": True})
        return self.model_copy(update={"crossbar": in_spram})

    def descriptor_words(self, stages: Sequence[Stage]) -> list[int]:
        """The descriptors of a network. Raises ValueError if this hardware is made for others."""
        words = descriptor_words(stages, self.widths, self.tile, self.crossbar)
        for stage, word in zip(stages, words, strict=True):
            if word & self.fixed_mask != self.fixed_bits:
                raise ValueError(f"{stage.place}: accepted: the settings that this compact hardware has built in")
        return words

    @property
    def widths(self) -> DescriptorWidths:
        address = width_for(max(self.volume_beats, self.error_beats, 1 << 8) - 1)
        return DescriptorWidths(self.lanes, address, self.coordinate_bits, self.position_bits)


def _most_counted(stage: Stage) -> int:
    """The most that a counter of an array can count in one phase of an image: of the coincidences of all devices, of
    saturated lines, of reads with their repeats."""
    halvings = max(stage.forward.bound_management, stage.backward.bound_management)
    devices = stage.physical_rows * stage.physical_columns * stage.array.update.desired_bl
    return stage.positions * max(devices, halvings + 1)
