"""Every word of the bus, of both kinds of host: registers hold and count what they must, memories answer where they are
asked, accesses of tile and crossbar arrive whole; under random stalls, and while the host is allowed now and then."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.sim import Simulator, SimulatorContext

from hdl.memory import exclusive_memory
from hdl.network.compact_counters import HOST_COUNTS, CompactCounters
from hdl.network.compact_host import CompactHost
from hdl.network.counters import LAYER_WORDS, Counters
from hdl.network.host import BUS_BITS, Host, HostPorts, Register, Space, address_of, lane_offset
from hdl.network.memory_ports import attach
from hdl.shapes import record, stream_of, width_for
from sim.payload import Values
from sim.pysim import run
from sim.transactions.base import Transactions

IDENTITY, DESCRIPTORS, LAYERS, ADD_BITS = 0xFEED_0123_4567_89AB, 8, 2, 4
#: Of the number of the last pixel: compact hosts hold no more than they need.
PIXEL_BITS = {"wide": 32, "compact": 10}
KINDS = tuple(PIXEL_BITS)
#: Bits of a crossbar's word, wider than the bus only in a wide one; of a generator's state.
CROSSBAR_BITS = {"wide": 90, "compact": BUS_BITS}
STATE_BITS = 48
FULL = (1 << BUS_BITS) - 1


class Hosted(wiring.Component):
    """A host with counters and descriptors. A word of ``event`` is a cycle, in which an image or an error may be counted; of
    the compact kind ``finish`` adds what was counted since the last one."""

    latency, cycles_per_beat = 24, 8

    def __init__(self, kind: str) -> None:
        self.kind = kind
        ports = HostPorts(
            descriptor_bits=width_for(DESCRIPTORS - 1),
            counter_bits=width_for(LAYERS * LAYER_WORDS - 1),
            generator_bits=STATE_BITS,
            tile_access=record(beat=8, generator=8, write=1, state=STATE_BITS),
            crossbar_access=record(space=4, address=16, lane=8, write=1, data=CROSSBAR_BITS[kind]),
            crossbar_answer=record(data=BUS_BITS),
        )
        self.host = (
            Host(IDENTITY, ports) if kind == "wide" else CompactHost(IDENTITY, ports, pixel_bits=PIXEL_BITS[kind])
        )
        self.passed = ("bus", "reply", "tile_access", "tile_answer", "crossbar_access", "crossbar_answer")
        streams = {name: self.host.signature.members[name] for name in self.passed}
        super().__init__({"event": In(stream_of(record(**dict.fromkeys((*HOST_COUNTS, "finish"), 1)))), **streams})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.host = host = self.host
        for name in self.passed:
            inside, outside = getattr(host, name), getattr(self, name)
            source, target = (outside, inside) if self.signature.members[name].flow is In else (inside, outside)
            m.d.comb += [
                target.payload.eq(source.payload),
                target.valid.eq(source.valid),
                source.ready.eq(target.ready),
            ]
        turn = Signal(3)
        m.d.sync += turn.eq(turn + 3)
        m.d.comb += host.allowed.eq(turn < 3)
        counters: Counters | CompactCounters
        if isinstance(host, Host):
            m.submodules.counters = counters = Counters(LAYERS, ADD_BITS)
            m.submodules.descriptors = memory = exclusive_memory(unsigned(BUS_BITS), DESCRIPTORS)
            attach(m, memory, [(1, host.descriptors_read)], [(1, host.descriptors_write)])
            counts: Host | CompactCounters = host
            m.d.comb += self.event.ready.eq(1)
        else:
            m.submodules.counters = counters = counts = CompactCounters(LAYERS, ADD_BITS, 8, DESCRIPTORS)
            wiring.connect(m, host.descriptors_read, counters.descriptors_read)
            wiring.connect(m, host.descriptors_write, counters.descriptors_write)
            finishing = Signal()
            m.d.comb += [
                self.event.ready.eq(~finishing | counters.done),
                counters.finish.eq(self.event.valid & self.event.payload.finish & ~finishing),
            ]
            m.d.sync += finishing.eq((finishing | counters.finish) & ~counters.done)
        wiring.connect(m, host.counters_read, counters.read)
        wiring.connect(m, host.counters_write, counters.write)
        for name in HOST_COUNTS:
            happens = self.event.payload[name] & self.event.valid & self.event.ready
            m.d.comb += getattr(counts, name).eq(happens)
        return m


def access(address: int, word: int | None = None) -> Values:
    """A read, or a write of ``word``."""
    return {"write": int(word is not None), "address": address, "data": word or 0}


def register(number: int, word: int | None = None) -> Values:
    return access(address_of(Space.REGISTERS.value, number), word)


def check(kind: str, *phases: Transactions, stall: float = 0.3, reset_after: int | None = None) -> None:
    block = Hosted(kind)
    first = Transactions(
        {name: [] for name in block.signature.members if name in {"event", "bus", "tile_answer", "crossbar_answer"}},
        {name: [] for name in ("reply", "tile_access", "crossbar_access")},
        phases,
    )
    if reset_after is not None:
        first = Transactions({**first.inputs, **phases[0].inputs}, {**first.outputs, **phases[0].outputs}, phases[1:])
    run(block, first, stall=stall, reset_after=reset_after)


def replies(*words: int) -> dict[str, list[Values]]:
    return {"reply": [{"data": word} for word in words]}


def happening(events: np.ndarray, kind: str) -> Transactions:
    """Cycles in which ``events`` happen, in the order of HOST_COUNTS."""
    words: list[Values] = [{**dict(zip(HOST_COUNTS, row, strict=True)), "finish": 0} for row in events.tolist()]
    if kind == "compact":
        words.append({**dict.fromkeys(HOST_COUNTS, 0), "finish": 1})
    return Transactions({"event": words}, {})


def drawn_events(generator: np.random.Generator, kind: str, cycles: int = 40) -> np.ndarray:
    """Of a compact host an image and an error at most."""
    events = generator.integers(0, 2, (cycles, len(HOST_COUNTS)))
    if kind == "compact":
        events[1:, 1:] = 0
    return events


@pytest.mark.parametrize("kind", KINDS)
def test_every_register_is_what_it_must_be(kind: str) -> None:
    """After a reset; after events; written with ones and read again; after more events, which count on from there. What there
    is not reads as 0 and is no other register, and the identity cannot be written."""
    generator = np.random.default_rng(1)
    events, more = drawn_events(generator, kind), drawn_events(generator, kind)
    read_all = [register(number) for number in range(20)]
    high = [(1 << (CROSSBAR_BITS[kind] - BUS_BITS)) - 1]
    none = [0] * (20 - len(Register))
    written = [(1 << 8) - 1, (1 << PIXEL_BITS[kind]) - 1, FULL, FULL, FULL, IDENTITY, *high]
    writes = [register(number, FULL) for number in range(20)]
    counts, more_counts = events.sum(axis=0).tolist(), more.sum(axis=0).tolist()
    assert all(counts)
    wrapped = [(FULL + count) % (1 << BUS_BITS) for count in more_counts]
    check(
        kind,
        # The compact host's counts lie in a memory, which a reset keeps.
        Transactions({"bus": [register(number, 0) for number in (2, 3, 4)]}, {}),
        Transactions({"bus": read_all}, replies(0, 0, 0, 0, 0, IDENTITY, 0, *none)),
        happening(events, kind),
        Transactions({"bus": read_all}, replies(0, 0, *counts, IDENTITY, 0, *none)),
        Transactions({"bus": [*writes, *read_all]}, replies(*written, *none)),
        happening(more, kind),
        Transactions({"bus": read_all}, replies(*written[:2], *wrapped, IDENTITY, *high, *none)),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_each_register_is_written_alone(kind: str) -> None:
    """A write to one changes no other."""
    numbers = [0, 1, 2, 3, 4] + ([6] if kind == "wide" else [])
    words = dict.fromkeys(numbers, 0)
    accesses = [register(number, 0) for number in numbers]
    answers: list[int] = []
    for number in numbers:
        words[number] = 17 + number
        accesses += [register(number, words[number]), *(register(other) for other in numbers)]
        answers += words.values()
    check(kind, Transactions({"bus": accesses}, replies(*answers)))


@pytest.mark.parametrize("kind", KINDS)
def test_memories_hold_what_is_written(kind: str) -> None:
    """Every word of descriptors and counters, all different."""
    places = [address_of(Space.DESCRIPTORS.value, number) for number in range(DESCRIPTORS)]
    places += [address_of(Space.COUNTERS.value, number) for number in range(LAYERS * LAYER_WORDS)]
    words = np.random.default_rng(1).integers(0, 1 << 63, len(places)).tolist()
    writes = [access(place, word) for place, word in zip(places, words, strict=True)]
    check(kind, Transactions({"bus": [*writes, *map(access, places)]}, replies(*words)))


@pytest.mark.parametrize("stall", (0.0, 0.5))
@pytest.mark.parametrize("kind", KINDS)
def test_tile_and_crossbar_get_their_accesses(kind: str, stall: float) -> None:
    generator = np.random.default_rng(2)
    bus: list[Values] = []
    out: dict[str, list[Values]] = {"tile_access": [], "crossbar_access": [], "reply": []}
    answers: dict[str, list[Values]] = {"tile_answer": [], "crossbar_answer": []}
    high = 0
    for number in range(24):
        place, lane, write = int(generator.integers(200)), int(generator.integers(60)), int(generator.integers(2))
        word = int(generator.integers(1 << 63)) if write else None
        if number % 2:
            bus.append(access(address_of(Space.GENERATORS.value, lane_offset(place, lane)), word))
            state = None if word is None else word % (1 << STATE_BITS)
            out["tile_access"].append({"beat": place, "generator": lane, "write": write, "state": state})
            if not write:
                answers["tile_answer"].append({"state": int(generator.integers(1 << STATE_BITS))})
                out["reply"].append({"data": answers["tile_answer"][-1]["state"]})
            continue
        if write and kind == "wide":
            high = int(generator.integers(1 << (CROSSBAR_BITS[kind] - BUS_BITS)))
            bus.append(register(Register.HIGH.value, high))
        space = int(generator.integers(8))
        bus.append(access(address_of(Space.CROSSBAR.value + space, lane_offset(place, lane)), word))
        given = None if word is None else word | high << BUS_BITS
        out["crossbar_access"].append({"space": space, "address": place, "lane": lane, "write": write, "data": given})
        if not write:
            answers["crossbar_answer"].append({"data": int(generator.integers(1 << 63))})
            out["reply"].append({"data": answers["crossbar_answer"][-1]["data"]})
    check(kind, Transactions({"bus": bus, **answers}, out), stall=stall)


def test_a_reset_clears_the_counts() -> None:
    """Those of a wide host: a compact one has them in a memory."""
    block = Hosted("wide")
    empty: dict[str, list[Values]] = {
        name: [] for name, member in block.signature.members.items() if member.flow is not In
    }
    inputs: dict[str, list[Values]] = {name: [] for name in block.signature.members if name not in empty}
    reads = [register(number) for number in range(5)]
    events = happening(np.ones((20, len(HOST_COUNTS)), int), "wide").inputs["event"]
    run(
        block,
        Transactions({**inputs, "bus": reads}, {**empty, **replies(0, 0, 0, 0, 0)}),
        reset_after=12,
        cut_off=Transactions({"event": events}, {}),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_waits_for_whoever_is_slow(kind: str) -> None:
    """The next access is there before the reply is taken."""
    writes = [register(number, 30 + number) for number in range(5)]
    reads = [register(number) for number in range(5)] * 4
    check(kind, Transactions({"bus": [*writes, *reads]}, replies(*[30 + number for number in range(5)] * 4)), stall=0.9)


@pytest.mark.parametrize("kind", KINDS)
def test_no_access_is_taken_unless_allowed(kind: str) -> None:
    host = Hosted(kind).host
    answered = []

    async def bench(context: SimulatorContext) -> None:
        context.set(host.bus.payload, register(Register.IDENTITY.value))
        context.set(host.bus.valid, 1)
        context.set(host.reply.ready, 1)
        for _ in range(10):
            assert not context.get(host.bus.ready) and not context.get(host.busy)
            await context.tick()
        context.set(host.allowed, 1)
        for _ in range(10):
            if context.get(host.reply.valid):
                answered.append(context.get(host.reply.payload.data))
                return
            await context.tick()

    simulator = Simulator(host)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert answered == [IDENTITY]


@pytest.mark.parametrize("cycles", range(1, 25, 2))
@pytest.mark.parametrize("kind", KINDS)
def test_reset_in_mid_access(kind: str, cycles: int) -> None:
    bus = [register(2, 5), register(2), register(0, 7), register(0), access(address_of(Space.DESCRIPTORS.value, 3), 9),
           access(address_of(Space.DESCRIPTORS.value, 3)), access(address_of(Space.GENERATORS.value, 0))]  # fmt: skip
    inputs = {"bus": bus, "tile_answer": [{"state": 11}]}
    tile_access: list[Values] = [{"beat": 0, "generator": 0, "write": 0, "state": None}]
    phase = Transactions(inputs, {**replies(5, 7, 9, 11), "tile_access": tile_access})
    check(kind, phase, reset_after=cycles)
