"""The cocotb bench of all blocks: a plan of transactions goes in, counts of compared words come out.

The plan is the file that the plusarg ``plan`` names (sim/runner.py writes it): ``streams`` of the description, the words
of ``inputs`` and ``outputs`` in phases, ``stall``, ``seed`` and ``patience``. An analog array may stand behind the tile's port: its pickle
is ``array``, and it is written back there in the state that the run left it in.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import cocotb
from cocotb.handle import SimHandleBase
from cocotb.triggers import ClockCycles, FallingEdge

from sim.analog_array import PORTS, AnalogArray, serve_pulses, serve_reads
from sim.payload import Values
from sim.scoreboard import first_difference
from sim.streams import StreamDriver, StreamMonitor, start


@cocotb.test
async def transactions(dut: SimHandleBase) -> None:
    """Every word of the plan goes in, every expected word comes out, and nothing more."""
    plan_path = Path(str(cocotb.plusargs["plan"]))
    plan = json.loads(plan_path.read_text())
    bench = _Bench(dut, plan)
    await start(dut, (*bench.drivers.values(), *bench.monitors.values()))
    array_path = plan_path.with_name(plan["array"]) if plan["array"] else None
    if array_path:
        bench.attach(pickle.loads(array_path.read_bytes()))
    for number, phase in enumerate(plan["phases"]):
        await bench.run(number, phase)
    if array_path:
        array_path.write_bytes(pickle.dumps(bench.array))
    result = {"compared": bench.compared, "cycles": bench.cycles}
    plan_path.with_name(plan["result"]).write_text(json.dumps(result))


class _Bench:
    def __init__(self, dut: SimHandleBase, plan: dict[str, Any]) -> None:
        self.dut, self.patience, self.tail = dut, plan["patience"], plan["tail"]
        self.array: AnalogArray | None = None
        self.drivers: dict[str, StreamDriver] = {}
        self.monitors: dict[str, StreamMonitor] = {}
        for port, stream in plan["streams"].items():
            kind, group = (
                (StreamDriver, self.drivers) if stream["direction"] == "in" else (StreamMonitor, self.monitors)
            )
            group[port] = kind(dut, port, stream, stall=plan["stall"], seed=plan["seed"])
        self.compared = dict.fromkeys(self.monitors, 0)
        self.cycles = 0

    def attach(self, array: AnalogArray) -> None:
        """Put the array behind the tile's port, whose streams are no longer the plan's."""
        self.array = array
        drive, sense, pulse = self.monitors["drive"], self.drivers["sense"], self.monitors["pulse"]
        cocotb.start_soon(serve_reads(array, drive, sense))
        cocotb.start_soon(serve_pulses(array, pulse))
        self.compared = {port: 0 for port in self.compared if port not in PORTS}

    async def run(self, number: int, phase: dict[str, dict[str, list[Values]]]) -> None:
        """Drive and watch until all words of a phase have passed and a while longer, in which nothing more may come."""
        seen: dict[str, list[Values]] = {port: [] for port in phase["outputs"]}
        tasks = [cocotb.start_soon(self.drive(port, words)) for port, words in phase["inputs"].items()]
        tasks += [cocotb.start_soon(self.watch(port, words)) for port, words in seen.items()]
        streams = [*self.drivers.values(), *self.monitors.values()]
        goal = self.passed(phase)
        start = {port: stream.transfers for port, stream in {**self.drivers, **self.monitors}.items()}
        before, still, begin = sum(stream.transfers for stream in streams), 0, self.cycles
        while any(self.transfers(port) - start[port] < count for port, count in goal.items()):
            await FallingEdge(self.dut.clk)
            self.cycles += 1
            now = sum(stream.transfers for stream in streams)
            before, still = now, still + 1 if now == before else 0
            left = {port: count - self.transfers(port) + start[port] for port, count in goal.items()}
            assert still < self.patience, f"phase {number}: hung: {left} transfers left"
            late = self.cycles - begin > self.patience * (sum(goal.values()) + 1)
            assert not late, f"phase {number}: does not end: {left} transfers left"
        await ClockCycles(self.dut.clk, self.tail)
        await FallingEdge(self.dut.clk)
        for task in tasks:
            task.cancel()
        for stream in (*(self.drivers[port] for port in phase["inputs"]), *(self.monitors[port] for port in seen)):
            stream.idle()
        for port, expected in phase["outputs"].items():
            difference = first_difference(port, expected, seen[port])
            assert difference is None, f"phase {number}: {difference}"
            self.compared[port] += len(seen[port])

    @staticmethod
    def passed(phase: dict[str, dict[str, list[Values]]]) -> dict[str, int]:
        return {port: len(words) for port, words in {**phase["inputs"], **phase["outputs"]}.items()}

    def transfers(self, port: str) -> int:
        return (self.drivers.get(port) or self.monitors[port]).transfers

    async def drive(self, port: str, words: list[Values]) -> None:
        for values in words:
            await self.drivers[port].send(values)

    async def watch(self, port: str, seen: list[Values]) -> None:
        while True:
            seen.append(await self.monitors[port].receive())
