"""A board, or something else, at the end of a line, served by a thread: what the tests of the host's side talk to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from board.model import BoardModel
from board.simulator import ModelledBoard, serving
from emulator.config import Config


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


def golden_board(config: Config) -> tuple[ModelledBoard, BoardModel]:
    """The model of a board with the golden machine as its network."""
    board = ModelledBoard.of(config)
    return board, board.model
