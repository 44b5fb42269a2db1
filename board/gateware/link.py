"""`link`: two reliable streams of bytes over a serial line, within a session. See docs/link.md.

rx -> UartReceiver -> FrameReceiver -> Intake -> commands
tx <- UartTransmitter <- FrameSender <- Outlet <- answers
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from board.gateware.frame_receiver import FrameReceiver
from board.gateware.frame_sender import FrameSender
from board.gateware.intake import Intake
from board.gateware.outlet import Outlet
from board.gateware.parameters import LinkParameters
from board.gateware.uart import BYTES, UartReceiver, UartTransmitter
from board.gateware.wire import POSITION_BITS, Refusal

#: A new limit is told when the input ring has drained by this part of it.
DRAINED = 4


class Link(wiring.Component):
    """``commands``: the stream from the host; ``answers``: the stream to it; ``rx``, ``tx``: the line.

    ``restart``, for one cycle: a new session, all that belongs to the one before is to be forgotten; also after a reset of the
    link, so that the rest needs no reset of its own. ``stopped``: what the host has sent cannot be understood, it is refused.
    ``active``: there is a session.
    """

    def __init__(self, parameters: LinkParameters) -> None:
        self.parameters = parameters
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "commands": Out(BYTES),
                "answers": In(BYTES),
                "restart": Out(1, init=1),
                "stopped": In(1),
                "active": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        intake = Intake(p.input_ring)
        outlet = Outlet(
            ring=p.output_ring,
            wait=p.wait,
            step=p.input_ring // DRAINED,
            capacity=intake.capacity,
            identity=p.identity,
        )
        sender = FrameSender()
        m.submodules.uart_receiver = uart_receiver = UartReceiver(p.clocks_per_bit)
        m.submodules.uart_transmitter = uart_transmitter = UartTransmitter(p.clocks_per_bit)
        m.submodules.receiver = receiver = FrameReceiver()
        for name, part in (("intake", intake), ("outlet", outlet), ("sender", sender)):
            m.submodules[name] = ResetInserter(self.restart)(part)
        for source, target in (
            (uart_receiver.o, receiver.i),
            (receiver.o, intake.i),
            (outlet.o, sender.i),
            (sender.o, uart_transmitter.i),
        ):
            wiring.connect(m, source, target)
        wiring.connect(m, intake.o, wiring.flipped(self.commands))
        wiring.connect(m, wiring.flipped(self.answers), outlet.i)

        session, greeted, greets = Signal(POSITION_BITS), Signal(), Signal()
        accepts = intake.data & ~self.stopped
        m.d.comb += [
            uart_receiver.rx.eq(self.rx),
            self.tx.eq(uart_transmitter.tx),
            self.active.eq(session.any()),
            intake.session.eq(session),
            outlet.session.eq(session),
            outlet.taken.eq(intake.taken),
            outlet.limit.eq(intake.limit),
            outlet.hello.eq(greets),
            outlet.refuse.eq(intake.stranger | (intake.data & self.stopped)),
            outlet.reason.eq(Mux(intake.stranger, Refusal.NO_SESSION, Refusal.MALFORMED)),
            outlet.answer.eq(accepts),
            outlet.acknowledge.eq(accepts),
            outlet.acknowledged.eq(intake.field),
            outlet.repeat.eq(accepts & intake.repeat),
        ]
        # Thousands of registers are reset, so a register says so; the greeting comes after it.
        m.d.sync += [
            self.restart.eq(intake.hello & (intake.field != session)),
            greeted.eq(intake.hello),
            greets.eq(greeted),
        ]
        with m.If(intake.hello):
            m.d.sync += session.eq(intake.field)
        return m
