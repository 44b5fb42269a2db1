"""A board, or something else, at the end of a line, served by a thread: what the tests of the host's side talk to."""

from __future__ import annotations

import os
import select
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def line(serve: Callable[[bytes], bytes], *, every: float = 0.001) -> Iterator[str]:
    """A device whose other end is ``serve``: it is given what came, perhaps nothing, and says what goes back."""
    here, there = os.openpty()
    tty.setraw(there)
    os.set_blocking(here, False)
    stop = threading.Event()

    def loop() -> None:
        waiting = b""
        while not stop.is_set():
            readable, _, _ = select.select([here], [], [], every)
            waiting += serve(os.read(here, 4096) if readable else b"")
            if waiting:
                try:
                    waiting = waiting[os.write(here, waiting) :]
                except BlockingIOError:
                    pass

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield os.ttyname(there)
    finally:
        stop.set()
        thread.join()
        os.close(here)
        os.close(there)
