"""What a network is made of: its parts, and what holds for the image under way."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Signal, signed
from amaranth.lib import data

from hdl.array.crossbar import Crossbar
from hdl.network.backward_sink import BackwardSink
from hdl.network.compact_counters import CompactCounters
from hdl.network.compact_host import CompactHost
from hdl.network.counters import LAYER_WORDS, Counters
from hdl.network.error_source import ErrorSource
from hdl.network.error_stage import ErrorStage
from hdl.network.forward_sink import ForwardSink
from hdl.network.host import Host, HostPorts
from hdl.network.image_loader import ImageLoader
from hdl.network.judge import Judge
from hdl.network.network_parameters import NetworkParameters
from hdl.network.patch_source import PatchSource
from hdl.network.serial_error_stage import SerialErrorStage
from hdl.network.tile import Tile
from hdl.periphery.softmax import Softmax
from hdl.shapes import beat, width_for


@dataclass(frozen=True)
class Parts:
    """The network's submodules."""

    tile: Tile
    crossbar: Crossbar
    image_loader: ImageLoader
    patch_source: PatchSource
    error_source: ErrorSource
    forward_sink: ForwardSink
    backward_sink: BackwardSink
    error_stage: ErrorStage | SerialErrorStage
    softmax: Softmax
    judge: Judge
    counters: Counters | CompactCounters
    host: Host | CompactHost

    @property
    def tally(self) -> Host | CompactCounters:
        """Who counts cycles, images and errors."""
        return self.counters if isinstance(self.counters, CompactCounters) else self.host


@dataclass(frozen=True)
class Going:
    """What holds for the image under way."""

    train: Signal
    label: Signal
    number: Signal  # of the layer
    layer: data.View  # its descriptor
    returning: Signal  # on the way back
    operation: Signal  # the phase: what the tile does for all positions
    commands: Signal  # of the phase, left to be sent
    reads: Signal  # reports of the tile in this phase
    updates: Signal  # reports of the crossbar in this phase
    stored: Signal  # the results of this phase are in memory
    fraction: Signal  # of the sums of errors
    softened: Signal  # the errors of the logits are in memory


def parts_of(p: NetworkParameters, identity: int, tile: Tile, crossbar: Crossbar, descriptor_parts: int) -> Parts:
    """The parts of a network; where it is compact, those that take turns."""
    widths = p.widths
    activations = data.ArrayLayout(signed(p.tile.activation_bits), p.lanes)
    ports = HostPorts(
        descriptor_bits=width_for(p.layers * descriptor_parts - 1),
        counter_bits=width_for(p.layers * LAYER_WORDS - 1),
        generator_bits=p.tile.generator_width,
        tile_access=tile.access.payload.shape(),
        crossbar_access=crossbar.access.payload.shape(),
        crossbar_answer=crossbar.answer.payload.shape(),
    )
    largest = _largest_count(tile, crossbar)
    host: Host | CompactHost
    counters: Counters | CompactCounters
    error_stage: ErrorStage | SerialErrorStage
    if p.compact:
        host = CompactHost(identity, ports, pixel_bits=widths.address)
        counters = CompactCounters(p.layers, largest.bit_length(), p.phase_bits, p.layers * descriptor_parts)
        error_stage = SerialErrorStage(widths, p.slopes, p.sum_magnitude_bits)
    else:
        host = Host(identity, ports)
        counters = Counters(p.layers, largest.bit_length())
        error_stage = ErrorStage(widths, p.slopes, p.sum_magnitude_bits)
    return Parts(
        tile=tile,
        crossbar=crossbar,
        image_loader=ImageLoader(widths.address, activations, p.tile.activation_fraction),
        patch_source=PatchSource(
            widths, p.tile.activation_bits, 1 << p.tile.activation_fraction, relayed=not p.compact
        ),
        error_source=ErrorSource(widths, p.tile.error_bits, relayed=not p.compact),
        forward_sink=ForwardSink(widths, p.activations, p.line_beats, line_in_block=p.compact),
        backward_sink=BackwardSink(widths, p.sum_magnitude_bits + 1, p.sum_magnitude_bits + 1, compact=p.compact),
        error_stage=error_stage,
        softmax=Softmax(p.softmax),
        judge=Judge(beat(signed(p.softmax.magnitude_bits + 1), p.lanes), p.softmax.classes),
        counters=counters,
        host=host,
    )


def _largest_count(tile: Tile, crossbar: Crossbar) -> int:
    """The most that one cycle adds to a counter."""
    elements = tile.pulse.payload.elements.shape()
    words = (
        tile.report.payload.repeats,
        tile.report.payload.saturations,
        crossbar.report.payload.coincidences,
    )
    return max(elements.size, *(1 << len(word) for word in words))
