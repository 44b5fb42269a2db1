"""Streams on the pins of a simulated design, under cocotb: drivers and monitors with random stalls.

Everything is set just after the falling edge of the clock and looked at once it has settled, before the rising edge. So
no bench depends on the order in which a simulator runs what happens at the rising edge.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.handle import SimHandleBase
from cocotb.triggers import ClockCycles, FallingEdge, ReadOnly

from sim.payload import Values, pack, unpack

PERIOD_NS = 10
RESET_CYCLES = 3


class _Stream:
    """Pins of the stream ``port`` of ``dut``, which ``description`` (hdl/export.py) describes."""

    def __init__(
        self, dut: SimHandleBase, port: str, description: Mapping[str, Any], *, stall: float = 0.0, seed: int = 1
    ) -> None:
        self.port, self.stall = port, stall
        self.fields, self.width = description["fields"], description["width"]
        self.chance = random.Random(f"{seed} {port}")
        self.edge = FallingEdge(dut.clk)
        self.valid, self.ready, self.payload = (getattr(dut, f"{port}__{pin}") for pin in ("valid", "ready", "payload"))
        #: Words that have passed.
        self.transfers = 0


class StreamDriver(_Stream):
    """Offers words to an input stream. What is on the pins between words is random."""

    def idle(self) -> None:
        self.valid.value = 0
        self.payload.value = self.chance.getrandbits(self.width)

    async def send(self, values: Values) -> None:
        """Offer a word, after some stalled cycles, until it is taken. Begins and ends after a falling edge."""
        while self.chance.random() < self.stall:
            await self.edge
        self.payload.value = pack(self.fields, values)
        self.valid.value = 1
        taken = False
        while not taken:
            await ReadOnly()
            taken = bool(self.ready.value)
            await self.edge
        self.transfers += 1
        self.idle()


class StreamMonitor(_Stream):
    """Takes the words of an output stream, and holds it to the contract: an offered word stays until it is taken."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.offered: int | None = None

    def idle(self) -> None:
        self.ready.value = 0

    async def receive(self) -> Values:
        """The next word, taken after some stalled cycles. Begins and ends after a falling edge."""
        while True:
            ready = self.chance.random() >= self.stall
            self.ready.value = int(ready)
            await ReadOnly()
            valid = bool(self.valid.value)
            word = int(self.payload.value) if valid else None
            if self.offered is not None:
                assert valid, f"{self.port}: valid fell before the word was taken"
                assert word == self.offered, f"{self.port}: the word changed before it was taken"
            self.offered = None if ready else word
            await self.edge
            if ready and word is not None:
                self.transfers += 1
                self.idle()
                return unpack(self.fields, word)


async def start(dut: SimHandleBase, streams: Iterable[StreamDriver | StreamMonitor]) -> None:
    """Start the clock and reset the design, with all of its streams idle. Ends after a falling edge."""
    cocotb.start_soon(Clock(dut.clk, PERIOD_NS, unit="ns").start())
    dut.rst.value = 1
    for stream in streams:
        stream.idle()
    await ClockCycles(dut.clk, RESET_CYCLES)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
