"""A component in Amaranth's simulator, its streams driven and watched with random stalls."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from amaranth.hdl import ClockDomain, Module, Value
from amaranth.lib import wiring
from amaranth.sim import Simulator, SimulatorContext

from hdl.block import warnings_as_errors

CLOCK = 1e-6
#: Cycles without a transfer after which a run is over.
PATIENCE = 200

Word = int | Mapping[str, int]


class Bench:
    """Words given to input streams and taken from output streams, whose contract is checked. ``words``: what came out."""

    def __init__(self, component: wiring.Component, *, stall: float = 0.0, seed: int = 1) -> None:
        self.component, self.stall, self.seed = component, stall, seed
        self.domain = ClockDomain("sync")
        top = Module()
        top.domains += self.domain
        top.submodules.component = component
        self.simulator = Simulator(top)
        self.simulator.add_clock(CLOCK)
        self.words: dict[str, list[Any]] = {}
        self.left = 0  # words that inputs still hold
        self.now = self.last_transfer = 0

    def give(self, port: str, words: Sequence[Word]) -> None:
        self.left += len(words)
        self.simulator.add_testbench(partial(self._drive, port=port, words=words), background=True)

    def take(self, port: str, read: Callable[[Any], Any] = lambda payload: payload.value) -> None:
        """``read``: what of the payload is kept; a value, or a tuple of them."""
        self.words[port] = []
        self.simulator.add_testbench(partial(self._watch, port=port, read=read), background=True)

    def run(self, conduct: Callable[[SimulatorContext], Awaitable[None]] | None = None) -> None:
        """``conduct``, and then until all inputs are given and nothing has come for a while."""

        async def whole(context: SimulatorContext) -> None:
            if conduct:
                await conduct(context)
                self.last_transfer = self.now
            while self.left or self.now - self.last_transfer < PATIENCE:
                await context.tick()
                assert self.now - self.last_transfer < 100 * PATIENCE, f"hung: {self.left} words not taken"

        async def count(context: SimulatorContext) -> None:
            while True:
                await context.tick()
                self.now += 1

        self.simulator.add_testbench(whole)
        self.simulator.add_testbench(count, background=True)
        with warnings_as_errors():
            self.simulator.run()

    async def reset(self, context: SimulatorContext) -> None:
        context.set(self.domain.rst, 1)
        await context.tick()
        context.set(self.domain.rst, 0)

    async def _drive(self, context: SimulatorContext, port: str, words: Sequence[Word]) -> None:
        chance = random.Random(f"{self.seed} {port}")
        interface = getattr(self.component, port)
        width = len(interface.payload.as_value())
        for word in words:
            while chance.random() < self.stall:
                await context.tick()
            context.set(interface.payload, {"value": word} if isinstance(word, int) else word)
            context.set(interface.valid, 1)
            ready = 0
            while not ready:
                _, _, ready = await context.tick().sample(interface.ready)
            context.set(interface.valid, 0)
            context.set(interface.payload.as_value(), chance.getrandbits(width))
            self.left -= 1
            self.last_transfer = self.now

    async def _watch(self, context: SimulatorContext, port: str, read: Callable[[Any], Any]) -> None:
        chance = random.Random(f"{self.seed} {port}")
        interface = getattr(self.component, port)
        kept = read(interface.payload)
        values = kept if isinstance(kept, tuple) else (kept,)
        offered = None
        while True:
            context.set(interface.ready, chance.random() >= self.stall)
            _, _, valid, ready, *word = await context.tick().sample(
                interface.valid, interface.ready, *map(Value.cast, values)
            )
            if offered is not None:
                assert valid, f"{port}: valid fell before the word was taken"
                assert word == offered, f"{port}: the word changed before it was taken"
            offered = word if valid and not ready else None
            if valid and ready:
                self.words[port].append(tuple(word) if isinstance(kept, tuple) else word[0])
                self.last_transfer = self.now
