"""The whole link over its line, compiled: sessions, windows, repeats, positions that go around, lines that misbehave.

A UART of the host's side stands at the line; the stream to the board comes out and the answers go in at the other end.
"""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from board.gateware.bench import BenchParameters
from board.gateware.link import Link
from board.gateware.parameters import LinkParameters
from board.gateware.uart import BYTES, UartReceiver, UartTransmitter
from hdl.block import Block
from sim.native import Native
from sim.runner import Design
from tests.board.gateware.frames import DELIMITER, contents, data, framed, hello, parsed, stream_of

CLOCKS_PER_BIT, WRONG_CLOCKS_PER_BIT = 4, 5
CYCLES_PER_BYTE = 10 * CLOCKS_PER_BIT
IDENTITY = 0x0123456789ABCDEF
RING = 512
CAPACITY = RING - 4
#: Cycles in which a frame of any length is sent and answered.
EXCHANGE = 700 * CYCLES_PER_BYTE


class Line(Block[BenchParameters]):
    """A link and the host's UART."""

    takes_config = True

    def __init__(self, parameters: BenchParameters) -> None:
        streams = {"to_board": In(BYTES), "from_board": Out(BYTES), "commands": Out(BYTES), "answers": In(BYTES)}
        super().__init__(parameters, streams)

    @property
    def latency(self) -> int:
        return 0

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rate = self.parameters.host_clocks_per_bit
        m.submodules.link = link = Link(self.parameters.link)
        m.submodules.transmitter = transmitter = UartTransmitter(rate)
        m.submodules.receiver = receiver = UartReceiver(rate)
        for inner, name in (
            (transmitter.i, "to_board"),
            (receiver.o, "from_board"),
            (link.commands, "commands"),
            (link.answers, "answers"),
        ):
            outer = wiring.flipped(getattr(self, name))
            if self.signature.members[name].flow is In:
                wiring.connect(m, outer, inner)
            else:
                wiring.connect(m, inner, outer)
        m.d.comb += [link.rx.eq(transmitter.tx), receiver.rx.eq(link.tx)]
        return m


@cache
def design(host_clocks_per_bit: int = CLOCKS_PER_BIT) -> Design:
    link = LinkParameters(clocks_per_bit=CLOCKS_PER_BIT, identity=IDENTITY, input_ring=RING, output_ring=RING)
    parameters = BenchParameters(link=link, host_clocks_per_bit=host_clocks_per_bit)
    return Design.of(Line(parameters), "link_line")


