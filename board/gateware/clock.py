"""The clock of a board's design, where it is another one than that of the board's oscillator: the PLL of an ECP5."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import ClockSignal, Elaboratable, Instance, Module, Signal
from amaranth.lib.cdc import AsyncFFSynchronizer

#: Of the PLL's oscillator, in Hz, and of its dividers.
LOWEST_OSCILLATOR, HIGHEST_OSCILLATOR = 400_000_000, 800_000_000
LARGEST_DIVIDER = 128


@dataclass(frozen=True)
class Dividers:
    """``feedback``: of the PLL's oscillator, to the frequency of the input; ``output``: to that of the output."""

    feedback: int
    output: int

    @classmethod
    def between(cls, given: int, wanted: int) -> Dividers:
        """For frequencies in Hz. Raises ValueError."""
        for feedback in range(1, LARGEST_DIVIDER + 1):
            oscillator = given * feedback
            output, rest = divmod(oscillator, wanted)
            if LOWEST_OSCILLATOR <= oscillator <= HIGHEST_OSCILLATOR and not rest and 1 <= output <= LARGEST_DIVIDER:
                return cls(feedback, output)
        raise ValueError(
            f"clock = {wanted} Hz: accepted: a divisor of a multiple of {given} Hz that lies in "
            f"{LOWEST_OSCILLATOR} .. {HIGHEST_OSCILLATOR} Hz"
        )


class Ecp5Clock(Elaboratable):
    """Drives the domain ``sync`` at ``wanted`` Hz from a clock of ``given`` Hz; ``reset`` until it is stable: not the domain's own,
    which every register there is would have beside that of a session. Raises ValueError."""

    def __init__(self, source: Signal, given: int, wanted: int) -> None:
        self.source, self.wanted = source, wanted
        self.dividers = Dividers.between(given, wanted)
        self.reset = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        reference, locked = Signal(), Signal()
        m.submodules.pll = Instance(
            "EHXPLLL",
            p_CLKI_DIV=1,
            p_CLKFB_DIV=1,
            p_FEEDBK_PATH="CLKOP",
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=self.dividers.feedback,
            p_CLKOP_CPHASE=self.dividers.feedback - 1,
            p_CLKOP_FPHASE=0,
            p_CLKOS_ENABLE="ENABLED",
            p_CLKOS_DIV=self.dividers.output,
            p_CLKOS_CPHASE=self.dividers.output - 1,
            p_CLKOS_FPHASE=0,
            i_CLKI=self.source,
            i_CLKFB=reference,
            i_RST=0,
            i_STDBY=0,
            i_PHASESEL0=0,
            i_PHASESEL1=0,
            i_PHASEDIR=0,
            i_PHASESTEP=0,
            i_PHASELOADREG=0,
            i_PLLWAKESYNC=0,
            i_ENCLKOP=0,
            i_ENCLKOS=0,
            o_CLKOP=reference,
            o_CLKOS=ClockSignal("sync"),
            o_LOCK=locked,
        )
        m.submodules.synchronizer = AsyncFFSynchronizer(~locked, self.reset)
        return m
