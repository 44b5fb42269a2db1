"""`bench`: a board, and across its line a UART of the host's side, as streams of bytes: for simulation (sim/native.py)."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pydantic import Field

from board.gateware.parameters import LinkParameters
from board.gateware.top import BoardTop
from board.gateware.uart import BYTES, LEAST_CLOCKS_PER_BIT, UartReceiver, UartTransmitter
from emulator.config import Stage
from hdl.block import Block, Parameters


class BenchParameters(Parameters):
    link: LinkParameters
    host_clocks_per_bit: int = Field(
        ge=LEAST_CLOCKS_PER_BIT,
        description="clock cycles of a bit at the host's end; others than the link's: a wrong rate",
    )

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> BenchParameters:
        """Raises ValueError: a board is made for a whole network."""
        raise ValueError(f"layer {stage.name}: accepted: parameters of a link")


class Bench(Block[BenchParameters]):
    """``network``: as BoardTop takes it. ``to_board``, ``from_board``: the bytes on the line, as the host's UART sends and
    receives them. Design.of(bench, "board_bench") is ready to be simulated."""

    takes_config = True

    def __init__(self, network: wiring.Component, parameters: BenchParameters) -> None:
        self.top = BoardTop(network, parameters.link)
        super().__init__(parameters, {"to_board": In(BYTES), "from_board": Out(BYTES)})

    @property
    def latency(self) -> int:
        """None is promised."""
        return 0

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.top = top = self.top
        m.submodules.transmitter = transmitter = UartTransmitter(self.parameters.host_clocks_per_bit)
        m.submodules.receiver = receiver = UartReceiver(self.parameters.host_clocks_per_bit)
        wiring.connect(m, wiring.flipped(self.to_board), transmitter.i)
        wiring.connect(m, receiver.o, wiring.flipped(self.from_board))
        m.d.comb += [top.rx.eq(transmitter.tx), receiver.rx.eq(top.tx)]
        return m
