"""SIGTERM as an exception, so that whatever it ends removes its temporary files; and the end of programs that were started."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


@contextmanager
def ending_group(process: subprocess.Popen[str]) -> Iterator[None]:
    """If the block is interrupted, the program and all that it has started are asked to end: a compiler's driver would leave
    its compilers. The program leads a group of its own (``process_group=0``)."""
    try:
        yield
    except BaseException:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGTERM)
        raise


def _raise(number: int, frame: FrameType | None) -> None:
    raise TerminatedError
