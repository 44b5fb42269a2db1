"""`top`: a network behind a serial line, as it is on a board. See docs/link.md."""

from __future__ import annotations

from amaranth.hdl import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from board.gateware.commands import Commands
from board.gateware.link import Link
from board.gateware.parameters import LinkParameters


class BoardTop(wiring.Component):
    """``network``: a component with the streams of the network (hdl/network/network.py). ``rx``, ``tx``: the line; ``active``:
    a host has begun a session; ``reset``: for a domain without a reset. A new session resets the network, whose memories keep
    what they hold. Raises ValueError.
    """

    def __init__(self, network: wiring.Component, parameters: LinkParameters) -> None:
        self.network, self.parameters = network, parameters
        self._link = Link(parameters)
        self._commands = Commands(job=network.job.payload.shape(), result=network.result.payload.shape())
        super().__init__({"reset": In(1), "rx": In(1, init=1), "tx": Out(1, init=1), "active": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        link = self._link
        m.submodules.link = ResetInserter(self.reset)(link)
        commands, network = self._commands, self.network
        m.submodules.commands = ResetInserter(link.restart)(commands)
        m.submodules.network = ResetInserter(link.restart)(network)
        for source, target in (
            (link.commands, commands.i),
            (commands.o, link.answers),
            (commands.bus, network.bus),
            (network.reply, commands.reply),
            (commands.job, network.job),
            (commands.pixel, network.pixel),
            (network.result, commands.result),
        ):
            wiring.connect(m, source, target)
        m.d.comb += [
            link.rx.eq(self.rx),
            self.tx.eq(link.tx),
            self.active.eq(link.active),
            link.stopped.eq(commands.stopped),
            network.phase.ready.eq(1),
        ]
        return m
