"""The cocotb bench of designs with AXI pins (hdl/axi/network_axi.py): a plan of steps goes in, all answers come out.

AXI's other sides are those of cocotbext-axi, with random pauses. The plan is the file that the plusarg ``plan`` names
(sim/axi.py writes it).
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.handle import SimHandleBase
from cocotb.triggers import ClockCycles, FallingEdge, First, ReadOnly
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamSink, AxiStreamSource

from sim.axi import Answers, Plan, Step
from sim.streams import PERIOD_NS, RESET_CYCLES

#: What the design offers: valid, ready, payload.
OFFERS: Mapping[str, tuple[str, ...]] = {
    "m_axis_t": ("data", "last", "keep"),
    "s_axil_b": ("resp",),
    "s_axil_r": ("resp", "data"),
}
#: Cycles at the end in which nothing more may come.
TAIL = 200


@cocotb.test
async def steps(dut: SimHandleBase) -> None:
    """All steps one after the other; what an offer breaks of AXI's rules fails at once."""
    plan_path = Path(str(cocotb.plusargs["plan"]))
    plan: Plan = pickle.loads(plan_path.read_bytes())
    cocotb.start_soon(Clock(dut.clk, PERIOD_NS, unit="ns").start())
    dut.rst.value = 1
    ends = _Ends(dut, plan)
    await ClockCycles(dut.clk, RESET_CYCLES)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    watching = [cocotb.start_soon(_watch(dut, prefix, fields)) for prefix, fields in OFFERS.items()]
    answers = [await ends.run(step) for step in plan.steps]
    await ClockCycles(dut.clk, TAIL)
    assert ends.sink.empty() and ends.sink.idle(), "a packet that nothing asked for"
    for task in watching:
        task.cancel()
    plan_path.with_name(plan.result).write_bytes(pickle.dumps(answers))


class _Ends:
    """Manager, source and sink, with their pauses."""

    def __init__(self, dut: SimHandleBase, plan: Plan) -> None:
        self.dut, self.plan = dut, plan
        self.axil = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst)
        write, read = self.axil.write_if, self.axil.read_if
        channels = (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel)
        for number, paused in enumerate((*channels, self.source, self.sink)):
            if plan.stall:
                paused.set_pause_generator(_pauses(plan.stall, f"{plan.seed} {number}"))

    async def run(self, step: Step) -> Answers:
        """Everything of a step at the same time: each kind in its order, the next before the last is answered."""
        answers = Answers()
        work = [self._write(step, answers), self._read(step, answers), self._send(step), self._receive(step, answers)]
        for task in [cocotb.start_soon(self._limited(each)) for each in work]:
            await task
        answers.dropped = int(self.dut.packet_dropped.value)
        return answers

    async def _limited(self, work: Coroutine[Any, None, None]) -> None:
        task = cocotb.start_soon(work)
        await First(task, ClockCycles(self.dut.clk, self.plan.patience))
        assert task.done(), f"{work.__name__}: hung"

    async def _write(self, step: Step, answers: Answers) -> None:
        tasks = [cocotb.start_soon(self.axil.write(*write)) for write in step.writes]
        answers.writes = [int((await task).resp) for task in tasks]

    async def _read(self, step: Step, answers: Answers) -> None:
        tasks = [cocotb.start_soon(self.axil.read(*read)) for read in step.reads]
        for answer in [await task for task in tasks]:
            answers.reads.append((int(answer.resp), answer.data))

    async def _send(self, step: Step) -> None:
        for packet in step.packets:
            await self.source.send(packet)
        await self.source.wait()

    async def _receive(self, step: Step, answers: Answers) -> None:
        for _ in range(step.frames):
            answers.frames.append(bytes((await self.sink.recv()).tdata))


def _pauses(chance: float, seed: str) -> Iterator[bool]:
    drawn = random.Random(seed)
    while True:
        yield drawn.random() < chance


async def _watch(dut: SimHandleBase, prefix: str, fields: tuple[str, ...]) -> None:
    """An offered word stays, and stays as it is, until it is taken. Looked at when the cycle's values have settled."""
    pins = [getattr(dut, prefix + field) for field in fields]
    valid, ready = getattr(dut, f"{prefix}valid"), getattr(dut, f"{prefix}ready")
    offered = None
    while True:
        await FallingEdge(dut.clk)
        await ReadOnly()
        word = [int(pin.value) for pin in pins] if valid.value else None
        assert offered is None or word == offered, f"{prefix}: an offered word fell or changed before it was taken"
        offered = None if ready.value else word
