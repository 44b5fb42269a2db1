"""A board without a board: its whole design, simulated, behind a pseudo-terminal that looks like its serial port.

with PseudoPort(SimulatedBoard(config, link), baud=1_000_000) as port:
    print(port.device)
    port.serve()
"""

from __future__ import annotations

import os
import select
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from board.device_link import DeviceLink
from board.faults import FaultyLine
from board.gateware.bench import Bench, BenchParameters
from board.gateware.parameters import LinkParameters
from board.gateware.uart import LEAST_CLOCKS_PER_BIT
from board.identity import identity_of
from board.layout import network_layout
from board.model import BoardModel, GoldenNetwork
from board.speed import retimed, speed_of
from emulator.config import Config
from emulator.machine import Connection
from hdl.network.network import Network
from hdl.network.network_parameters import NetworkParameters
from sim.native import Native
from sim.network_memory import NetworkMemory
from sim.runner import Design

#: Buffers of the simulated board.
RING_BYTES = 2048
#: Bytes that are taken from the host at once, and that may wait to be simulated: the line itself holds no more.
PORTION = 512
#: Cycles between two looks at the host: few, so that an answer is there at once.
CYCLES_A_TURN = 2000
#: Seconds without a byte after which the simulation pauses until the host says something: whoever waits for the board asks more often.
RESTLESS_SECONDS = 10.0
#: Seconds between two looks at whether to go on, in a pause.
PAUSE_SECONDS = 0.2


def simulated_link(config: Config) -> LinkParameters:
    """A link as fast to simulate as can be, for a config's network. Raises ValueError for one that hardware does not hold."""
    identity = identity_of(NetworkParameters.of_config(config))
    return LinkParameters(
        clocks_per_bit=LEAST_CLOCKS_PER_BIT, identity=identity, input_ring=RING_BYTES, output_ring=RING_BYTES
    )


class Board(Protocol):
    """What is at the far end of the line."""

    #: Seconds without a byte in which it may still say something by itself.
    restless: float

    @property
    def waiting(self) -> int:
        """Bytes given that have not yet arrived."""

    def feed(self, line: bytes) -> None:
        """Bytes from the host."""

    def take(self) -> bytes:
        """Bytes to the host."""

    def advance(self) -> None:
        """Let some time pass."""

    def reset(self) -> None:
        """As a configuration does; memories keep what they hold."""


class SimulatedBoard:
    """See Board. The top level of a board for a config, Verilated, with its UART's pins. Raises NativeError, and ValueError
    for a config that hardware does not hold."""

    restless = RESTLESS_SECONDS

    def __init__(self, config: Config, link: LinkParameters) -> None:
        network = Network(NetworkParameters.of_config(config), link.identity)
        bench = Bench(network, BenchParameters(link=link, host_clocks_per_bit=link.clocks_per_bit))
        self.native = Native(Design.of(bench, "board_bench"))

    @property
    def waiting(self) -> int:
        """See Board."""
        return self.native.waiting("to_board")

    def feed(self, line: bytes) -> None:
        """See Board."""
        self.native.send("to_board", value=np.frombuffer(line, np.uint8))

    def take(self) -> bytes:
        """See Board."""
        return self.native.receive("from_board")["value"].astype(np.uint8).tobytes()

    def advance(self, cycles: int = CYCLES_A_TURN) -> None:
        """See Board."""
        self.native.clock(cycles)

    def reset(self) -> None:
        """See Board."""
        self.native.reset()


class ModelledBoard:
    """See Board. The model of the board's end, which takes no time; ``of``: with the golden machine as its network."""

    restless = 0.0
    waiting = 0

    def __init__(self, model: BoardModel) -> None:
        self.model = model
        self.feed, self.take, self.reset = model.feed, model.take, model.reset

    @classmethod
    def of(cls, config: Config) -> ModelledBoard:
        """Raises ValueError for a config that hardware does not hold."""
        network = network_layout(config)
        golden = GoldenNetwork(config, NetworkMemory(network, config))
        return cls(BoardModel(golden, identity_of(network.parameters)))

    def advance(self) -> None:
        """See Board."""


class PseudoPort:
    """A device file with a board behind it, for whoever opens it as a serial port. A host that sets another speed than
    ``baud`` hears and says garbage, as on a real line. ``faults``: of the line and the board; ``link``: a symbolic link to
    the device, made here and removed in the end. Raises DeviceLinkError."""

    def __init__(self, board: Board, *, baud: int, faults: FaultyLine | None = None, link: Path | None = None) -> None:
        self.board, self.baud, self.faults = board, baud, faults
        self._here, self._there = os.openpty()
        tty.setraw(self._there)
        os.set_blocking(self._here, False)
        self.device = os.ttyname(self._there)
        self._to_host = b""
        self._active = time.monotonic()
        self._link: DeviceLink | None = None
        try:
            self._link = None if link is None else DeviceLink(link, self.device)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> PseudoPort:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """The device vanishes."""
        if self._link is not None:
            self._link.remove()
        os.close(self._here)
        os.close(self._there)

    def serve(self, going: Callable[[], bool] = lambda: True) -> None:
        """Pass bytes to and fro, and let the board work, for as long as ``going``."""
        while going():
            self.turn()

    def turn(self) -> None:
        """One look at the host, and some time for the board; or a pause, if nothing goes on."""
        pause = PAUSE_SECONDS if time.monotonic() > self._active + self.board.restless and not self._to_host else 0.0
        if self.board.waiting < PORTION and select.select([self._here], [], [], pause)[0]:
            self._from_host(os.read(self._here, PORTION))
            self._active = time.monotonic()
        elif pause:
            return
        self.board.advance()
        said = self.board.take()
        if said:
            self._active = time.monotonic()
            speed = speed_of(self._here)
            arrived = said if self.faults is None else self.faults.from_board(said)
            self._to_host += retimed(arrived, sent=self.baud, received=speed)
        if self._to_host:
            try:
                self._to_host = self._to_host[os.write(self._here, self._to_host) :]
            except BlockingIOError:  # nobody reads: a line loses what nobody reads
                self._to_host = b""

    def _from_host(self, said: bytes) -> None:
        arrived = retimed(said, sent=speed_of(self._here), received=self.baud)
        for part in [arrived] if self.faults is None else self.faults.to_board(arrived):
            if part is None:
                self.board.reset()
            elif part:
                self.board.feed(part)


@contextmanager
def serving(
    board: Board,
    *,
    baud: int = Connection.baud,
    faults: FaultyLine | None = None,
    going: Callable[[], bool] = lambda: True,
) -> Iterator[PseudoPort]:
    """A port with a board behind it, served by a thread. The port vanishes when ``going`` says no."""
    stop = threading.Event()
    port = PseudoPort(board, baud=baud, faults=faults)

    def loop() -> None:
        with port:
            port.serve(lambda: going() and not stop.is_set())

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        stop.set()
        thread.join()
