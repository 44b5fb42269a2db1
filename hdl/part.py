"""The FPGA that a design is elaborated for, where no board says it: what stands for Amaranth's platform in reports and netlists."""

from __future__ import annotations

from dataclasses import dataclass

#: How Lattice's names of the ECP5 begin.
ECP5 = "LFE5U"


@dataclass(frozen=True)
class Part:
    """``device``: as Amaranth's platforms name it."""

    device: str


ECP5_85K, ICE40_UP5K = Part("LFE5U-85F"), Part("iCE40UP5K")


def is_ecp5(platform: object) -> bool:
    """Of Amaranth's platform or of a Part; None is no FPGA."""
    return str(getattr(platform, "device", "")).startswith(ECP5)
