"""Bytes out of frames: the CRC is appended, COBS is done, and the delimiter ends it. See frame_receiver.py.

A code stands before the bytes that it counts, so a frame is written to a memory first, with a gap for each code that is
filled when the next 0 or the end has come.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from board.gateware.crc import CRC_BYTES, Crc32
from board.gateware.frame_receiver import DELIMITER
from board.gateware.uart import BYTE_BITS, BYTES
from hdl.memory import exclusive_memory
from hdl.shapes import record, stream_of


class FrameSender(wiring.Component):
    """``i``: content, of 1 .. LARGEST_CONTENT bytes; ``o``: frames. After a reset it sends a delimiter first, which ends the
    frame that the reset may have cut off. A frame is sent when it is complete, and the next one is taken when it is sent.
    A byte of content takes nine cycles."""

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream_of(record(value=BYTE_BITS, last=1))),
                "o": Out(BYTES),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = Crc32()
        m.submodules.memory = memory = exclusive_memory(BYTE_BITS, 1 << BYTE_BITS)
        write, read = memory.write_port(), memory.read_port()
        # Where the next byte goes, and the last gap; while sending, the end and the next byte.
        place, gap = Signal(BYTE_BITS, init=1), Signal(BYTE_BITS)
        left = Signal(range(CRC_BYTES))
        fetched = Signal()
        value, put = Signal(BYTE_BITS), Signal()
        is_zero = value == 0
        m.d.comb += [
            read.addr.eq(gap),
            write.addr.eq(Mux(is_zero, gap, place)),
            write.data.eq(Mux(is_zero, place - gap, value)),
            write.en.eq(put),
            crc.byte.eq(value),
            crc.update.eq(put),
        ]
        with m.If(put):
            m.d.sync += place.eq(place + 1)
            with m.If(is_zero):
                m.d.sync += gap.eq(place)
        with m.FSM():
            with m.State("delimiter"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.value.eq(DELIMITER)]
                m.d.sync += [place.eq(1), gap.eq(0), left.eq(CRC_BYTES - 1)]
                m.d.comb += crc.clear.eq(1)
                with m.If(self.o.ready):
                    m.next = "content"
            with m.State("content"):
                m.d.comb += [
                    value.eq(self.i.payload.value),
                    self.i.ready.eq(~crc.busy),
                    put.eq(self.i.valid & ~crc.busy),
                ]
                with m.If(put & self.i.payload.last):
                    m.next = "crc"
            with m.State("crc"):
                m.d.comb += [value.eq(~crc.register[:BYTE_BITS]), put.eq(~crc.busy), crc.drop.eq(1)]
                with m.If(put):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 0):
                        m.next = "code"
            with m.State("code"):
                m.d.comb += write.en.eq(1)  # a value of 0: the last gap is filled
                m.d.sync += [gap.eq(0), fetched.eq(0)]
                m.next = "send"
            with m.State("send"):
                m.d.comb += [self.o.valid.eq(fetched), self.o.payload.value.eq(read.data)]
                m.d.sync += fetched.eq(1)
                with m.If(fetched & self.o.ready):
                    m.d.sync += [gap.eq(gap + 1), fetched.eq(0)]
                    with m.If(gap + 1 == place):
                        m.next = "delimiter"
        return m
