"""Pins of AXI interfaces, by the names that AXI tools look for: ``PREFIX_tdata``, ``PREFIX_awaddr``."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

ADDRESS_BITS = 32
DATA_BITS = 64
DATA_BYTES = DATA_BITS // 8

#: AXI4-Lite as the manager sees it.
AXI_LITE = wiring.Signature(
    {
        "awaddr": Out(ADDRESS_BITS),
        "awprot": Out(3),
        "awvalid": Out(1),
        "awready": In(1),
        "wdata": Out(DATA_BITS),
        "wstrb": Out(DATA_BYTES),
        "wvalid": Out(1),
        "wready": In(1),
        "bresp": In(2),
        "bvalid": In(1),
        "bready": Out(1),
        "araddr": Out(ADDRESS_BITS),
        "arprot": Out(3),
        "arvalid": Out(1),
        "arready": In(1),
        "rdata": In(DATA_BITS),
        "rresp": In(2),
        "rvalid": In(1),
        "rready": Out(1),
    }
)


class Response(enum.Enum, shape=2):
    """``bresp`` and ``rresp``."""

    OKAY = 0
    SLVERR = 2


def axi_stream(data_bits: int, *, keep: bool = False) -> wiring.Signature:
    """AXI4-Stream as the transmitter sees it; ``keep``: with ``tkeep``."""
    members = {"tdata": Out(data_bits), "tvalid": Out(1), "tready": In(1), "tlast": Out(1)}
    if keep:
        members["tkeep"] = Out(data_bits // 8)
    return wiring.Signature(members)


def pins(prefix: str, signature: wiring.Signature) -> dict[str, wiring.Member]:
    """The members of an interface as a component's own, so that they have these names in Verilog too."""
    return {f"{prefix}_{name}": member for name, member in signature.members.items()}


def connect_pins(m: Module, component: wiring.Component, prefix: str, inner: wiring.PureInterface) -> None:
    """Connect the pins of ``component`` to the interface of a submodule that has their members and directions."""
    for name, member in inner.signature.members.items():
        pin, port = getattr(component, f"{prefix}_{name}"), getattr(inner, name)
        m.d.comb += port.eq(pin) if member.flow is wiring.In else pin.eq(port)
