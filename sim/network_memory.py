"""Where the state and the description of a network lie in its hardware: bus addresses and words, for whoever speaks the bus.

The hardware (hdl/network/host.py) knows beats and lanes; a machine's state knows lines and layers. This is the map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.config import Config, Stage
from emulator.fixed import WORD_BITS
from emulator.machine import COUNTERS, State
from emulator.streams import Purpose, keys
from hdl.array.crossbar_access import Space as CrossbarSpace
from hdl.array.crossbar_access import device_accesses
from hdl.array.crossbar_parameters import DRAWS, lay_out
from hdl.network.array_lines import ArrayLines
from hdl.network.counters import LAYER_WORDS
from hdl.network.descriptor import PART_BITS
from hdl.network.host import BUS_BITS, Register, Space, address_of, lane_offset
from hdl.network.network import Network
from hdl.network.tile_settings import TileSettings
from hdl.shapes import Segments

Addresses = NDArray[np.uint32]
Words = NDArray[np.uint64]


@dataclass(frozen=True)
class BusWords:
    """Addresses and what to write there."""

    addresses: Addresses
    words: Words


class NetworkMemory:
    """The map of a network's hardware for a config. Raises ValueError if the hardware does not hold the network."""

    def __init__(self, network: Network, config: Config) -> None:
        self.network, self.config = network, config
        self.lanes, self.devices = network.parameters.lanes, network.parameters.devices
        self._arrays = lay_out(config.stages, self.lanes, self.devices)
        self._tiles = TileSettings.of_stages(config.stages, network.parameters.tile)
        self._descriptors = network.parameters.descriptor_words(config.stages)
        #: Addresses of every array of a machine's state, in its shape.
        self.places: dict[str, Addresses] = {}
        for index, stage in enumerate(config.stages):
            self.places |= {f"{stage.name}.{name}": where for name, where in self._state_places(index, stage).items()}

    # --- what does not change in training -----------------------------------------------------------------------------

    def description(self) -> BusWords:
        """Registers, descriptors, and the crossbar's masks and device words."""
        pixels = self.config.input.height * self.config.input.width
        words = [
            _register(Register.LAST_LAYER, len(self.config.stages) - 1),
            _register(Register.LAST_PIXEL, pixels - 1),
        ]
        for index, stage in enumerate(self.config.stages):
            words += self._descriptor(index)
            words += self._lines(index, stage)
        addresses, data = zip(*words, strict=True)
        return BusWords(np.array(addresses, np.uint32), np.array(data, np.uint64))

    def _descriptor(self, index: int) -> Iterator[tuple[int, int]]:
        word = self._descriptors[index]
        parts = self.network.descriptor_parts
        for part in range(parts):
            offset = index * parts + part
            yield address_of(Space.DESCRIPTORS.value, offset), word >> (PART_BITS * part) & (1 << PART_BITS) - 1

    def _lines(self, index: int, stage: Stage) -> Iterator[tuple[int, int]]:
        """Masks of all beats, and the device words of all lines."""
        array, lines = self._arrays[index], ArrayLines.of(stage, self.lanes)
        for segments, base, mask_space, device_space, purpose in (
            (lines.physical_rows, array.row_base, CrossbarSpace.ROW_MASK, CrossbarSpace.ROW_DEVICE, Purpose.DEVICE_ROW),
            (
                lines.physical_columns,
                array.column_base,
                CrossbarSpace.COLUMN_MASK,
                CrossbarSpace.COLUMN_DEVICE,
                Purpose.DEVICE_COLUMN,
            ),
        ):
            places = list(segments.places())
            masks = [0] * segments.beats
            for number, lane in places:
                masks[number] |= 1 << lane
            for number, mask in enumerate(masks):
                yield _crossbar_address(mask_space, base + number, 0), mask
            draws = np.stack(
                [keys(self.config.seed, purpose, stage.index, draw, count=len(places)) for draw in range(DRAWS)]
            )
            for (number, lane), words in zip(places, (draws >> np.uint64(64 - WORD_BITS)).T.tolist(), strict=True):
                for address, word in device_accesses(self.network.parameters.crossbar, base + number, words):
                    if word >> BUS_BITS or not self.network.parameters.crossbar.serial:
                        yield _register(Register.HIGH, word >> BUS_BITS)
                    yield _crossbar_address(device_space, address, lane), word & (1 << BUS_BITS) - 1

    # --- state --------------------------------------------------------------------------------------------------------

    def _state_places(self, index: int, stage: Stage) -> dict[str, Addresses]:
        array, lines = self._arrays[index], ArrayLines.of(stage, self.lanes)
        rows, columns = _places(lines.physical_rows), _places(lines.physical_columns)
        groups = self.devices // self.lanes
        stride = array.column_beats * self.lanes
        # Row beat b is group b mod groups of block b // groups; a column's number is its beat and lane in one.
        words = array.weight_base + (rows[0] // groups * stride)[:, None] + (columns[0] * self.lanes + columns[1])
        row_lanes = rows[0] % groups * self.lanes + rows[1]
        pulse_base = self._tiles[index].pulse_base
        sharing = stage.array.update.generator_sharing

        def generators(lines: tuple[Lines, Lines], base: int) -> Addresses:
            beats, lanes = lines[0][::sharing], lines[1][::sharing] // sharing
            return _addresses(Space.GENERATORS.value, base + beats, lanes)

        return {
            "weights": _crossbar_addresses(
                CrossbarSpace.WEIGHT, words, np.broadcast_to(row_lanes[:, None], words.shape)
            ),
            "row_pulse": generators(rows, pulse_base + array.column_beats),
            "column_pulse": generators(columns, pulse_base),
            "row_noise": _crossbar_addresses(CrossbarSpace.ROW_NOISE, array.row_base + rows[0], rows[1]),
            "column_noise": _crossbar_addresses(CrossbarSpace.COLUMN_NOISE, array.column_base + columns[0], columns[1]),
            "counters": _addresses(Space.COUNTERS.value, 0, index * LAYER_WORDS + np.arange(len(COUNTERS))),
        }

    def words_of(self, state: State) -> BusWords:
        """A state, to be written."""
        addresses = np.concatenate([self.places[name].ravel() for name in state])
        words = [
            values.ravel().astype(np.int64 if values.dtype == np.int32 else values.dtype) for values in state.values()
        ]
        return BusWords(addresses, np.concatenate([each.view(np.uint64) for each in words]))

    def state_of(self, words: Words, like: State) -> State:
        """The state that was read at the places of ``like``, in its order. Weights come as wide as the memory has them."""
        state, first = {}, 0
        for name, values in like.items():
            raw = words[first : first + values.size].reshape(values.shape)
            first += values.size
            if values.dtype == np.int32:
                spare = np.uint64(BUS_BITS - self.network.parameters.crossbar.weight_bits)
                raw = (raw << spare).view(np.int64) >> np.int64(spare)
            state[name] = raw.astype(values.dtype)
        return state


Lines = NDArray[np.int64]


def _places(segments: Segments) -> tuple[Lines, Lines]:
    """Beat and lane of every line."""
    beats, lanes = zip(*segments.places(), strict=True)
    return np.array(beats), np.array(lanes)


def _register(which: Register, word: int) -> tuple[int, int]:
    return address_of(Space.REGISTERS.value, which.value), word


def _crossbar_address(space: CrossbarSpace, word: int, lane: int) -> int:
    return address_of(Space.CROSSBAR.value + space.value, lane_offset(word, lane))


def _addresses(space: int, words: Any, lanes: Any) -> Addresses:
    return np.asarray(address_of(space, lane_offset(words, lanes))).astype(np.uint32)


def _crossbar_addresses(space: CrossbarSpace, words: Lines, lanes: Lines) -> Addresses:
    return _addresses(Space.CROSSBAR.value + space.value, words, lanes)