class Board:
    """A simulated link. ``holds``: its commands are not taken until `release`."""

    def __init__(self, *, host_clocks_per_bit: int = CLOCKS_PER_BIT, holds: bool = False) -> None:
        self.native = Native(design(host_clocks_per_bit))
        if holds:
            self.native.stall({"commands": 1 - 2**-40})

    def release(self) -> None:
        self.native.stall(0.0)

    def say(self, raw: bytes, cycles: int = EXCHANGE, *, whole: bool = True) -> bytes:
        """What comes from the board meanwhile; ``whole``: and until the frame that it is sending then has ended."""
        self.native.send("to_board", value=np.frombuffer(raw, np.uint8))
        self.native.clock(cycles)
        heard = self._heard()
        while whole and heard and not heard.endswith(DELIMITER):
            self.native.clock(EXCHANGE // 100)
            heard += self._heard()
        return heard

    def _heard(self) -> bytes:
        return bytes(self.native.receive("from_board")["value"].astype(np.uint8))

    def exchange(self, *given: bytes) -> list[tuple[int, ...]]:
        """Contents to the board as frames, and its frames."""
        return [parsed(content) for content in contents(self.say(b"".join(map(framed, given))))]

    def answer(self, stream: bytes) -> None:
        self.native.send("answers", value=np.frombuffer(stream, np.uint8))

    @property
    def commands(self) -> bytes:
        return bytes(self.native.receive("commands")["value"].astype(np.uint8))


def greeted(session: int = 7, **options: object) -> Board:
    board = Board(**options)  # type: ignore[arg-type]
    assert board.exchange(hello(session)) == [(0x81, session, 1, IDENTITY, CAPACITY)]
    return board


def test_without_a_session_all_data_is_refused() -> None:
    board = Board()
    assert board.exchange(data(5, 0, 0, b"abc"), data(0, 0, 0)) == [(0x83, 0, 1)] * 2
    assert board.commands == b""


def test_it_begins_with_a_delimiter() -> None:
    assert Board().say(b"")[:1] == b"\0"


def test_a_stream_to_the_board() -> None:
    board = greeted()
    assert board.exchange(data(7, 0, 0, b"abc")) == [(0x82, 7, 0, 3, (3 + CAPACITY), b"")]
    assert board.exchange(data(7, 3, 0, b"de"), data(7, 5, 0, b"f"))[-1] == (0x82, 7, 0, 6, 6 + CAPACITY, b"")
    assert board.commands == b"abcdef"


def test_a_stream_from_the_board() -> None:
    board, stream = greeted(), random.Random(1).randbytes(1200)
    board.answer(stream)
    frames = board.exchange()
    got = stream_of(frames)
    assert got == stream[: len(got)] and len(got) == RING
    while len(got) < len(stream):
        before = len(got)
        got += stream_of(board.exchange(data(7, 0, len(got))), len(got))
        assert len(got) > before
    assert got == stream


def test_a_repeated_hello_changes_nothing() -> None:
    board = greeted()
    board.answer(b"kept")
    board.exchange(data(7, 0, 0, b"abc"))
    assert board.exchange(hello(7)) == [(0x81, 7, 1, IDENTITY, CAPACITY)]
    frames = board.exchange(data(7, 3, 0, b"d", repeat=True))
    assert stream_of(frames) == b"kept" and frames[-1][3] == 4
    assert board.commands == b"abcd"


def test_a_new_session_begins_anew_and_the_one_before_is_refused() -> None:
    board = greeted()
    board.answer(b"old answers")
    board.exchange(data(7, 0, 0, b"old commands"))
    assert board.exchange(hello(0x0708)) == [(0x81, 0x0708, 1, IDENTITY, CAPACITY)]
    assert board.exchange(data(7, 12, 0, b"stale")) == [(0x83, 0x0708, 1)]
    board.answer(b"new")
    frames = board.exchange(data(0x0708, 0, 0, b"new commands"))
    assert stream_of(frames) == b"new" and board.commands == b"old commandsnew commands"


@pytest.mark.parametrize("bytes_", (3, 40, 150, 300))
def test_a_new_session_in_the_middle_of_a_frame_from_the_board(bytes_: int) -> None:
    board, stream = greeted(), bytes(k % 251 for k in range(bytes_ + 100))  # all in the ring before the new session
    board.answer(stream)
    early = board.say(b"", bytes_ * CYCLES_PER_BYTE, whole=False)
    raw = early + board.say(framed(hello(9)))
    # The frame that was cut off is ended by a delimiter; all that is good belongs to one session or the other.
    good = []
    for frame in raw.split(b"\0"):
        try:
            good += contents(frame + b"\0")
        except Exception:  # cobs has its own errors
            continue
    kinds = [parsed(content) for content in good]
    assert kinds[-1] == (0x81, 9, 1, IDENTITY, CAPACITY)
    assert all(content[1] == 7 for content in kinds[:-1])
    assert board.exchange(data(9, 0, 0, b"x")) == [(0x82, 9, 0, 1, 1 + CAPACITY, b"")]


def test_data_beyond_the_limit_is_dropped_and_the_limit_moves_on() -> None:
    board = greeted(holds=True)
    stream = random.Random(2).randbytes(1000)
    board.exchange(data(7, 0, 0, stream[:238]), data(7, 238, 0, stream[238:476]))
    (frame,) = board.exchange(data(7, 476, 0, stream[476:514]))
    taken, limit = frame[3:5]
    assert taken == 476 and CAPACITY <= limit <= CAPACITY + 2
    (frame,) = board.exchange(data(7, 476, 0, stream[476:508]))
    assert frame[3] == 508
    board.release()
    unasked = board.exchange()
    assert unasked and unasked[-1][3] == 508 and unasked[-1][4] >= 508 + CAPACITY * 3 // 4
    assert board.exchange(data(7, 508, 0, stream[508:700]))[-1][3:5] == (700, 700 + CAPACITY)
    assert board.commands == stream[:700]


def test_lost_answers_are_sent_again() -> None:
    board, stream = greeted(), random.Random(3).randbytes(300)
    board.answer(stream)
    assert stream_of(board.exchange()) == stream
    assert stream_of(board.exchange(data(7, 0, 100, repeat=True)), 100) == stream[100:]
    assert stream_of(board.exchange(data(7, 0, 300, repeat=True)), 300) == b""
    for impossible in (299, 301, 40000):
        assert stream_of(board.exchange(data(7, 0, impossible, repeat=True)), 300) == b""
    board.answer(b"more")
    assert stream_of(board.exchange(data(7, 0, 300)), 300) == b"more"


def test_frames_with_errors_are_as_if_they_had_not_come() -> None:
    chance = random.Random(4)
    board, stream, position = greeted(), random.Random(5).randbytes(4000), 0
    answers = chance.randbytes(3000)
    board.answer(answers)
    got = b""
    for _ in range(60):
        size = chance.randint(0, 238)
        frame = bytearray(framed(data(7, position, len(got), stream[position : position + size], repeat=True)))
        broken = chance.random() < 0.4
        if broken:
            frame[chance.randrange(len(frame) - 1)] ^= 1 << chance.randrange(8)
        frames = [parsed(content) for content in contents(board.say(bytes(frame)))]
        fresh = [content for content in frames if content[2] <= len(got)]
        got += stream_of(fresh, len(got))
        if not broken:
            position = min(position + size, len(stream))
        assert frames[-1][3] == position if frames else broken
    assert board.commands == stream[:position] and got == answers[: len(got)] and len(got) > 2000


def test_garbage_between_frames_harms_nothing() -> None:
    chance, board = random.Random(6), greeted()
    for position in range(20):
        board.say(chance.randbytes(chance.randrange(1, 300)))
        frames = contents(board.say(b"\0" + framed(data(7, position, 0, bytes([position])))))
        assert parsed(frames[-1])[3] == position + 1
    assert board.commands == bytes(range(20))


def test_positions_go_around_in_both_directions() -> None:
    chance, board = random.Random(7), greeted()
    stream, position, got = chance.randbytes(70_000), 0, 0
    board.native.stall({"commands": 0.3, "answers": 0.3}, seed=3)  # but not the bench's UART, which would lose bytes
    board.answer(stream)
    while position < len(stream) or got < len(stream):
        part = stream[position : position + 238]
        frames = board.exchange(data(7, position, got, part))
        fresh = stream_of(frames, got)
        assert fresh == stream[got : got + len(fresh)]
        got += len(fresh)
        position += (frames[-1][3] - position) % 65536
    assert board.commands == stream and got == len(stream)


def test_at_a_wrong_rate_nothing_is_understood() -> None:
    board = Board(host_clocks_per_bit=WRONG_CLOCKS_PER_BIT)
    board.say(framed(hello(7)) * 10 + framed(data(7, 0, 0, b"abc")) * 10, whole=False)
    assert board.commands == b""


def test_a_frame_that_stays_without_its_end_changes_nothing() -> None:
    board = greeted()
    assert board.say(framed(data(7, 0, 0, b"abc"))[:-1]) == b""
    assert board.commands == b""
    assert [parsed(content)[3] for content in contents(board.say(b"\0"))] == [3]
    assert board.commands == b"abc"
