"""The descriptor of a layer: what the network's hardware must know of an array and its surroundings, as a word.

A network is a table of these, compiled from the config. The word holds the geometry, where volumes lie in memory, what
follows the array, and the settings of tile and crossbar. It is loaded and read in parts of ``PART_BITS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Const, unsigned
from amaranth.lib import data

from emulator.config import Stage
from hdl.network.windows import WindowGeometry
from hdl.patches import PatchGeometry
from hdl.periphery.block_exponent import SHIFT
from hdl.shapes import record

PART_BITS = 64


@dataclass(frozen=True)
class DescriptorWidths:
    """Bits of: ``address`` of a beat in the network's memories; ``coordinate``, pixels and positions along a side (images
    are at most 256 pixels wide); ``position``, of all positions."""

    lanes: int
    address: int
    coordinate: int = 8
    position: int = 16

    @property
    def layer(self) -> data.StructLayout:
        """The fields that the network itself reads."""
        beats, coordinate = unsigned(self.address), unsigned(self.coordinate)
        return record(
            # The input volume and the patches taken from it.
            input_base=beats,
            last_beat=beats,
            pixel_mask=self.lanes,
            last_across=coordinate,
            last_down=coordinate,
            pixel_step=beats,
            line_step=beats,
            row_step=beats,
            bias=1,
            # Positions, and the outputs of one.
            last_column=coordinate,
            last_row=coordinate,
            last_position=unsigned(self.position),
            row_last_beat=beats,
            row_mask=self.lanes,
            # What follows the array, and the volume handed on.
            tanh=1,
            pooled=1,
            output_base=beats,
            output_last=beats,
            output_pixel_step=beats,
            output_line_step=beats,
            is_first=1,
            is_last=1,
            # Fraction bits of the sums of a backward read, beside the errors' exponent where that counts.
            sum_fraction=SHIFT,
            exponent_counts=1,
        )


def patch_geometry(layer: data.View, *, from_start: bool = False) -> PatchGeometry:
    """Of the layer's input volume; ``from_start``: in a memory that holds this volume from address 0 on."""
    return PatchGeometry(
        start=Const(0) if from_start else layer.input_base,
        last_beat=layer.last_beat,
        last_across=layer.last_across,
        last_down=layer.last_down,
        last_column=layer.last_column,
        last_row=layer.last_row,
        pixel_step=layer.pixel_step,
        line_step=layer.line_step,
        row_step=layer.row_step,
        bias=layer.bias,
    )


def window_geometry(layer: data.View) -> WindowGeometry:
    """Of the layer's outputs, in a memory that holds their volume from address 0 on."""
    return WindowGeometry(
        last_beat=layer.row_last_beat,
        last_column=layer.last_column,
        last_row=layer.last_row,
        pooled=layer.pooled,
        pixel_step=layer.output_pixel_step,
        line_step=layer.output_line_step,
    )


def beats_of(elements: int, lanes: int) -> int:
    return -(-elements // lanes)


def last_mask(elements: int, lanes: int) -> int:
    """Lanes of the last beat."""
    return (1 << (elements - (beats_of(elements, lanes) - 1) * lanes)) - 1


def input_beats(stage: Stage, lanes: int) -> int:
    return stage.height * stage.width * beats_of(stage.channels, lanes)


def output_beats(stage: Stage, lanes: int) -> int:
    height, width, channels = stage.output_shape
    return height * width * beats_of(channels, lanes)


def layer_fields(stages: tuple[Stage, ...], index: int, lanes: int) -> dict[str, Any]:
    """The fields of array ``index``: volumes lie one behind the other, each the input of one array."""
    stage = stages[index]
    input_base = sum(input_beats(earlier, lanes) for earlier in stages[:index])
    pixel, rows = beats_of(stage.channels, lanes), beats_of(stage.rows, lanes)
    down, across = (stage.kernel, stage.kernel) if stage.convolutional else (stage.height, stage.width)
    uses_exponent = stage.backward.noise_management in ("exact", "power_of_two")
    return {
        "input_base": input_base,
        "last_beat": pixel - 1,
        "pixel_mask": last_mask(stage.channels, lanes),
        "last_across": across - 1,
        "last_down": down - 1,
        "pixel_step": pixel,
        "line_step": stage.width * pixel,
        "row_step": across * pixel,
        "bias": int(stage.layer.bias),
        "last_column": stage.output_width - 1,
        "last_row": stage.output_height - 1,
        "last_position": stage.positions - 1,
        "row_last_beat": rows - 1,
        "row_mask": last_mask(stage.rows, lanes),
        "tanh": int(stage.layer.activation == "tanh"),
        "pooled": int(stage.pooled),
        "output_base": input_base + input_beats(stage, lanes),
        "output_last": output_beats(stage, lanes) - 1,
        "output_pixel_step": rows,
        "output_line_step": stage.output_shape[1] * rows,
        "is_first": int(index == 0),
        "is_last": int(index == len(stages) - 1),
        "sum_fraction": stage.adc_fraction + stage.average_guard_bits + stage.backward.constant_exponent,
        "exponent_counts": int(uses_exponent),
    }
