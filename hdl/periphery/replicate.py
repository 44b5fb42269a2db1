"""`replicate`: drive every device of a weight with the same input: one vector, held and sent again and again.

    o = i, i, .. i    (copies),  once more for every repeat

Model: emulator/periphery/replicate.py. ``i``: beats of a vector of signed elements, at most ``beats`` of them, with how
many ``copies`` to make of it; ``o``: the copies back to back, each with the beats and masks of the original, ``last`` on
the last beat of the last copy only; then one word of ``again``: ``repeat`` = 1 sends all copies once more, 0 ends the
vector. That is how bound management drives an array with the same vector again.

Two vectors fit in, so the next one is taken while one is sent. A beat per cycle in and out, none lost between copies.
The first beat is offered ``latency`` cycles after the last one was taken, or after the word of ``again`` that repeats the
vector or ends the one before it. ``again`` is taken once all of ``o`` is taken.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, signed
from amaranth.lib import data
from amaranth.lib.memory import ReadPort
from amaranth.lib.wiring import In, Out
from pydantic import Field

from emulator.config import Stage
from hdl.block import Block, Parameters
from hdl.memory import exclusive_memory
from hdl.shapes import Segments, beat, index_for, record, stream_of, width_for


class ReplicateParameters(Parameters):
    lanes: int = Field(8, ge=1, le=64, description="elements per beat")
    magnitude_bits: int = Field(15, ge=1, le=62, description="bits of an element's magnitude, sign excluded")
    beats: int = Field(64, ge=1, le=65536, description="beats of the longest vector")
    copies: int = Field(1, ge=1, le=64, description="most copies of a vector")

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> ReplicateParameters:
        """The replicated side."""
        bits = stage.error_magnitude_bits if stage.replicate_rows else stage.activation_magnitude_bits
        return cls(
            lanes=lanes,
            magnitude_bits=bits,
            beats=replicated_side(stage, lanes).beats,
            copies=stage.array.replication,
        )


def replicated_side(stage: Stage, lanes: int) -> Segments:
    """One copy of the lines of the replicated side: the rows, or the columns as pixels and the bias line."""
    if stage.replicate_rows:
        return Segments((stage.rows,), lanes)
    pixels = stage.inputs // stage.channels
    return Segments((stage.channels,) * pixels + (1,) * stage.layer.bias, lanes)


class Replicate(Block[ReplicateParameters]):
    def __init__(self, parameters: ReplicateParameters) -> None:
        element, lanes = signed(parameters.magnitude_bits + 1), parameters.lanes
        self._payload = beat(element, lanes)
        super().__init__(
            parameters,
            {
                "i": In(stream_of(beat(element, lanes, copies=width_for(parameters.copies)))),
                "again": In(stream_of(record(repeat=1))),
                "o": Out(stream_of(self._payload)),
            },
        )

    @property
    def latency(self) -> int:
        """The memory's address, its output, a register behind it, since a block memory answers late in the cycle."""
        return 3

    def elaborate(self, platform: object) -> Module:
        m = Module()
        index = index_for(self.parameters.beats)
        # The last beat is known from its number; of one lane no mask is needed, since no beat is empty.
        kept = {name: field.shape for name, field in self._payload if name != "last"}
        if self.parameters.lanes == 1:
            del kept["mask"]
            m.d.comb += self.o.payload.mask.eq(1)
        m.submodules.memory = memory = exclusive_memory(data.StructLayout(kept), 2 << index.width)
        write, read = memory.write_port(), memory.read_port()
        # Each half of the memory holds a vector; `full` says which of them do.
        full = Signal(2)
        ends = Signal(data.ArrayLayout(index, 2))
        copies = Signal(data.ArrayLayout(self.i.payload.copies.shape(), 2))
        write_half, write_index = Signal(), Signal(index)
        m.d.comb += [
            self.i.ready.eq(~full.bit_select(write_half, 1)),
            write.addr.eq(Cat(write_index, write_half)),
            write.en.eq(self.i.valid & self.i.ready),
            *(write.data[name].eq(self.i.payload[name]) for name in kept),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += write_index.eq(write_index + 1)
            with m.If(self.i.payload.last):
                m.d.sync += [
                    write_index.eq(0),
                    ends[write_half].eq(write_index),
                    copies[write_half].eq(self.i.payload.copies),
                    full.bit_select(write_half, 1).eq(1),
                    write_half.eq(~write_half),
                ]
        self._send(m, read, full, ends, copies)
        return m

    def _send(self, m: Module, read: ReadPort, full: Signal, ends: data.View, copies: data.View) -> None:
        half, address = Signal(), Signal(index_for(self.parameters.beats))
        copy = Signal(index_for(self.parameters.copies))
        sent = Signal()  # all copies are fetched, and `again` is to be asked
        fetching, last_fetched = Signal(), Signal()
        fetched, fetched_last = Signal(), Signal()  # whether the memory's output holds a beat, and the last one
        advance = Signal()
        last_copy = copy == copies[half] - 1 if self.parameters.copies > 1 else Const(1)
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            fetching.eq(full.bit_select(half, 1) & ~sent),
            last_fetched.eq((address == ends[half]) & last_copy),
            read.addr.eq(Cat(address, half)),
            read.en.eq(advance),
            self.again.ready.eq(sent & ~fetched & ~self.o.valid),
        ]
        # The memory's output is a register of the pipeline: it stays while the pipeline stands.
        with m.If(advance):
            m.d.sync += [
                fetched.eq(fetching),
                fetched_last.eq(last_fetched),
                self.o.valid.eq(fetched),
                *(self.o.payload[name].eq(read.data[name]) for name, _ in read.data.shape()),
                self.o.payload.last.eq(fetched_last),
            ]
        with m.If(fetching & advance):
            m.d.sync += address.eq(address + 1)
            with m.If(address == ends[half]):
                m.d.sync += [address.eq(0), copy.eq(copy + 1)]
            with m.If(last_fetched):
                m.d.sync += [copy.eq(0), sent.eq(1)]
        with m.If(self.again.valid & self.again.ready):
            m.d.sync += sent.eq(0)
            with m.If(~self.again.payload.repeat):
                m.d.sync += [full.bit_select(half, 1).eq(0), half.eq(~half)]
