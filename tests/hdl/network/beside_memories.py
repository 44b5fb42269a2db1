"""The parts of a network that stand between a stream and memories, as a block that has nothing but streams.

``begin`` names a layer of the table and starts the part on it; ``look_NAME`` and ``seen_NAME`` read a memory when the part is
done. Memories are full of words of any kind before the first start, so that a word too many, or one out of its place, shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from emulator.config import Config, Stage
from hdl.memory import exclusive_memory
from hdl.network.descriptor import DescriptorWidths, layer_fields
from hdl.network.memory_ports import attach, reading
from hdl.shapes import index_for, record, stream_of
from sim.payload import Values
from sim.transactions.base import Transactions

#: Beats of every memory: more than any of the volumes below take.
DEPTH = 128
ADDRESS_BITS = (DEPTH - 1).bit_length()
ACTIVATION_BITS = 16
#: Ports of parts that are neither streams nor ports of memories.
WORDS = {"fraction": In, "exponent": Out}


@dataclass(frozen=True)
class Store:
    """A memory: its words before the first start, and the ports of the part that read and write it."""

    layout: data.ArrayLayout
    words: list[list[int]]
    read: str | None = None
    write: str | None = None


class BesideMemories(wiring.Component):
    """``part``, with a word of ``layers`` for each layer that it may be started on, and its ``stores`` by name. ``latency``:
    cycles in which it may have nothing to give."""

    cycles_per_beat = 4

    def __init__(
        self, part: Any, layers: Sequence[dict[str, int]], stores: dict[str, Store], *, latency: int = 16
    ) -> None:
        self.part, self.layers, self.stores, self.latency = part, layers, stores, latency
        members = part.signature.members
        self._streams = {
            port: member
            for port, member in members.items()
            if member.is_signature and isinstance(member.signature, stream.Signature)
        }
        self._words = {port: member.shape for port, member in members.items() if port in WORDS}
        streams = {"begin": In(stream_of(record(layer=index_for(len(layers)), **self._inputs))), **self._streams}
        for name, store in stores.items():
            streams[f"look_{name}"] = In(stream_of(record(address=ADDRESS_BITS)))
            streams[f"seen_{name}"] = Out(stream_of(record(elements=store.layout)))
        for name in self._outputs:
            streams[name] = Out(stream_of(record(**{name: members[name].shape})))
        super().__init__(streams)

    @property
    def _inputs(self) -> dict[str, Any]:
        """Words that come with ``begin`` and stay."""
        return {name: shape for name, shape in self._words.items() if WORDS[name] is In}

    @property
    def _outputs(self) -> list[str]:
        """Words that are given when the part is done."""
        return [name for name in self._words if WORDS[name] is Out]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.part = part = self.part
        busy, looking, fed = Signal(), Signal(), Signal()
        layout = part.layer.shape()
        m.d.comb += self.begin.ready.eq(~busy & ~looking)
        m.d.sync += part.start.eq(self.begin.valid & self.begin.ready)
        with m.If(self.begin.valid & self.begin.ready):
            m.d.sync += [
                part.layer.eq(Array(layout.const(layer).as_value() for layer in self.layers)[self.begin.payload.layer]),
                busy.eq(1),
                fed.eq(0),
                *(getattr(part, name).eq(self.begin.payload[name]) for name in self._inputs),
            ]
        for port, member in self._streams.items():
            inside, outside = getattr(part, port), getattr(self, port)
            # What comes in does so between the start and the last vector, as a tile gives nothing without a command.
            open_ = busy & ~part.start & ~fed if member.flow is In else 1
            source, target = (outside, inside) if member.flow is In else (inside, outside)
            m.d.comb += [
                target.payload.eq(source.payload),
                target.valid.eq(source.valid & open_),
                source.ready.eq(target.ready & open_),
            ]
            if member.flow is In:
                with m.If(self._all_positions(m, source)):
                    m.d.sync += fed.eq(1)
        done = self._done(m)
        with m.If(done):
            m.d.sync += busy.eq(0)
        for name in self._outputs:
            given = getattr(self, name)
            m.d.comb += given.payload[name].eq(getattr(part, name))
            m.d.sync += given.valid.eq(done | (given.valid & ~given.ready))
            with m.If(given.valid):
                m.d.comb += looking.eq(1)
        for name, store in self.stores.items():
            self._store(m, name, store, busy, looking)
        return m

    def _done(self, m: Module) -> Any:
        """A sink says so itself; a source has given the last vector of all positions."""
        return self.part.done if "done" in self.part.signature.members else self._all_positions(m, self.part.o)

    def _all_positions(self, m: Module, vectors: wiring.PureInterface) -> Any:
        """Whether the last vector of all positions of a layer ends."""
        passed = Signal.like(self.part.layer.last_position)
        ends = vectors.valid & vectors.ready & vectors.payload.last
        last = ends & (passed == self.part.layer.last_position)
        with m.If(ends):
            m.d.sync += passed.eq(Mux(last, 0, passed + 1))
        return last

    def _store(self, m: Module, name: str, store: Store, busy: Signal, looking: Signal) -> None:
        m.submodules[name] = memory = exclusive_memory(store.layout, DEPTH, store.words)
        look, seen = getattr(self, f"look_{name}"), getattr(self, f"seen_{name}")
        own = reading(ADDRESS_BITS, store.layout).create(path=(name,))
        there = Signal(name=f"{name}_there")
        m.d.comb += [
            own.address.eq(look.payload.address),
            look.ready.eq(~busy & ~there),
            own.enable.eq(look.valid & look.ready),
            seen.valid.eq(there),
            seen.payload.elements.eq(own.data),
        ]
        m.d.sync += there.eq(own.enable | (there & ~seen.ready))
        with m.If(there):
            m.d.comb += looking.eq(1)
        readers = [(~busy, own)]
        if store.read:
            readers.append((busy, getattr(self.part, store.read)))
        attach(m, memory, readers, [(1, getattr(self.part, store.write))] if store.write else [])


def anything(generator: np.random.Generator, layout: data.ArrayLayout) -> list[list[int]]:
    """Words of a memory that nobody has written."""
    shape = layout.elem_shape
    width, is_signed = (shape.width, shape.signed) if hasattr(shape, "width") else (shape, False)
    low = -(1 << (width - 1)) if is_signed else 0
    return generator.integers(low, low + (1 << width), (DEPTH, layout.length)).tolist()


def put(words: list[list[int]], base: int, beats: Sequence[Values], field: str = "elements") -> None:
    """A volume into a memory. Lanes that it does not have stay as they are."""
    for number, beat in enumerate(beats):
        for lane, value in enumerate(beat[field]):  # type: ignore[arg-type]
            if value is not None:
                words[base + number][lane] = value


def looked_at(name: str, words: Sequence[Sequence[int | None]]) -> Transactions:
    """All words of a memory, when the part is done."""
    return Transactions(
        {f"look_{name}": [{"address": address} for address in range(DEPTH)]},
        {f"seen_{name}": [{"elements": list(word)} for word in words]},
    )


# --- networks whose layers have all kinds of geometry ---------------------------------------------------------------


def layers_of(
    height: int,
    width: int,
    *,
    kernels: tuple[int, int],
    pooled: tuple[bool, bool],
    bias: bool,
    outputs: tuple[int, int],
) -> tuple[Stage, ...]:
    """Two convolutions and a fully connected layer; the first function is tanh, the second one the identity."""
    layers: dict[str, Any] = {}
    for number, activation in enumerate(("tanh", "identity")):
        layers[f"K{number}"] = {
            "type": "convolution",
            "kernel": kernels[number],
            "outputs": outputs[number],
            "bias": bias,
            "activation": activation,
        }
        if pooled[number]:
            layers[f"P{number}"] = {"type": "max_pooling"}
    layers["W"] = {"type": "fully_connected", "outputs": 10, "activation": "softmax", "bias": bias}
    return Config.model_validate({"input": {"height": height, "width": width}, "layers": layers}).stages


#: By what the first pooled layer does with its last row and column; the second one of the first network has both odd.
NETWORKS = {
    "odd height": layers_of(9, 8, kernels=(3, 1), pooled=(True, True), bias=True, outputs=(3, 5)),
    "odd width": layers_of(8, 9, kernels=(3, 2), pooled=(True, False), bias=False, outputs=(5, 2)),
    "even": layers_of(6, 8, kernels=(3, 2), pooled=(True, False), bias=True, outputs=(4, 1)),
    "not pooled": layers_of(4, 5, kernels=(2, 3), pooled=(False, False), bias=True, outputs=(3, 4)),
}


def layer_words(stages: tuple[Stage, ...], lanes: int) -> list[dict[str, int]]:
    return [layer_fields(stages, index, lanes) for index in range(len(stages))]


def widths_of(lanes: int) -> DescriptorWidths:
    return DescriptorWidths(lanes, ADDRESS_BITS)
