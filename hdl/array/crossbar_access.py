"""Reading and writing the crossbar's memories from outside, while nothing else is under way. What changes in training can be
read; device words and masks are written only, and read as 0: hundreds of wires from all over the device would lead here.

A word is taken into ``request``; from the next cycle on ``accessing`` leads its address to the memories through their address
registers, a cycle later it is served (``read``, ``write``). What was read passes the outputs of the memories, a register of
each (REGISTERS cycles in all) and a choice among them before it is offered as ``answer``: all ways across the device, none
of them in the clock's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from emulator.fixed import WORD_BITS
from hdl.array.crossbar_parameters import DEVICE_BITS, DRAWS, CrossbarParameters
from hdl.shapes import record, stream_of, width_for


class Space(enum.Enum, shape=unsigned(3)):
    """What is accessed: ``address`` is a column of devices in WEIGHT, ``lane`` one of ``devices`` rows; elsewhere
    ``address`` is a beat counted through all arrays, ``lane`` one of its lines (masks: of no meaning). Of a serial crossbar
    the device words of a beat have an address each, ``beat * DRAWS`` and on."""

    WEIGHT = 0
    ROW_NOISE = 1
    COLUMN_NOISE = 2
    ROW_DEVICE = 3
    COLUMN_DEVICE = 4
    ROW_MASK = 5
    COLUMN_MASK = 6


#: Cycles from ``read`` to ``chosen``: a memory, a register beside it, a choice among those nearby, a register in front of the
#: choice among all.
REGISTERS = 4


def data_bits(parameters: CrossbarParameters) -> int:
    """Of the widest thing accessed."""
    device = WORD_BITS if parameters.serial else DEVICE_BITS
    return max(device, parameters.generator_width, parameters.weight_bits, parameters.lanes)


def answer_bits(parameters: CrossbarParameters) -> int:
    """Of the widest thing read."""
    return max(parameters.generator_width, parameters.weight_bits)


def device_accesses(parameters: CrossbarParameters, number: int, words: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Address and data that bring the device words of a line of beat ``number`` into the memories."""
    if parameters.serial:
        yield from ((number * DRAWS + draw, word) for draw, word in enumerate(words))
    else:
        yield number, sum(word << WORD_BITS * draw for draw, word in enumerate(words))


def access_payload(parameters: CrossbarParameters) -> data.StructLayout:
    p = parameters
    return record(
        space=Space,
        address=width_for(max(p.weight_words, max(p.row_beats, p.column_beats) * (DRAWS if p.serial else 1)) - 1),
        lane=width_for(p.devices - 1),
        write=1,
        data=data_bits(p),
    )


class CrossbarAccess(wiring.Component):
    def __init__(self, parameters: CrossbarParameters) -> None:
        self.parameters = parameters
        payload, bits = access_payload(parameters), answer_bits(parameters)
        super().__init__(
            {
                "access": In(stream_of(payload)),
                "answer": Out(stream_of(record(data=bits))),
                "allowed": In(1),
                "busy": Out(1),
                "request": Out(payload),
                "accessing": Out(1),
                "read": Out(1),
                "write": Out(1),
                "chosen": In(bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.If(self.answer.ready):
            m.d.sync += self.answer.valid.eq(0)
        fetched = Signal(range(REGISTERS))
        with m.FSM() as serving:
            with m.State("idle"):
                m.d.comb += self.access.ready.eq(self.allowed & ~self.answer.valid)
                # Whether it is taken is known late, and many registers would hear of it.
                m.d.sync += self.request.eq(self.access.payload)
                with m.If(self.access.valid & self.access.ready):
                    m.d.sync += self.accessing.eq(1)
                    m.next = "lead"
            with m.State("lead"):
                m.next = "serve"
            with m.State("serve"):
                m.d.comb += [self.read.eq(~self.request.write), self.write.eq(self.request.write)]
                m.d.sync += [fetched.eq(0), self.accessing.eq(self.read)]
                m.next = "idle"
                with m.If(self.read):
                    m.next = "fetch"
            with m.State("fetch"):
                m.d.sync += fetched.eq(fetched + 1)
                with m.If(fetched == REGISTERS - 1):
                    m.d.sync += [self.answer.valid.eq(1), self.answer.payload.data.eq(self.chosen)]
                    m.d.sync += self.accessing.eq(0)
                    m.next = "idle"
        m.d.comb += self.busy.eq(~serving.ongoing("idle") | self.answer.valid)
        return m
