"""A serial port: bytes in and out, and one line for whatever can go wrong with it."""

from __future__ import annotations

import errno
import os
import select
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import serial

from emulator.errors import MachineError

#: Seconds in which the port must take a frame's bytes. Many frames' time even at 9600 baud.
WRITE_SECONDS = 10.0
#: What the system and pyserial raise. Its own errors are OSErrors, often without a number.
ERRORS = (OSError, termios.error)
#: What may be wrong where there is no port to be opened.
_REASONS = {
    errno.ENOENT: "no such port; accepted: the device of a board, such as /dev/ttyUSB0, or of `python -m board simulate`",
    errno.EACCES: "permission denied; accepted: a port that you may use (on Debian and Ubuntu, as member of group dialout)",
    errno.EBUSY: "in use; accepted: a port that no other program uses",
    errno.EWOULDBLOCK: "in use; accepted: a port that no other program uses",
}


class LinkError(MachineError):
    """The line to a board, or the board at its end, does not do what it should. One line."""


class SerialPort:
    """An open port (Port of board/link.py), 8N1, for this program alone. Raises LinkError."""

    def __init__(self, name: str, baud: int) -> None:
        self.name, self.baud = name, baud
        try:
            self._port = serial.Serial(name, baud, timeout=0, write_timeout=WRITE_SECONDS, exclusive=True)
            self._port.reset_input_buffer()
            self._port.reset_output_buffer()
        except (*ERRORS, ValueError) as error:
            raise LinkError(f"port {name!r}: {_reason(error, baud)}") from error

    def now(self) -> float:
        """See Port."""
        return time.monotonic()

    def read(self, seconds: float) -> bytes:
        """See Port."""
        with self._vanishing():
            if not select.select([self._port], [], [], max(0.0, seconds))[0]:
                return b""
            content: bytes = self._port.read(max(1, self._port.in_waiting))
            return content

    def write(self, line: bytes) -> None:
        """See Port."""
        with self._vanishing():
            try:
                self._port.write(line)
            except serial.SerialTimeoutException:
                self._port.reset_output_buffer()

    def close(self) -> None:
        """See Port. What is not yet out is lost: a system may wait long for a device that takes nothing any more."""
        with suppress(*ERRORS):
            self._port.reset_output_buffer()
        with suppress(*ERRORS):
            self._port.close()

    @contextmanager
    def _vanishing(self) -> Iterator[None]:
        try:
            yield
        except (*ERRORS, TypeError) as error:  # pyserial stumbles over its own None where a port was closed
            raise LinkError(
                f"port {self.name!r}: vanished ({_plain(error)}); accepted: a port that stays, with its board at the end"
            ) from error


def _reason(error: Exception, baud: int) -> str:
    number = getattr(error, "errno", None)
    if number in _REASONS:
        return _REASONS[number]
    if isinstance(error, ValueError) or "baud" in str(error).lower():
        return f"{baud} baud is refused ({_plain(error)}); accepted: a speed of this port"
    return f"cannot be opened ({_plain(error)}); accepted: a serial port"


def _plain(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else " ".join(str(error).split())
