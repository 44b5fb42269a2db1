"""`network_axi`: the network (hdl/network/network.py) with the pins of AXI, for systems on a chip. See docs/axi.md.

s_axil_*  AXI4-Lite     configuration, weights and states, counters     -> bus, reply
s_axis_*  AXI4-Stream   a packet per image                              -> job, pixel
m_axis_*  AXI4-Stream   a packet of logits per image                    <- result
packet_dropped          high while the count of dropped packets is not 0
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hdl.axi.axi_lite import AxiLite
from hdl.axi.axi_stream import ImagePackets, LogitPackets
from hdl.axi.pins import AXI_LITE, DATA_BITS, axi_stream, connect_pins, pins
from hdl.axi.registers import Registers, exists
from hdl.export import describe_pins
from hdl.network.network import Network
from hdl.network.network_parameters import NetworkParameters

WORD_BITS = 32


class NetworkAxi(wiring.Component):
    """``network``: a component with the streams of the network. ``address_bits``: bits of its pixels' addresses, of which
    its register *last pixel* has as many that count; ``classes``: labels. ``word_bits``: of a logit in a packet, 32 or 64.
    Raises ValueError."""

    def __init__(
        self, network: wiring.Component, *, address_bits: int, classes: int, word_bits: int = WORD_BITS
    ) -> None:
        self.network = network
        self._axi_lite = AxiLite(exists)
        self._registers = Registers(address_bits)
        self._images = ImagePackets(address_bits, classes)
        self._logits = LogitPackets(network.result.payload.shape(), word_bits)
        super().__init__(
            {
                **pins("s_axil", AXI_LITE.flip()),
                **pins("s_axis", axi_stream(8).flip()),
                **pins("m_axis", axi_stream(word_bits, keep=True)),
                "packet_dropped": Out(1),
            }
        )

    @classmethod
    def of(cls, parameters: NetworkParameters) -> NetworkAxi:
        """With the network of these parameters; words of logits are as short as they can be."""
        network = Network(parameters)
        logit = network.result.payload.elements.shape().elem_shape
        return cls(
            network,
            address_bits=parameters.widths.address,
            classes=parameters.softmax.classes,
            word_bits=WORD_BITS if logit.width <= WORD_BITS else DATA_BITS,
        )

    def describe(self, name: str) -> dict[str, Any]:
        """As `describe` of hdl/export.py does it for blocks: parameters of the network, and the pins. No streams."""
        return {
            "block": name,
            "parameters": self.network.parameters.model_dump(),
            "pins": describe_pins(self),
            "streams": {},
        }

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.network = network = self.network
        m.submodules.axi_lite = axi_lite = self._axi_lite
        m.submodules.registers = registers = self._registers
        m.submodules.images = images = self._images
        m.submodules.logits = logits = self._logits
        for prefix, inner in (("s_axil", axi_lite.axi), ("s_axis", images.axi), ("m_axis", logits.axi)):
            connect_pins(m, self, prefix, inner)
        for source, target in (
            (axi_lite.bus, registers.bus),
            (registers.reply, axi_lite.reply),
            (registers.onward, network.bus),
            (network.reply, registers.answer),
            (images.job, network.job),
            (images.pixel, network.pixel),
            (network.result, logits.i),
        ):
            wiring.connect(m, source, target)
        m.d.comb += [
            network.phase.ready.eq(1),
            images.last_pixel.eq(registers.last_pixel),
            registers.passed.eq(images.passed),
            registers.dropped.eq(images.dropped),
            self.packet_dropped.eq(registers.some_dropped),
        ]
        return m
