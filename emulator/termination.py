"""SIGTERM as an exception, so that whatever it ends removes its temporary files and ends the programs that it started."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TerminatedError(BaseException):
    """The process was asked to end. Like KeyboardInterrupt, no ``except Exception`` stops it."""


@contextmanager
def raising_terminated() -> Iterator[None]:
    """While entered, SIGTERM raises TerminatedError, unless something else was to be done about it before."""
    # Python allows handlers to be set in the main thread only; elsewhere the caller answers for signals.
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raise(number: int, frame: FrameType | None) -> None:
    raise TerminatedError
