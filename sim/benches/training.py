"""The cocotb bench of networks with hardware in them: a plan of images goes in, logits and the machine's state come out.

The golden machine (emulator/network/network.py) trains as ever, but some of its tiles are those of the simulated design: a
layer that calls its tile waits, while the clock runs, for what the design answers. So what a tile does wrong is what the
network goes on with. The plan is the file that the plusarg ``plan`` names (sim/in_the_loop.py writes it).
"""

from __future__ import annotations

import pickle
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.handle import SimHandleBase
from cocotb.simtime import get_sim_time
from cocotb.task import Task, bridge, resume
from cocotb.triggers import ClockCycles, FallingEdge
from numpy.typing import NDArray

from emulator.config import Config
from emulator.fixed import Integers
from emulator.machine import State
from emulator.network.network import GoldenMachine
from hdl.network.array_lines import ArrayLines
from hdl.network.tile_parameters import TileParameters
from sim.analog_array import AnalogArray, serve_pulses, serve_reads
from sim.hardware_tile import HardwareTile
from sim.payload import Values
from sim.streams import PERIOD_NS, StreamDriver, StreamMonitor, start

#: Streams of a tile that answer its host, and so must be silent when nothing was asked.
ANSWERS = ("y", "z", "report", "answer")


@dataclass(frozen=True)
class TilePlan:
    """A tile of the design: its streams there have the layer's name as prefix."""

    parameters: TileParameters
    streams: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is trained, with which layers' tiles in the design, and what is left of it in the file ``result``."""

    config: Config
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    tiles: Mapping[str, TilePlan]
    stall: float
    seed: int
    patience: int
    tail: int
    result: str


@dataclass(frozen=True)
class Trained:
    """Logits of every image, the state that training ended in, words that passed by layer and stream, and cycles."""

    logits: Integers
    state: State
    transfers: Mapping[str, Mapping[str, int]]
    cycles: int


@cocotb.test
async def training(dut: SimHandleBase) -> None:
    """Train on the images of the plan; then nothing more may come from any tile."""
    plan_path = Path(str(cocotb.plusargs["plan"]))
    plan: Plan = pickle.loads(plan_path.read_bytes())
    tiles = {layer: _Tile(dut, layer, plan) for layer in plan.tiles}
    await start(dut, [stream for tile in tiles.values() for stream in tile.streams])
    machine = GoldenMachine(plan.config)
    initial = machine.state()
    for stage in machine.stages:
        tile = tiles.get(stage.stage.name)
        if tile:
            parameters = tile.plan.parameters
            array = AnalogArray(
                stage.tile.crossbar,
                parameters.lanes,
                backward_segments=ArrayLines.of(stage.stage, parameters.lanes).physical_columns.lengths,
                seed=plan.seed,
            )
            tile.attach(array)
            stage.tile = HardwareTile(stage.tile, parameters, array, resume(tile.exchange))  # type: ignore[assignment]

    def train() -> tuple[Integers, State]:
        machine.load(initial)
        return machine.train(plan.images, plan.labels), machine.state()

    logits, state = await bridge(train)()
    cycles = round(get_sim_time("ns")) // PERIOD_NS
    await ClockCycles(dut.clk, plan.tail)
    await FallingEdge(dut.clk)
    for tile in tiles.values():
        tile.check_silence()
    trained = Trained(logits, state, {layer: tile.transfers for layer, tile in tiles.items()}, cycles)
    plan_path.with_name(plan.result).write_bytes(pickle.dumps(trained))


class _Tile:
    """The streams of one tile of the design."""

    def __init__(self, dut: SimHandleBase, layer: str, plan: Plan) -> None:
        self.layer, self.plan, self.patience = layer, plan.tiles[layer], plan.patience
        self.edge = FallingEdge(dut.clk)
        #: What the array said of a vector that it cannot take.
        self.refused: ValueError | None = None
        self.drivers: dict[str, StreamDriver] = {}
        self.monitors: dict[str, StreamMonitor] = {}
        for port, stream in self.plan.streams.items():
            options = {"stall": plan.stall, "seed": plan.seed}
            if stream["direction"] == "in":
                self.drivers[port] = StreamDriver(dut, f"{layer}_{port}", stream, **options)
            else:
                self.monitors[port] = StreamMonitor(dut, f"{layer}_{port}", stream, **options)

    @property
    def streams(self) -> list[StreamDriver | StreamMonitor]:
        return [*self.drivers.values(), *self.monitors.values()]

    @property
    def transfers(self) -> dict[str, int]:
        return {port: stream.transfers for port, stream in {**self.drivers, **self.monitors}.items()}

    def attach(self, array: AnalogArray) -> None:
        """Put an array behind the tile's port."""
        cocotb.start_soon(self._serve(serve_reads(array, self.monitors["drive"], self.drivers["sense"])))
        cocotb.start_soon(self._serve(serve_pulses(array, self.monitors["pulse"])))

    async def _serve(self, serving: Coroutine[Any, None, None]) -> None:
        """An error is kept for `exchange`: raised here, it would end the run while the network waits in its thread."""
        try:
            await serving
        except ValueError as error:
            self.refused = error

    async def exchange(
        self, inputs: Mapping[str, Sequence[Values]], vectors: Mapping[str, int]
    ) -> dict[str, list[list[Values]]]:
        """See sim/hardware_tile.py. Fails if the array refuses a vector, and if no word passes on any stream of the tile for
        as long as the plan's patience. Begins and ends after a falling edge."""
        sending = [cocotb.start_soon(self._send(port, words)) for port, words in inputs.items()]
        taking = {port: cocotb.start_soon(self._take(port, count)) for port, count in vectors.items()}
        tasks: list[Task[Any]] = [*sending, *taking.values()]
        before, still = -1, 0
        while not all(task.done() for task in tasks):
            await self.edge
            now = sum(stream.transfers for stream in self.streams)
            before, still = now, still + 1 if now == before else 0
            assert self.refused is None, f"{self.layer}: {self.refused}"
            assert still < self.patience, f"{self.layer}: hung: {self.transfers} have passed"
        return {port: task.result() for port, task in taking.items()}

    async def _send(self, port: str, words: Sequence[Values]) -> None:
        for values in words:
            await self.drivers[port].send(values)

    async def _take(self, port: str, count: int) -> list[list[Values]]:
        vectors: list[list[Values]] = []
        for _ in range(count):
            vectors.append([await self.monitors[port].receive()])
            while not vectors[-1][-1].get("last", 1):
                vectors[-1].append(await self.monitors[port].receive())
        return vectors

    def check_silence(self) -> None:
        """Nobody takes the answers any more: an offered one is one too many."""
        for port in ANSWERS:
            assert not self.monitors[port].valid.value, f"{self.layer}_{port}: a word that was not asked for"
