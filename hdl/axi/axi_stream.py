"""Images and logits as packets of AXI4-Stream.

`ImagePackets`: byte 0 has ``train`` in bit 7 and zeros below, byte 1 is the label, then follows a byte per pixel, the last
one with ``tlast``. A packet is kept until it is complete, and passed on only if it is as it should be; otherwise it is
dropped as a whole, since an image that is trained on cannot be taken back. So the packets after it are not touched by it.

`LogitPackets`: a word per logit, sign-extended, the last one of an image with ``tlast``.
"""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.axi.pins import axi_stream
from hdl.shapes import record, stream_of, width_for

#: Bit of ``train`` in the first byte of a packet.
TRAIN_BIT = 7
HEADER_BYTES = 2


class ImagePackets(wiring.Component):
    """Packets of ``last_pixel + 1`` pixels, labels below ``classes``. Holds one packet, of up to ``1 << address_bits``
    pixels: it takes the next while the network works on the one before, but not while it gives pixels.

    ``passed`` and ``dropped``: for a cycle, that a packet has been found right, or not, at its ``tlast``. Always as many
    pixels are given as ``last_pixel`` asks for once the job is taken, so that nothing waits for pixels if it has changed
    since the packet came.
    """

    def __init__(self, address_bits: int, classes: int) -> None:
        if not 1 <= classes <= 256:
            raise ValueError(f"classes {classes}: accepted: 1 .. 256, labels are bytes")
        self.address_bits, self.classes = address_bits, classes
        super().__init__(
            {
                "axi": In(axi_stream(8)),
                "last_pixel": In(address_bits),
                "job": Out(stream_of(record(train=1, label=width_for(classes - 1)))),
                "pixel": Out(stream_of(record(value=8))),
                "passed": Out(1),
                "dropped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.pixels = pixels = Memory(shape=8, depth=1 << self.address_bits, init=[])
        address = Signal(self.address_bits)
        whole = address == self.last_pixel
        with m.FSM() as state:
            giving = state.ongoing("job") | state.ongoing("pixels") | state.ongoing("end")
            m.d.comb += self.axi.tready.eq(~giving)
            self._collect(m, pixels, address, whole)
            self._give(m, pixels, address, whole)
        return m

    def _collect(self, m: Module, pixels: Memory, address: Signal, whole: Value) -> None:
        """A packet, up to its end."""
        axi, write = self.axi, pixels.write_port()
        taken, last = Signal(), Signal()
        m.d.comb += [
            taken.eq(axi.tvalid & axi.tready),
            last.eq(taken & axi.tlast),
            write.addr.eq(address),
            write.data.eq(axi.tdata),
        ]

        def drop() -> None:
            """Nothing that is left of the packet counts."""
            m.next = "rest"
            with m.If(last):
                m.d.comb += self.dropped.eq(1)
                m.next = "train"

        with m.State("train"):
            m.d.sync += [self.job.payload.train.eq(axi.tdata[TRAIN_BIT]), address.eq(0)]
            with m.If(taken):
                m.next = "label"
                with m.If(last | axi.tdata[:TRAIN_BIT].any()):
                    drop()
        with m.State("label"):
            m.d.sync += self.job.payload.label.eq(axi.tdata)
            with m.If(taken):
                m.next = "image"
                with m.If(last | (axi.tdata >= self.classes)):
                    drop()
        with m.State("image"):
            m.d.comb += write.en.eq(taken)
            with m.If(taken):
                m.d.sync += address.eq(address + 1)
                with m.If(last & whole):
                    m.d.comb += self.passed.eq(1)
                    m.d.sync += address.eq(0)
                    m.next = "job"
                with m.Elif(last | whole):
                    drop()
        with m.State("rest"), m.If(taken):
            drop()

    def _give(self, m: Module, pixels: Memory, address: Signal, whole: Value) -> None:
        """The job and the pixels of the packet."""
        pixel, read = self.pixel, pixels.read_port()
        advance = ~pixel.valid | pixel.ready
        m.d.comb += [read.addr.eq(address), read.en.eq(advance), pixel.payload.value.eq(read.data)]
        with m.State("job"):
            m.d.comb += self.job.valid.eq(1)
            with m.If(self.job.ready):
                m.next = "pixels"
        with m.State("pixels"):
            with m.If(advance):
                m.d.sync += [pixel.valid.eq(1), address.eq(address + 1)]
                with m.If(whole):
                    m.next = "end"
        with m.State("end"), m.If(pixel.ready):
            m.d.sync += pixel.valid.eq(0)
            m.next = "train"


class LogitPackets(wiring.Component):
    """``i``: beats of logits, of which the last of an image has an enabled lane. A word a cycle, a cycle between beats.
    Raises ValueError if a logit has more than ``word_bits`` bits."""

    def __init__(self, payload: data.StructLayout, word_bits: int) -> None:
        self.word_bits = word_bits
        bits = payload["elements"].shape.elem_shape.width
        if word_bits not in (32, 64) or bits > word_bits:
            raise ValueError(
                f"words of {word_bits} bits for logits of {bits}: accepted: 32 or 64, no less than a logit"
            )
        super().__init__({"i": In(stream_of(payload)), "axi": Out(axi_stream(word_bits, keep=True))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi = self.axi
        elements = Signal(self.i.payload.elements.shape())
        width = elements.shape().elem_shape.width
        mask, ends = Signal.like(self.i.payload.mask), Signal()
        passes = ~axi.tvalid | axi.tready
        m.d.comb += [
            self.i.ready.eq(~mask.any()),
            axi.tvalid.eq(mask[0]),
            axi.tdata.eq(elements[0]),
            axi.tlast.eq(ends & ~mask[1:].any()),
            axi.tkeep.eq(~0),
        ]
        with m.If(self.i.ready):
            with m.If(self.i.valid):
                m.d.sync += [
                    elements.eq(self.i.payload.elements),
                    mask.eq(self.i.payload.mask),
                    ends.eq(self.i.payload.last),
                ]
        with m.Elif(passes):
            m.d.sync += [elements.as_value().eq(elements.as_value()[width:]), mask.eq(mask[1:])]
        return m
