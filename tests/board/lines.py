"""A board, or something else, at the end of a line: what the tests of the host's side talk to.

`line` is a device, served by a thread; `MemoryPort` is a port in memory with a time of its own, in which minutes take no time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from board import protocol
from board.model import BoardModel
from board.protocol import Data, DataAnswer, FrameReader, HelloAnswer, ahead
from board.simulator import Board, ModelledBoard, serving
from emulator.config import Config
from emulator.machine import Connection


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
def line(serve: Callable[[bytes], bytes]) -> Iterator[str]:
    """A device whose other end is ``serve``."""
    with serving(Served(serve)) as port:
        yield port.device


class MemoryPort:
    """See Port. Whatever ``serve`` makes of what the host wrote is there after ``answer_seconds``."""

    name, baud = "MEMORY", Connection.baud

    def __init__(self, serve: Callable[[bytes], bytes], answer_seconds: float = 1e-3) -> None:
        self._serve, self._answer_seconds = serve, answer_seconds
        self.time = 0.0
        self.closed = False
        self._written = b""

    def now(self) -> float:
        return self.time

    def read(self, seconds: float) -> bytes:
        written, self._written = self._written, b""
        said = self._serve(written)
        self.time += self._answer_seconds if said else max(0.0, seconds)
        return said

    def write(self, line: bytes) -> None:
        self._written += line

    def close(self) -> None:
        self.closed = True


class WatchedBoard:
    """See Board. ``beyond``: by how many bytes data of the host was beyond the limit that the board had told by then."""

    def __init__(self, board: Board) -> None:
        self._board, self.restless, self.advance = board, board.restless, board.advance
        self.beyond: list[int] = []
        self._session = self._limit = 0
        self._from_host, self._to_host = FrameReader(), FrameReader()

    @property
    def waiting(self) -> int:
        return self._board.waiting

    def feed(self, line: bytes) -> None:
        for content in self._from_host.feed(line):
            frame = protocol.from_host(content)
            if isinstance(frame, Data) and frame.session == self._session:
                self.beyond.append(max(0, ahead(frame.position, self._limit) + len(frame.data)))
        self._board.feed(line)

    def take(self) -> bytes:
        line = self._board.take()
        for content in self._to_host.feed(line):
            frame = protocol.from_board(content)
            if isinstance(frame, HelloAnswer):
                self._session, self._limit = frame.session, frame.capacity
            elif isinstance(frame, DataAnswer) and frame.session == self._session:
                self._limit = frame.limit
        return line

    def reset(self) -> None:
        self._board.reset()


def golden_board(config: Config) -> tuple[ModelledBoard, BoardModel]:
    """The model of a board with the golden machine as its network."""
    board = ModelledBoard.of(config)
    return board, board.model
