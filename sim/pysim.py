"""A block in Amaranth's own simulator: streams driven and watched with random stalls, every output word compared."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator, SimulatorContext

from hdl.block import Block, warnings_as_errors
from hdl.export import describe_streams
from sim.payload import Values, pack, unpack
from sim.scoreboard import first_difference
from sim.transactions.base import Transactions
from sim.waiting import patience, tail

CLOCK = 1e-6
#: How often an output is taken before a reset cuts a block off.
TAKEN_BEFORE_RESET = 0.5


@dataclass(frozen=True)
class Outcome:
    """What was seen: the words of every output stream, and the cycle of every transfer of every stream."""

    words: dict[str, list[Values]]
    cycles: dict[str, list[int]]


def run(
    block: Block,
    transactions: Transactions,
    *,
    stall: float = 0.0,
    seed: int = 1,
    reset_after: int | None = None,
    prelude: Sequence[tuple[str, Sequence[Values]]] = (),
    cut_off: Transactions | None = None,
) -> Outcome:
    """Drive all inputs, take all outputs; each side pauses a cycle with probability ``stall``. With ``reset_after``, that
    many cycles are spent on the same inputs first, with outputs taken in some of them, then the block is reset and all begins
    anew. Before these cycles, the words of ``prelude`` are passed, input by input, and no output is taken. ``cut_off``: inputs
    that are offered in these cycles instead.

    Checks the stream contract on outputs: an offered word stays as it is until it is taken. Raises AssertionError on a
    broken contract, a hang, or the first word that differs from the expected one; and if nothing is expected.
    """
    expected = {port: transactions.expected(port) for port in transactions.outputs}
    assert sum(map(len, expected.values())) > 0, "no output is expected: nothing would be tested"
    bench = _Bench(block, transactions, stall, seed)
    with warnings_as_errors():
        bench.simulate(reset_after, prelude, (cut_off or transactions).inputs)
    for port, words in expected.items():
        difference = first_difference(port, words, bench.words[port])
        assert difference is None, difference
    return Outcome(bench.words, bench.cycles)


class _Bench:
    def __init__(self, block: Block, transactions: Transactions, stall: float, seed: int) -> None:
        self.block, self.transactions, self.stall, self.seed = block, transactions, stall, seed
        self.streams = describe_streams(block)
        self.words: dict[str, list[Values]] = {port: [] for port in transactions.outputs}
        self.cycles: dict[str, list[int]] = {port: [] for port in self.streams}
        self.left = dict.fromkeys([*transactions.inputs, *transactions.outputs], 0)
        assert set(self.left) == set(self.streams), f"streams {sorted(self.left)}, expected {sorted(self.streams)}"
        self.phase = -1
        self.domain = ClockDomain("sync")
        self.now = self.last_transfer = 0

    def simulate(
        self,
        reset_after: int | None,
        prelude: Sequence[tuple[str, Sequence[Values]]],
        cut_off: dict[str, list[Values]],
    ) -> None:
        top = Module()
        top.domains += self.domain
        top.submodules.block = self.block
        simulator = Simulator(top)
        simulator.add_clock(CLOCK)

        async def conduct(context: SimulatorContext) -> None:
            if reset_after is not None:
                await self.precede(context, prelude)
                await self.disturb(context, reset_after, cut_off)
            for number, phase in enumerate(self.transactions.phases):
                for port, words in {**phase.inputs, **phase.outputs}.items():
                    self.left[port] += len(words)
                self.phase = number
                await self.count(context)
            await self.linger(context)

        simulator.add_testbench(conduct)
        for port in self.transactions.inputs:
            simulator.add_testbench(partial(self.drive, port=port), background=True)
        for port in self.transactions.outputs:
            simulator.add_testbench(partial(self.watch, port=port), background=True)
        simulator.run()

    async def precede(self, context: SimulatorContext, prelude: Sequence[tuple[str, Sequence[Values]]]) -> None:
        """Words passed in order."""
        for port, words in prelude:
            interface = getattr(self.block, port)
            for values in words:
                context.set(interface.payload.as_value(), pack(self.streams[port]["fields"], values))
                context.set(interface.valid, 1)
                ready = 0
                while not ready:
                    _, _, ready = await context.tick().sample(interface.ready)
                context.set(interface.valid, 0)

    async def disturb(self, context: SimulatorContext, cycles: int, cut_off: dict[str, list[Values]]) -> None:
        """Inputs offered without a pause and outputs taken now and then, cut off by a reset."""
        chance = random.Random(f"{self.seed} disturbed")
        offered = {port: list(values) for port, values in cut_off.items()}
        for _ in range(cycles):
            for port, values in offered.items():
                interface = getattr(self.block, port)
                context.set(interface.valid, bool(values))
                if values:
                    context.set(interface.payload.as_value(), pack(self.streams[port]["fields"], values[0]))
            for port in self.transactions.outputs:
                context.set(getattr(self.block, port).ready, chance.random() < TAKEN_BEFORE_RESET)
            _, _, *ready = await context.tick().sample(*(getattr(self.block, port).ready for port in offered))
            for values, taken in zip(offered.values(), ready, strict=True):
                if values and taken:
                    del values[0]
        for port in self.transactions.inputs:
            context.set(getattr(self.block, port).valid, 0)
        for port in self.transactions.outputs:
            context.set(getattr(self.block, port).ready, 0)
        context.set(self.domain.rst, 1)
        await context.tick()
        context.set(self.domain.rst, 0)

    async def count(self, context: SimulatorContext) -> None:
        """Until all words of a phase have passed. Words that nobody expects give no time."""
        begin, words = self.now, sum(self.left.values())
        while any(self.left.values()):
            await context.tick()
            self.now += 1
            assert self.now - self.last_transfer < self.patience, f"hung: {self.left} transfers left"
            assert self.now - begin < self.patience * (words + 1), f"does not end: {self.left} transfers left"

    async def linger(self, context: SimulatorContext) -> None:
        """A while longer, in which nothing more may come."""
        for _ in range(tail(self.block.latency, self.block.cycles_per_beat)):
            await context.tick()

    @property
    def patience(self) -> int:
        return patience(self.block.latency, self.block.cycles_per_beat)

    async def begun(self, context: SimulatorContext, number: int) -> None:
        """Until phase ``number`` has begun."""
        while self.phase < number:
            await context.tick()

    def transferred(self, port: str) -> None:
        self.left[port] -= 1
        self.cycles[port].append(self.now)
        self.last_transfer = self.now

    async def drive(self, context: SimulatorContext, port: str) -> None:
        chance = random.Random(f"{self.seed} {port}")
        interface, description = getattr(self.block, port), self.streams[port]
        for number, phase in enumerate(self.transactions.phases):
            await self.begun(context, number)
            for values in phase.inputs.get(port, []):
                while chance.random() < self.stall:
                    await context.tick()
                context.set(interface.payload.as_value(), pack(description["fields"], values))
                context.set(interface.valid, 1)
                ready = 0
                while not ready:
                    _, _, ready = await context.tick().sample(interface.ready)
                self.transferred(port)
                context.set(interface.valid, 0)
                context.set(interface.payload.as_value(), chance.getrandbits(description["width"]))

    async def watch(self, context: SimulatorContext, port: str) -> None:
        chance = random.Random(f"{self.seed} {port}")
        interface, description = getattr(self.block, port), self.streams[port]
        offered = None
        expected = len(self.transactions.expected(port))
        await self.begun(context, 0)
        while True:
            context.set(interface.ready, chance.random() >= self.stall)
            _, _, valid, ready, word = await context.tick().sample(
                interface.valid, interface.ready, interface.payload.as_value()
            )
            if offered is not None:
                assert valid, f"{port}: valid fell before the word was taken"
                assert word == offered, f"{port}: the word changed before it was taken"
            offered = word if valid and not ready else None
            if valid and ready:
                self.words[port].append(unpack(description["fields"], word))
                assert len(self.words[port]) <= expected, f"{port}: more than the {expected} words that are expected"
                self.transferred(port)
