"""Parameters of the link."""

from __future__ import annotations

from pydantic import Field, field_validator

from board.gateware.uart import BITS_PER_BYTE, LEAST_CLOCKS_PER_BIT
from emulator.config.schema import Frozen

#: A frame that is not full waits this long for more, in the time of a byte on the line.
WAIT_BYTES = 64
LEAST_RING, LARGEST_RING = 512, 1 << 14


class LinkParameters(Frozen):
    """Frozen; illegal ones are refused with field, value and what is accepted."""

    clocks_per_bit: int = Field(ge=LEAST_CLOCKS_PER_BIT, description="clock cycles of a bit on the serial line")
    identity: int = Field(0, ge=0, lt=1 << 64, description="number by which the host recognises the design")
    input_ring: int = Field(LEAST_RING, description="bytes kept of the stream from the host")
    output_ring: int = Field(LEAST_RING, description="bytes kept of the stream to the host")

    @field_validator("input_ring", "output_ring")
    @classmethod
    def _power_of_two(cls, ring: int) -> int:
        if not LEAST_RING <= ring <= LARGEST_RING or ring & (ring - 1):
            raise ValueError(f"accepted: a power of two, {LEAST_RING} .. {LARGEST_RING}")
        return ring

    @property
    def wait(self) -> int:
        """Cycles for which a frame that is not full waits for more: the next power of two."""
        return 1 << (WAIT_BYTES * BITS_PER_BYTE * self.clocks_per_bit - 1).bit_length()
