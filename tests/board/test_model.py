"""The model of a board keeps every rule of docs/link.md by itself: what no well-behaved host ever shows."""

from __future__ import annotations

import pytest

from board import protocol
from board.gateware.wire import LARGEST_BOARD_DATA, Command, Refusal
from board.model import BoardModel, HostFaultError
from board.protocol import Data, DataAnswer, Hello, HelloAnswer, Refused
from tests.board.networks import Recording

SESSION, IDENTITY, CAPACITY, KEPT = 7, 0x0123456789ABCDEF, 400, 500
READ = protocol.ACCESS_REST.size


def said(model: BoardModel, *frames: protocol.Frame) -> list[protocol.Frame | None]:
    """The answers to frames."""
    model.feed(b"".join(map(protocol.encode, frames)))
    return [protocol.from_board(content) for content in protocol.FrameReader().feed(model.take())]


@pytest.fixture
def model() -> BoardModel:
    """With a session, at its beginning."""
    model = BoardModel(Recording(), IDENTITY, capacity=CAPACITY, kept=KEPT)
    assert said(model, Hello(SESSION)) == [HelloAnswer(SESSION, 1, IDENTITY, CAPACITY)]
    return model


def data(position: int, content: bytes = b"", *, acknowledged: int = 0, repeat: bool = False) -> Data:
    return Data(SESSION, position, acknowledged, repeat, content)


def reads(count: int) -> bytes:
    """A command whose answer has so many bytes, all 0."""
    return protocol._ACCESS.pack(Command.READ, 1, 0, 0, count)


def test_without_a_session_all_data_is_refused() -> None:
    model = BoardModel(Recording(), IDENTITY)
    assert said(model, Data(5, 0, 0, False, b"x"), Data(0, 0, 0, False, b"")) == [Refused(0, Refusal.NO_SESSION)] * 2


def test_a_repeated_hello_changes_nothing(model: BoardModel) -> None:
    model.busy = True
    said(model, data(0, b"abc"))
    assert said(model, Hello(SESSION)) == [HelloAnswer(SESSION, 1, IDENTITY, CAPACITY)]
    assert said(model, data(3)) == [DataAnswer(SESSION, 0, 3, CAPACITY, b"")]


def test_another_hello_begins_anew(model: BoardModel) -> None:
    model.busy = True
    said(model, data(0, b"abc"), Hello(SESSION + 1))
    assert said(model, data(3)) == [Refused(SESSION + 1, Refusal.NO_SESSION)]
    assert said(model, Data(SESSION + 1, 0, 0, False, b"")) == [DataAnswer(SESSION + 1, 0, 0, CAPACITY, b"")]


def test_data_out_of_order_is_dropped_and_answered(model: BoardModel) -> None:
    model.busy = True
    for position, content, taken in (
        (1, b"x", 0),
        (0, b"ab", 2),
        (0, b"ab", 2),
        (1, b"x", 2),
        (3, b"x", 2),
        (2, b"c", 3),
    ):
        assert said(model, data(position, content)) == [DataAnswer(SESSION, 0, taken, CAPACITY, b"")]


def test_the_limit_is_what_was_told_to_the_byte(model: BoardModel) -> None:
    model.busy = True
    said(model, data(0, bytes(238)))
    with pytest.raises(HostFaultError, match="163 bytes from position 238: 1 beyond the limit that was told"):
        said(model, data(238, bytes(CAPACITY - 238 + 1)))
    assert said(model, data(238, bytes(CAPACITY - 238))) == [DataAnswer(SESSION, 0, CAPACITY, CAPACITY, b"")]
    with pytest.raises(HostFaultError, match="1 bytes from position 400: 1 beyond"):
        said(model, data(CAPACITY, b"x"))
    assert said(model, data(CAPACITY)) == [DataAnswer(SESSION, 0, CAPACITY, CAPACITY, b"")]  # a poll


@pytest.mark.parametrize(("words", "told"), [(11, []), (12, [DataAnswer(SESSION, 0, 106, 106 + CAPACITY, b"")])])
def test_a_quarter_of_the_buffer_is_told_unasked(model: BoardModel, words: int, told: list[DataAnswer]) -> None:
    """And less is not: 98 bytes of 400."""
    model.busy = True
    said(model, data(0, protocol._ACCESS.pack(Command.WRITE, 8, 0, 0, words) + bytes(8 * words)))
    assert said(model) == []
    model.busy = False
    assert said(model) == told


def test_the_interpreter_waits_while_answers_are_kept(model: BoardModel) -> None:
    answers = said(model, data(0, reads(KEPT + 1)))
    assert [len(answer.data) for answer in answers] == [
        LARGEST_BOARD_DATA,
        LARGEST_BOARD_DATA,
        KEPT - 2 * LARGEST_BOARD_DATA,
    ]
    (answer,) = said(model, data(1 + READ, acknowledged=1))
    assert (answer.position, answer.data) == (KEPT, b"\0")


def test_what_was_not_sent_is_not_acknowledged(model: BoardModel) -> None:
    said(model, data(0, reads(10)))
    for impossible in (11, 40000):
        (answer,) = said(model, data(1 + READ, acknowledged=impossible, repeat=True))
        assert (answer.position, len(answer.data)) == (0, 10)
    (answer,) = said(model, data(1 + READ, acknowledged=4, repeat=True))
    assert (answer.position, len(answer.data)) == (4, 6)
    (answer,) = said(model, data(1 + READ, acknowledged=3, repeat=True))  # older than what is known
    assert (answer.position, len(answer.data)) == (4, 6)


def test_answers_come_again_only_where_asked(model: BoardModel) -> None:
    said(model, data(0, reads(10)))
    assert said(model, data(1 + READ)) == [DataAnswer(SESSION, 10, 1 + READ, 1 + READ + CAPACITY, b"")]


@pytest.mark.parametrize(
    "command",
    [
        b"\0",
        b"\4",
        protocol._ACCESS.pack(Command.READ, 0, 0, 0, 1),
        protocol._ACCESS.pack(Command.READ, 9, 0, 0, 1),
        protocol._ACCESS.pack(Command.WRITE, 1, 0, 0, 0),
        protocol._IMAGE.pack(Command.IMAGE, 0, 0, 0),
        protocol._IMAGE.pack(Command.IMAGE, 0, 0, 3) + b"\3",
    ],
)
def test_a_malformed_command_ends_the_session(model: BoardModel, command: bytes) -> None:
    said(model, data(0, command))
    assert said(model, data(len(command))) == [Refused(SESSION, Refusal.MALFORMED)]
    assert said(model, Hello(SESSION + 1)) == [HelloAnswer(SESSION + 1, 1, IDENTITY, CAPACITY)]
    assert said(model, Data(SESSION + 1, 0, 0, False, b"")) == [DataAnswer(SESSION + 1, 0, 0, CAPACITY, b"")]
