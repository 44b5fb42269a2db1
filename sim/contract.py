"""The contract of streams as claims, the same for every block: words stay until they are taken, none is lost, none is
made up, vectors keep their lengths, and all come out.

Inputs offer anything at any time, but leave an offered word as it is until it is taken; outputs are taken at any time;
resets come at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring

from hdl.block import Block
from sim.formal import Harness

#: What an input word is worth on an output, from its payload.
Worth = Callable[[Value], Value | int]
COUNT = signed(9)


def per_beat(_payload: Value) -> int:
    return 1


def per_vector(payload: Value) -> Value:
    return payload.last


@dataclass(frozen=True)
class Flow:
    """What words of inputs are worth, and what a word of one output takes away again. What is left is owed: never below 0,
    nor above ``capacity``, and no more than ``residue`` once all has come out."""

    sources: Mapping[str, Worth] = field(default_factory=lambda: {"i": per_beat})
    price: int = 1
    residue: int | None = None  # None: less than a price; more where whole volumes are waited for
    capacity: int | None = None  # None: a word for every cycle of the block's latency


@dataclass(frozen=True)
class Contract:
    """``drain``: cycles without input, with all outputs taken, after which all has come out; None: latency and a beat.
    ``legal``: what words of an input may be, where not anything. ``vectors``: beats of the vectors of a port, ``last`` on
    the last of them: taken for granted of an input, claimed of an output."""

    flows: Mapping[str, Flow] = field(default_factory=lambda: {"o": Flow()})
    drain: int | None = None
    legal: Mapping[str, Callable[[Value], Value]] = field(default_factory=dict)
    vectors: Mapping[str, int] = field(default_factory=dict)


class ContractHarness(Harness):
    """Claims ``PORT_stays`` and ``PORT_stable``; with a contract also ``PORT_nothing_made_up``, ``PORT_capacity``,
    ``PORT_drained``, ``PORT_framed`` and ``progress``. ``legal``: as the contract's, where there is none."""

    def __init__(
        self,
        block: Block,
        contract: Contract | None = None,
        legal: Mapping[str, Callable[[Value], Value]] | None = None,
    ) -> None:
        self.block, self.contract = block, contract
        self.legal = (legal or {}) if contract is None else contract.legal

    def build(self, m: Module) -> None:
        m.submodules.block = self.block
        inputs, outputs = [], []
        for port, member in self.block.signature.members.items():
            interface = getattr(self.block, port)
            if member.flow is wiring.In:
                inputs.append(port)
                self._offer(m, port, interface)
            else:
                outputs.append(port)
                self._take(m, port, interface)
        if self.contract is not None:
            for port, beats in self.contract.vectors.items():
                framed = framing(m, getattr(self.block, port), beats, port)
                if port in inputs:
                    self.suppose(framed)
                else:
                    self.claim(f"{port}_framed", framed)
            self._conserve(m, inputs, outputs)

    def _pending(self, m: Module, port: str, interface: stream.Interface) -> tuple[Value, Value]:
        """Whether a word was offered and not taken a cycle ago, and whether the same word is there now."""
        payload = Value.cast(interface.payload)
        pending = self.before(interface.valid & ~interface.ready, f"{port}_pending")
        return pending, payload == self.before(payload, f"{port}_before")

    def _offer(self, m: Module, port: str, interface: stream.Interface) -> None:
        payload = Value.cast(interface.payload)
        m.d.comb += [
            interface.valid.eq(self.free(1, f"{port}_valid")),
            payload.eq(self.free(len(payload), f"{port}_payload")),
        ]
        self.watch(interface.ready, 1, f"{port}_ready")
        pending, same = self._pending(m, port, interface)
        self.suppose(~pending | (interface.valid & same))
        if port in self.legal:
            self.suppose(self.legal[port](interface.payload))

    def _take(self, m: Module, port: str, interface: stream.Interface) -> None:
        payload = Value.cast(interface.payload)
        m.d.comb += interface.ready.eq(self.free(1, f"{port}_ready"))
        self.watch(interface.valid, 1, f"{port}_valid")
        self.watch(payload, len(payload), f"{port}_payload")
        pending, same = self._pending(m, port, interface)
        self.claim(f"{port}_stays", ~pending | interface.valid)
        self.claim(f"{port}_stable", ~pending | same)

    def _conserve(self, m: Module, inputs: list[str], outputs: list[str]) -> None:
        offered = Cat(getattr(self.block, port).valid for port in inputs)
        taken = Cat(getattr(self.block, port).ready for port in inputs)
        free = Cat(getattr(self.block, port).ready for port in outputs)
        drain = self.contract.drain or self.block.latency + self.block.cycles_per_beat
        silent = run_of(m, ~offered.any() & free.all(), drain, "silent")
        stuck = run_of(m, offered.all() & free.all() & ~taken.any(), drain, "stuck")
        self.claim("progress", stuck < drain)
        for port, flow in self.contract.flows.items():
            residue = flow.price - 1 if flow.residue is None else flow.residue
            owed = self.balance(m, port, flow)
            self.claim(f"{port}_drained", (silent < drain) | ((owed <= residue) & ~getattr(self.block, port).valid))

    def balance(self, m: Module, port: str, flow: Flow) -> Signal:
        """What is owed by a port, with the claims that it stays within its bounds."""
        sink = getattr(self.block, port)
        owed = Signal(COUNT, name=f"{port}_owed")
        change: Value = -Mux(taken(sink), flow.price, 0)
        for name, worth in flow.sources.items():
            source = getattr(self.block, name)
            change = change + Mux(taken(source), worth(source.payload), 0)
        m.d.sync += owed.eq(owed + change)
        self.watch(owed, COUNT, f"{port}_owed")
        self.claim(f"{port}_nothing_made_up", owed >= 0)
        self.claim(f"{port}_capacity", owed <= (flow.capacity or flow.price * self.block.latency))
        return owed


def taken(interface: stream.Interface) -> Value:
    return interface.valid & interface.ready


def run_of(m: Module, condition: Value, limit: int, name: str) -> Signal:
    """For how many cycles the condition has held, up to ``limit``."""
    count = Signal(range(limit + 1), name=name)
    with m.If(~condition):
        m.d.sync += count.eq(0)
    with m.Elif(count < limit):
        m.d.sync += count.eq(count + 1)
    return count


def framing(m: Module, interface: stream.Interface, beats: int | Value, name: str) -> Value:
    """Whether ``last`` is on the beat that ends a vector of ``beats``, and on no other."""
    number = Signal(COUNT, name=f"{name}_number")
    ends = number == beats - 1
    with m.If(taken(interface)):
        m.d.sync += number.eq(Mux(ends, 0, number + 1))
    return ~interface.valid | (interface.payload.last == ends)
