"""Descriptors as words: their layout, those of a network's layers, and what all of them have in common."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_

from amaranth.lib import data

from emulator.config import Stage
from hdl.array.crossbar_parameters import CrossbarParameters, lay_out
from hdl.network.descriptor import DescriptorWidths, layer_fields
from hdl.network.tile_parameters import TileParameters
from hdl.network.tile_settings import TileSettings, settings_layout
from hdl.shapes import record


def descriptor_layout(
    widths: DescriptorWidths, tile: TileParameters, crossbar: CrossbarParameters
) -> data.StructLayout:
    """A descriptor as one word."""
    return record(layer=widths.layer, tile=settings_layout(tile), crossbar=crossbar.settings)


def descriptor_words(
    stages: Sequence[Stage], widths: DescriptorWidths, tile: TileParameters, crossbar: CrossbarParameters
) -> list[int]:
    """Of all layers of a network. Raises ValueError as TileSettings.of does."""
    layout = descriptor_layout(widths, tile, crossbar)
    tiles = TileSettings.of_stages(stages, tile)
    arrays = lay_out(stages, crossbar.lanes, crossbar.devices)
    return [
        layout.const(
            {
                "layer": layer_fields(tuple(stages), index, widths.lanes),
                "tile": tiles[index].word(),
                "crossbar": arrays[index].word(),
            }
        ).as_bits()
        for index in range(len(stages))
    ]


def common_bits(words: Sequence[int], size: int) -> tuple[int, int]:
    """Which of ``size`` bits are the same in all words, as a mask, and these bits."""
    ones, any_ones = reduce(and_, words), reduce(or_, words)
    return (ones | ~any_ones) & (1 << size) - 1, ones
