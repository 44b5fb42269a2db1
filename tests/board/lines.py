"""A board, or something else, at the end of a line, served by a thread: what the tests of the host's side talk to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from board.faults import FaultyLine
from board.model import BoardModel
from board.simulator import Board, ModelledBoard, PseudoPort
from emulator.config import Config
from emulator.machine import Connection

BAUD = Connection.baud


class Served:
    """See Board. Whatever a function makes of what came, perhaps nothing."""

    restless = float("inf")
    waiting = 0

    def __init__(self, serve: Callable[[bytes], bytes]) -> None:
        self._serve = serve
        self._came = b""

    def feed(self, line: bytes) -> None:
        self._came += line

    def take(self) -> bytes:
        came, self._came = self._came, b""
        return self._serve(came)

    def advance(self) -> None:
        pass

    def reset(self) -> None:
        pass


@contextmanager
def serving(
    board: Board, *, baud: int = BAUD, faults: FaultyLine | None = None, going: Callable[[], bool] = lambda: True
) -> Iterator[PseudoPort]:
    """A port with a board behind it. The port vanishes when ``going`` says no."""
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


@contextmanager
def line(serve: Callable[[bytes], bytes]) -> Iterator[str]:
    """A device whose other end is ``serve``."""
    with serving(Served(serve)) as port:
        yield port.device


def golden_board(config: Config) -> tuple[ModelledBoard, BoardModel]:
    """The model of a board with the golden machine as its network."""
    board = ModelledBoard.of(config)
    return board, board.model
