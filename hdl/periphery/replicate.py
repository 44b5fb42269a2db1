"""`replicate`: drive every device of a weight with the same input: one vector, held and sent again and again.

    o = i, i, .. i    (copies),  once more for every repeat

Model: emulator/periphery/replicate.py. ``i``: beats of a vector of signed elements, at most ``beats`` of them; ``o``:
``copies`` of it back to back, each with the beats and masks of the original, ``last`` on the last beat of the last copy
only; then one word of ``again``: ``repeat`` = 1 sends all copies once more, 0 makes it ready for the next vector. That
is how bound management drives an array with the same vector again.

A beat per cycle in and out, none lost between copies. The first beat is offered ``latency`` cycles after the last one
was taken, and likewise after a repeat. ``again`` is taken once all of ``o`` is taken.
"""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pydantic import Field

from emulator.config import Stage
from hdl.block import Block, Parameters
from hdl.shapes import Segments, beat, index_for, record, stream_of


class ReplicateParameters(Parameters):
    lanes: int = Field(8, ge=1, le=64, description="elements per beat")
    magnitude_bits: int = Field(15, ge=1, le=62, description="bits of an element's magnitude, sign excluded")
    beats: int = Field(64, ge=1, le=65536, description="beats of the longest vector")
    copies: int = Field(1, ge=1, le=64, description="how often a vector is sent")

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
        self._payload = beat(signed(parameters.magnitude_bits + 1), parameters.lanes)
        super().__init__(
            parameters,
            {
                "i": In(stream_of(self._payload)),
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
        p = self.parameters
        m.submodules.memory = memory = Memory(shape=self._payload, depth=max(2, p.beats), init=[])
        write, read = memory.write_port(), memory.read_port()
        address, end = Signal(index_for(p.beats)), Signal(index_for(p.beats))
        copy = Signal(index_for(p.copies))
        fetching = Signal()
        last_fetched = Signal()
        fetched = Signal()  # whether the memory's output holds a beat
        fetched_last = Signal()
        advance = Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            last_fetched.eq((address == end) & (copy == p.copies - 1)),
            write.addr.eq(address),
            write.data.eq(self.i.payload),
            read.addr.eq(address),
            read.en.eq(advance),
        ]
        # The memory's output is a register of the pipeline: it stays while the pipeline stands.
        with m.If(advance):
            m.d.sync += [
                fetched.eq(fetching),
                fetched_last.eq(last_fetched),
                self.o.valid.eq(fetched),
                self.o.payload.eq(read.data),
                self.o.payload.last.eq(fetched_last),
            ]

        with m.FSM():
            with m.State("take"):
                m.d.comb += [self.i.ready.eq(1), write.en.eq(self.i.valid)]
                with m.If(self.i.valid):
                    m.d.sync += [address.eq(address + 1), end.eq(address)]
                    with m.If(self.i.payload.last):
                        m.d.sync += address.eq(0)
                        m.next = "send"
            with m.State("send"):
                m.d.comb += fetching.eq(1)
                with m.If(advance):
                    m.d.sync += address.eq(address + 1)
                    with m.If(address == end):
                        m.d.sync += [address.eq(0), copy.eq(copy + 1)]
                    with m.If(last_fetched):
                        m.d.sync += copy.eq(0)
                        m.next = "decide"
            with m.State("decide"):
                m.d.comb += self.again.ready.eq(~fetched & ~self.o.valid)
                with m.If(self.again.ready & self.again.valid):
                    with m.If(self.again.payload.repeat):
                        m.next = "send"
                    with m.Else():
                        m.next = "take"
        return m
