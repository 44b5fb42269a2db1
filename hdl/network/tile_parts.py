"""What a tile is made of: its blocks, and what holds for the commands under way."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Signal, unsigned
from amaranth.lib import enum

from hdl.periphery.average import Average
from hdl.periphery.bound_management import BoundManagement
from hdl.periphery.max_search import MaxSearch
from hdl.periphery.noise_management import NoiseManagement
from hdl.periphery.pulse_generator import PulseGenerator
from hdl.periphery.replicate import Replicate
from hdl.periphery.scaler import Scaler
from hdl.periphery.update_management import UpdateManagement
from hdl.vector_store import VectorStore


class Operation(enum.Enum, shape=unsigned(2)):
    FORWARD = 0
    BACKWARD = 1
    UPDATE = 2


@dataclass(frozen=True)
class Blocks:
    """The tile's submodules."""

    columns: Replicate
    rows: Replicate
    max_search: MaxSearch
    noise_management: NoiseManagement
    update_management: UpdateManagement
    converter: Scaler  # to DAC codes
    probability: Scaler  # to probability words
    pulse_generator: PulseGenerator
    held: VectorStore  # a read, until bound management accepts it
    bound_management: BoundManagement
    restore: Scaler | None  # takes the halvings back
    mean: Average | None
    scale_back: Scaler  # takes noise management's scale back


@dataclass(frozen=True)
class Going:
    """What holds for the commands under way."""

    settings: Signal
    configured: Signal  # settings have come
    front_idle: Signal
    back_idle: Signal
    front: Signal  # the command in front
    loading: Signal
    rows_loaded: Signal  # the side that is loaded: rows (delta), else columns (x)
    managed: Signal  # a command's maxima are in management, or what comes of them waits for back
    managed_operation: Signal
    operation: Signal  # of the command in back
    rows_sent: Signal  # the side that is sent to the array
    reading: Signal
    pulsing: Signal
    pulses_on_their_way: Signal  # an update cycle has left back, and its last pulses not yet the tile
    forgotten: Signal  # of both sides, whether the vector just sent is to be forgotten
    scaling: Signal  # noise management's word
    gains: Signal  # update management's word
    halvings: Signal
    saturations: Signal  # lines of the read
    saturated: Signal  # any of them
    reporting: Signal
    delivering: Signal
    delivery: Signal  # of the read that is given out
