"""The host's end of the line: two reliable streams of bytes over frames that may be lost (docs/link.md).

    link = Link(SerialPort("/dev/ttyUSB0", 1_000_000), identity)
    link.write(commands)
    answers = link.read(1000)

All timers are here: the board only answers. Every wait ends, with what was waited for or with a LinkError, whatever the other
end does: `Link._end_in_time` keeps the rule for sessions, `Link._hello` that for their beginning.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from board import protocol
from board.gateware.wire import LARGEST_HOST_DATA, PROTOCOL_VERSION, Refusal
from board.protocol import Data, DataAnswer, FrameReader, Hello, HelloAnswer, Refused, ahead
from board.serial_port import LinkError

#: Seconds after which a board that says nothing at all is given up: at first, and within a session, where half the patience
#: may be less.
HELLO_SECONDS, SILENCE_SECONDS = 5.0, 30.0
SILENCE_SHARE = 1 / 2
#: The least that must pass of what is waited for while the patience lasts, unless it is less: so many bytes, or this share of
#: what the line can carry meanwhile. A simulated board of 200 cycles a byte does it with 7,000 cycles a second in a minute.
STEP_BYTES, STEP_SHARE = 2048, 1 / 10
#: Bytes that the host keeps beyond those that it reads.
UNREAD_BYTES = 1 << 17
#: A byte on the line, with its start and stop bit.
BITS_OF_A_BYTE = 10
#: Seconds until an answer is missed: to a hello, and the bounds for what follows from the times of answers. The last is far
#: beyond any line's: simulated boards are slow.
HELLO_WAIT, SHORTEST_WAIT, LONGEST_WAIT = 0.25, 0.03, 4.0
#: Weights of a new time in the average, and in that of its deviation, and deviations to wait for (RFC 6298).
MEAN_WEIGHT, DEVIATION_WEIGHT, DEVIATIONS = 1 / 8, 1 / 4, 4
#: Answers that say nothing new, after which a frame counts as lost.
REPEATED_ANSWERS = 3
#: Refusals in a row after which they are believed: one may be meant for a frame of a host before.
REFUSALS = 2
#: Bytes of a board's input buffer: a frame's, and fewer than half of all positions, so that "before" and "behind" differ.
CAPACITIES = range(LARGEST_HOST_DATA, protocol.POSITIONS // 2)


class Port(Protocol):
    """What a link is at the end of: a serial port (board/serial_port.py), or what simulates one with a time of its own."""

    name: str
    baud: int

    def now(self) -> float:
        """Seconds since any moment."""

    def read(self, seconds: float) -> bytes:
        """Whatever is there, or comes first within so many seconds; nothing if nothing comes. Raises LinkError."""

    def write(self, line: bytes) -> None:
        """Hand bytes to the line. What it does not take in time is lost. Raises LinkError."""

    def close(self) -> None:
        """Free the port, which is of no use afterwards."""


@dataclass
class Statistics:
    """``sent``: data frames; ``again``: those of bytes sent before; ``waits``: answers that did not come in time."""

    sent: int = 0
    again: int = 0
    waits: int = 0


class Link:
    """A session with a board of this identity, whose streams, interpreter and network stand at their beginning.

    ``patience``: seconds in which a board that answers must get on with what it was given, by STEP_BYTES or all the rest.
    Raises LinkError.
    """

    def __init__(self, port: Port, identity: int, *, patience: float = 60.0) -> None:
        self._port, self._patience = port, patience
        line_bytes = port.baud / BITS_OF_A_BYTE * patience
        self._step = max(1, int(min(STEP_BYTES, STEP_SHARE * line_bytes)))
        self.statistics = Statistics()
        self._reader = FrameReader()
        # Counts of bytes since the session's beginning, of the host's stream ...
        self._given = bytearray()  # from `_confirmed` on
        self._confirmed = self._next = self._furthest = self._recovery = 0
        self._repeated = 0
        # ... and of the board's.
        self._received = bytearray()  # not yet read
        self._taken = self._told = 0
        self._room = UNREAD_BYTES
        self._ask, self._asked = False, -1
        self._refusals = 0
        self._probing = False
        self._mean, self._deviation = HELLO_WAIT, HELLO_WAIT / 2
        self._slowness = 1
        self._timed: tuple[int, float] | None = None
        self._heard = self._due = self._port.now()
        # Since when the step under way lasts, and how many of its bytes have passed.
        self._step_began, self._step_done = self._heard, 0
        # Whether a board's frames came since the last answer, of whatever session; and whether this session has begun.
        self._talked = self._greeted = False
        self._session = secrets.randbelow(protocol.POSITIONS - 1) + 1
        # Should the first session be the board's own by chance, from a host before, then the second is not.
        self._hello()
        self._session = self._session % (protocol.POSITIONS - 1) + 1
        answer = self._hello()
        if answer.version != PROTOCOL_VERSION:
            raise LinkError(
                f"port {port.name!r}: the board speaks version {answer.version} of the protocol; "
                f"accepted: {PROTOCOL_VERSION}, of the board that this program builds"
            )
        if answer.identity != identity:
            raise LinkError(
                f"port {port.name!r}: the board holds hardware {answer.identity:016x}; accepted: {identity:016x}, the "
                "bitstream of this config and version (python -m board build, then program)"
            )
        if answer.capacity not in CAPACITIES:
            raise LinkError(
                f"port {port.name!r}: the board says that its input buffer has {answer.capacity} bytes; accepted: "
                f"{CAPACITIES[0]} .. {CAPACITIES[-1]}, of the board that this program builds"
            )
        self._limit = self._capacity = answer.capacity
        self._greeted = True

    def write(self, content: bytes) -> None:
        """Give bytes to the host's stream. They are sent while `read` and `flush` wait."""
        self._given += content

    def read(self, count: int) -> bytes:
        """The next bytes of the board's stream. Raises LinkError."""
        self._room = count + UNREAD_BYTES
        self._until(lambda: count - len(self._received))
        content = bytes(self._received[:count])
        del self._received[:count]
        return content

    def flush(self) -> None:
        """Until the board has taken all bytes that were given. Raises LinkError."""
        self._room = UNREAD_BYTES
        self._until(lambda: len(self._given))

    @property
    def waiting(self) -> int:
        """Bytes given that the board has not yet taken."""
        return len(self._given)

    def close(self) -> None:
        """Free the port."""
        self._port.close()

    # --- a session's beginning ----------------------------------------------------------------------------------------

    def _hello(self) -> HelloAnswer:
        """Begin the session and wait for the board's answer: for HELLO_SECONDS; as long as the patience lasts where a board is
        still at work on what a host before has left on the line."""
        # An END first: what lies before it on the line is no part of the frame.
        line = protocol.END + protocol.encode(Hello(self._session))
        start = heard = self._port.now()
        self._forget()
        while (now := self._port.now()) < min(heard + HELLO_SECONDS, start + self._patience):
            self._port.write(line)
            due = now + HELLO_WAIT
            while (left := due - self._port.now()) > 0:
                for content in self._reader.feed(self._port.read(left)):
                    answer = protocol.from_board(content)
                    if isinstance(answer, HelloAnswer) and answer.session == self._session:
                        self._mean = self._port.now() - start
                        self._deviation = self._mean / 2
                        return answer
                    if answer is not None:
                        heard = self._port.now()
                        self._talked = True
        raise self._silence("hello", now - start)

    def _forget(self) -> None:
        """What came before the answer that is heard now does not tell what is at the end of the line."""
        self._reader.seen = self._reader.found = 0
        self._talked = False

    def _silence(self, what: str, seconds: float) -> LinkError:
        """No answer to ``what`` came for so long: why, as far as what came instead can tell."""
        port, duration = f"port {self._port.name!r}", f"{round(seconds, 1):g} s"
        baud = f"{self._port.baud} baud"
        if self._talked:
            return LinkError(
                f"{port}: the board sends frames, but no answer to this host's {what} for {duration}; accepted: a board that no other "
                "program uses, after a reset"
            )
        if self._reader.found:
            return LinkError(
                f"{port}: not a board: for {duration} come frames that no board sends, perhaps those of the host sent back; "
                "accepted: the port of a board"
            )
        if self._greeted:
            heard = "only garbage comes" if self._reader.seen else "no answer"
            return LinkError(
                f"{port}: {heard} at {baud} for {duration}, after answers before; accepted: a board that stays connected and "
                "powered, and a new start from the last checkpoint"
            )
        if self._reader.seen:
            return LinkError(
                f"{port}: only garbage comes at {baud}; accepted: a board at its own speed (--baud), and no other program at "
                "the end of the line"
            )
        return LinkError(f"{port}: no answer at {baud}; accepted: a board that is programmed and speaks this speed")

    # --- the loop -----------------------------------------------------------------------------------------------------

    def _until(self, left: Callable[[], int]) -> None:
        """Serve the line until nothing is ``left`` of the bytes that are waited for."""
        self._heard = self._step_began = self._port.now()
        self._due = self._heard + self._wait
        self._forget()
        before = left()
        while (now_left := left()) > 0:
            self._step_done = before - now_left
            if self._step_done >= self._step:
                before, self._step_began, self._step_done = now_left, self._port.now(), 0
            self._send()
            end = min(self._due, self._silent_at, self._late_at)
            for content in self._reader.feed(self._port.read(end - self._port.now())):
                self._hear(content)
            self._end_in_time()
            self._ask_again()

    @property
    def _silent_at(self) -> float:
        """When a board that says nothing meanwhile is given up."""
        return self._heard + min(SILENCE_SECONDS, SILENCE_SHARE * self._patience)

    @property
    def _late_at(self) -> float:
        """When a board is given up that answers, but does not end the step under way."""
        return self._step_began + self._patience

    def _end_in_time(self) -> None:
        """Raises LinkError where nothing is heard for too long, or the step under way takes too long: so that N bytes take
        (1 + N / step) times the patience at the most."""
        now = self._port.now()
        if now >= self._silent_at:
            raise self._silence("data", now - self._heard)
        if now >= self._late_at:
            done = f"has only got on by {self._step_done} bytes in" if self._step_done else "has not gone on for"
            raise LinkError(
                f"port {self._port.name!r}: the board answers, but {done} {self._patience:g} s; "
                "accepted: more patience (--patience SECONDS), or a reset of the board"
            )

    def _ask_again(self) -> None:
        """Poll, if an answer did not come in time."""
        if self._port.now() >= self._due:
            self.statistics.waits += 1
            self._slowness *= 2
            self._go_back()
            self._send_frame(0, repeat=True)
            self._probing = True

    @property
    def _wait(self) -> float:
        """Seconds after which an answer is missed."""
        wait = max(self._mean + DEVIATIONS * self._deviation, SHORTEST_WAIT)
        return min(wait * self._slowness, LONGEST_WAIT)

    # --- sending ------------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Whatever the board has room for; at least what it should know."""
        if self._probing:
            return
        # A port may take long to lose what it does not take: then there is something to hear in between.
        end = self._port.now() + self._wait
        while self._port.now() <= end:
            rest = len(self._given) - (self._next - self._confirmed)
            # Whatever the board tells, it has no more room than its buffer.
            room = min(self._limit, self._confirmed + self._capacity) - self._next
            size = min(rest, LARGEST_HOST_DATA, room)
            # A part of a frame is sent only where no answer is on its way, which will make room for more.
            if size <= 0 or (size < min(rest, LARGEST_HOST_DATA) and self._next > self._confirmed):
                break
            self._send_frame(size, repeat=self._ask)
        if self._ask or self._told != self._taken:
            self._send_frame(0, repeat=self._ask)

    def _send_frame(self, size: int, *, repeat: bool) -> None:
        """The next ``size`` bytes, and what was taken."""
        offset = self._next - self._confirmed
        data = bytes(self._given[offset : offset + size])
        position, acknowledged = self._next % protocol.POSITIONS, self._taken % protocol.POSITIONS
        self._port.write(protocol.encode(Data(self._session, position, acknowledged, repeat, data)))
        now = self._port.now()
        self.statistics.sent += 1
        if data and self._next < self._furthest:
            self.statistics.again += 1
        elif data and self._timed is None:
            self._timed = (self._next + size, now)
        self._next += size
        self._furthest = max(self._furthest, self._next)
        self._told = self._taken
        self._ask = False
        self._due = now + self._wait

    def _go_back(self) -> None:
        """Send again from the first byte that is not confirmed."""
        self._next = self._confirmed
        self._recovery = self._furthest
        self._repeated = 0
        self._timed = None  # its answer may be that to the first time or to the second

    # --- hearing ------------------------------------------------------------------------------------------------------

    def _hear(self, content: bytes) -> None:
        match protocol.from_board(content):
            case Refused(session, Refusal.NO_SESSION) if session != self._session:
                self._refuse("has lost the session: it was reset, or serves another program")
            case Refused(session, Refusal.MALFORMED) if session == self._session:
                self._refuse("refuses a command as malformed")
            case DataAnswer(session) as frame if session == self._session:
                self._refusals = 0
                self._heard = self._port.now()
                self._forget()
                self._probing = False
                self._hear_what_was_taken(frame)
                self._hear_data(frame)
                self._due = self._heard + self._wait
            case (
                HelloAnswer() | DataAnswer() | Refused()
            ):  # what was on the line, or a board that has other things to say
                self._talked = True

    def _refuse(self, what: str) -> None:
        self._heard = self._port.now()
        self._refusals += 1
        self._due = min(self._due, self._heard)  # the next frame decides
        if self._refusals >= REFUSALS:
            raise LinkError(
                f"port {self._port.name!r}: the board {what}; accepted: a new start from the last checkpoint"
            )

    def _hear_what_was_taken(self, frame: DataAnswer) -> None:
        new = ahead(frame.acknowledged, self._confirmed)
        further = ahead(frame.limit, self._limit)
        if 0 < new <= self._furthest - self._confirmed:
            del self._given[:new]
            self._confirmed += new
            self._next = max(self._next, self._confirmed)
            self._progress()
            self._repeated = 0
            if self._timed is not None and self._timed[0] <= self._confirmed:
                self._time(self._heard - self._timed[1])
        elif new == 0 and self._next > self._confirmed and further <= 0 and not frame.data:
            self._repeated += 1
            if self._repeated >= REPEATED_ANSWERS and self._confirmed >= self._recovery:
                self._go_back()
        if further > 0:
            self._limit += further
            self._progress()

    def _hear_data(self, frame: DataAnswer) -> None:
        place = ahead(frame.position, self._taken)
        if place > 0:
            # A gap: asked for once, and again when the time is up.
            if self._asked != self._taken:
                self._asked = self._taken
                self._ask = True
        elif news := frame.data[-place:] if place else frame.data:
            self._received += news
            self._taken += len(news)
            self._progress()
            if len(self._received) > self._room:
                raise LinkError(
                    f"port {self._port.name!r}: the board sends what nobody asked for: {len(self._received)} bytes are unread; "
                    f"accepted: {self._room} at the most here, and a reset of the board"
                )

    def _progress(self) -> None:
        """Something new came. Whoever waits ever longer waits shorter again."""
        self._slowness = max(1, self._slowness // 2)

    def _time(self, seconds: float) -> None:
        """An answer came after so long."""
        self._timed = None
        self._slowness = 1
        self._deviation += DEVIATION_WEIGHT * (abs(seconds - self._mean) - self._deviation)
        self._mean += MEAN_WEIGHT * (seconds - self._mean)
