"""The host's end of the line against the model of the board's end."""

from __future__ import annotations

import errno
import os
import random
import re
import time
from collections.abc import Callable

import numpy as np
import pytest

from board import link as link_module
from board import protocol
from board.faults import FaultyLine, parse_rates
from board.link import Link
from board.model import BoardModel, HostFaultError
from board.protocol import FrameReader, HelloAnswer, encode
from board.serial_port import LinkError, SerialPort
from emulator.machine import Connection
from tests.board.lines import MemoryPort, line
from tests.board.networks import Recording

BAUD = Connection.baud

IDENTITY = 0x0001020304050607


def served(model: BoardModel) -> Callable[[bytes], bytes]:
    def serve(received: bytes) -> bytes:
        model.feed(received)
        return model.take()

    return serve


def image_bytes(rng: random.Random) -> bytes:
    return bytes(rng.choice((0, 0, 0, rng.randrange(256))) for _ in range(784))


def exercise(link: Link, network: Recording, images: int = 20) -> None:
    """Writes, images ahead, reads; everything must come as it was sent."""
    rng = random.Random(5)
    addresses = np.arange(700, dtype=np.uint32) * 256 + (7 << 28)
    words = np.array([rng.getrandbits(64) for _ in addresses], np.uint64)
    link.write(protocol.write_commands(addresses, words))
    sent = [(image_bytes(rng), rng.randrange(3), bool(rng.randrange(2))) for _ in range(images)]
    for pixels, label, train in sent:
        link.write(protocol.image_command(pixels, label, train=train))
    logits = protocol.logits_of(link.read(4 * 3 * images), 3)
    assert network.images == sent
    assert logits.tolist() == [[n + 1, -sum(pixels), label] for n, (pixels, label, _) in enumerate(sent)]
    commands, answers = protocol.read_commands(addresses, np.full(len(addresses), 8))
    link.write(commands)
    got = np.concatenate([protocol.from_bytes(link.read(count * width), width) for count, width in answers])
    assert np.array_equal(got, words)
    link.flush()


def test_streams_go_both_ways() -> None:
    network = Recording()
    with line(served(BoardModel(network, IDENTITY))) as device:
        link = Link(SerialPort(device, BAUD), IDENTITY)
        exercise(link, network)
        assert link.statistics.again == 0
        link.close()


def test_what_is_read_in_parts_is_what_came() -> None:
    network = Recording(words=dict(enumerate(range(100, 120))))
    link = Link(MemoryPort(served(BoardModel(network, IDENTITY))), IDENTITY)
    link.write(protocol.read_commands(np.arange(20, dtype=np.uint32), np.ones(20, np.int64))[0])
    assert b"".join(link.read(count) for count in (1, 0, 9, 3, 7)) == bytes(range(100, 120))


def test_positions_pass_their_end() -> None:
    """More than 65536 bytes each way."""
    network = Recording()
    with line(served(BoardModel(network, IDENTITY))) as device:
        link = Link(SerialPort(device, BAUD), IDENTITY)
        addresses = np.arange(10000, dtype=np.uint32)
        words = np.random.default_rng(1).integers(0, 1 << 63, 10000, dtype=np.uint64)
        link.write(protocol.write_commands(addresses, words))
        link.write(protocol.read_commands(addresses, np.full(10000, 8))[0])
        assert np.array_equal(protocol.from_bytes(link.read(80000), 8), words)
        link.close()


# --- a bad line -------------------------------------------------------------------------------------------------------

BAD_LINES = {
    "flip": "flip=5e-4",
    "drop": "drop=5e-4",
    "duplicate": "duplicate=5e-4",
    "reorder": "reorder=5e-4",
    "burst": "burst=2e-4,burst_bytes=30",
    "cut": "cut=5e-5,cut_seconds=0.05",
    "all": "flip=1e-4,drop=1e-4,duplicate=1e-4,reorder=1e-4,burst=3e-5,cut=2e-5,cut_seconds=0.05",
}


@pytest.mark.parametrize("kind", BAD_LINES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_byte_is_lost_on_a_bad_line(kind: str, seed: int) -> None:
    network = Recording()
    model = BoardModel(network, IDENTITY, capacity=(512, 2048, 4096)[seed - 1], kept=(512, 1024, 4096)[seed - 1])

    def serve(received: bytes) -> bytes:
        for part in faults.to_board(received):
            assert part is not None
            model.feed(part)
        return faults.from_board(model.take())

    port = MemoryPort(serve)
    faults = FaultyLine(parse_rates(f"{BAD_LINES[kind]},seed={seed}"), clock=port.now)
    exercise(Link(port, IDENTITY), network)
    assert network.resets >= 3  # the model's beginning, and two sessions
    # The rarest of all may be missing.
    assert len(faults.counts) >= 3 if kind == "all" else set(faults.counts) == {kind}


def test_a_session_of_a_host_before_is_left_behind() -> None:
    """A host ends in the middle of a command, with answers on their way; the next one begins anew."""
    network = Recording()
    with line(served(BoardModel(network, IDENTITY))) as device:
        for _ in range(3):
            link = Link(SerialPort(device, BAUD), IDENTITY)
            link.write(protocol.read_commands(np.arange(5000, dtype=np.uint32), np.full(5000, 8))[0])
            link.write(protocol.image_command(bytes(784), 0, train=True)[:-3])
            link.read(17)
            link.close()
        network.words.clear()
        network.images.clear()
        link = Link(SerialPort(device, BAUD), IDENTITY)
        exercise(link, network)
        link.close()


# --- what can be wrong ------------------------------------------------------------------------------------------------


def failure(serve: Callable[[bytes], bytes], use: Callable[[Link], object] = lambda link: None, **options) -> str:
    """The one line of a link that fails."""
    port = MemoryPort(serve)
    with pytest.raises(LinkError) as caught:
        use(Link(port, IDENTITY, **options))
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("port 'MEMORY': ")
    assert "; accepted: " in text
    return text


def test_nobody_answers() -> None:
    assert "no answer at 3000000 baud" in failure(lambda received: b"")


def test_another_program_talks() -> None:
    assert "only garbage comes at 3000000 baud" in failure(lambda received: b"login: \r\n" if received else b"")


def echo(received: bytes) -> bytes:
    return received


def test_an_echo_is_no_board() -> None:
    assert "not a board: for 5 s come frames that no board sends, perhaps those of the host" in failure(echo)


def answering(**fields) -> Callable[[bytes], bytes]:
    """A board that greets with other fields."""
    reader = FrameReader()

    def serve(received: bytes) -> bytes:
        answers = b""
        for content in reader.feed(received):
            hello = protocol.from_host(content)
            given = {"session": hello.session, "version": 1, "identity": IDENTITY, "capacity": 512} | fields
            answers += encode(HelloAnswer(**given))
        return answers

    return serve


def test_another_version_of_the_protocol() -> None:
    assert "speaks version 2 of the protocol; accepted: 1" in failure(answering(version=2))


def test_another_bitstream() -> None:
    text = failure(answering(identity=0xFF61626364656667))
    assert "holds hardware ff61626364656667; accepted: 0001020304050607" in text


def test_an_answer_to_another_session_is_not_believed() -> None:
    assert "the board sends frames, but no answer to this host's hello for 1 s" in failure(
        answering(session=0), patience=1.0
    )


def test_a_malformed_command_is_refused() -> None:
    model = BoardModel(Recording(), IDENTITY)
    assert "refuses a command as malformed" in failure(served(model), lambda link: (link.write(b"\x77"), link.read(1)))


def test_a_reset_is_noticed() -> None:
    model = BoardModel(Recording(), IDENTITY)

    def use(link: Link) -> None:
        link.write(protocol.image_command(bytes(784), 0, train=True))
        link.read(12)
        model.reset()
        link.read(1)

    assert "has lost the session: it was reset" in failure(served(model), use)


def test_another_host_is_noticed() -> None:
    model = BoardModel(Recording(), IDENTITY)

    def use(link: Link) -> None:
        link.flush()
        model.feed(encode(protocol.Hello(1)) + encode(protocol.Hello(2)))
        link.write(bytes(1000))
        link.flush()

    assert "serves another program" in failure(served(model), use)


def test_a_refusal_of_an_old_frame_is_not_believed() -> None:
    """It names this session: what was refused is a frame of another."""
    network = Recording()
    model = BoardModel(network, IDENTITY)

    def serve(received: bytes) -> bytes:
        model.feed(received)
        return encode(protocol.Refused(model.session, 1)) * 3 + model.take() if received else model.take()

    with line(serve) as device:
        link = Link(SerialPort(device, BAUD), IDENTITY)
        exercise(link, network)
        link.close()


def test_a_board_that_falls_silent() -> None:
    model = BoardModel(Recording(), IDENTITY)
    dead = []

    def serve(received: bytes) -> bytes:
        model.feed(received)
        return b"" if dead else model.take()

    def use(link: Link) -> None:
        link.write(protocol.image_command(bytes(784), 0, train=True))
        link.read(12)
        dead.append(True)
        link.read(1)

    assert "no answer at 3000000 baud for 30 s, after answers before; accepted: a board that stays" in failure(
        serve, use
    )


def test_a_board_that_answers_but_does_not_go_on() -> None:
    model = BoardModel(Recording(), IDENTITY)
    text, seconds, _ = ending(served(model), lambda link: link.read(1))
    assert "the board answers, but has not gone on for 10 s; accepted: more patience" in text
    assert PATIENCE <= seconds < 1.1 * PATIENCE


# --- every wait ends --------------------------------------------------------------------------------------------------

PATIENCE = 10.0


def ending(
    serve: Callable[[bytes], bytes], use: Callable[[Link], object], *, patience: float = PATIENCE, **options
) -> tuple[str, float, Link]:
    """Of a link that must fail after its beginning: the one line, the seconds that it took, and the link."""
    port = MemoryPort(serve, **options)
    link = Link(port, IDENTITY, patience=patience)
    start = port.now()
    with pytest.raises(LinkError) as caught:
        use(link)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("port 'MEMORY': ")
    assert "; accepted: " in text
    return text, port.now() - start, link


def given(count: int) -> Callable[[Link], None]:
    """Have bytes taken, whatever they are."""

    def use(link: Link) -> None:
        link.write(bytes(count))
        link.flush()

    return use


class Miser:
    """A board that greets well, then takes ``crumb`` bytes a frame, and gives as many with each answer; ``data``: and others."""

    def __init__(self, crumb: int, *, data: int = 0) -> None:
        self._crumb, self._data = crumb, data
        self._model = BoardModel(Recording(), IDENTITY)
        self._reader = FrameReader()
        self._session = self._taken = self._sent = 0
        self.frames = 0

    def __call__(self, received: bytes) -> bytes:
        answers, asked = b"", 0
        for content in self._reader.feed(received):
            frame = protocol.from_host(content)
            if isinstance(frame, protocol.Hello):
                self._session = frame.session
                answers += encode(HelloAnswer(frame.session, 1, IDENTITY, 512))
            elif isinstance(frame, protocol.Data) and frame.session == self._session:
                asked += 1
                self.frames += 1
                if frame.data and frame.position == self._taken % protocol.POSITIONS:
                    self._taken += min(self._crumb, len(frame.data))
        if self._session and (asked or (self._data and self.frames)):
            data = bytes(self._data)
            limit = self._taken + self._crumb
            answers += encode(
                protocol.DataAnswer(
                    self._session,
                    *(count % protocol.POSITIONS for count in (self._sent, self._taken, limit)),
                    data,
                )
            )
            self._sent += len(data)
        return answers


def test_a_board_that_takes_crumbs_is_given_up() -> None:
    """A byte with each answer is progress without end: 65536 of them would take eleven minutes here."""
    text, seconds, link = ending(Miser(1), given(1 << 16), answer_seconds=0.01)
    assert re.search(r"the board answers, but has only got on by \d+ bytes in 10 s; accepted: more patience", text)
    assert PATIENCE < seconds < 1.1 * PATIENCE
    assert link.statistics.sent < 2000


def test_few_bytes_have_one_patience() -> None:
    text, seconds, _ = ending(Miser(1), given(1000), answer_seconds=0.02)
    assert "has only got on by" in text
    assert seconds < 1.1 * PATIENCE


def test_a_slow_board_has_the_patience_for_each_step() -> None:
    """Of a kilobyte in four seconds: longer than the patience together, and long enough for each."""
    port = MemoryPort(Miser(238), answer_seconds=1.0)
    link = Link(port, IDENTITY, patience=PATIENCE)
    given(1 << 14)(link)
    assert port.now() > 4 * PATIENCE
    text, seconds, _ = ending(Miser(238), given(1 << 14), answer_seconds=1.5)
    assert "has only got on by" in text
    assert seconds < 1.3 * PATIENCE


def test_a_slow_line_has_the_time_that_it_needs() -> None:
    """At 300 baud a step is a tenth of what the line can carry."""
    port = MemoryPort(Miser(30), answer_seconds=2.0)
    port.baud = 300
    link = Link(port, IDENTITY, patience=60)
    given(1000)(link)
    assert port.now() > 60


def test_a_board_that_sends_without_end_is_given_up() -> None:
    """It takes nothing beside, or all that it is given slowly: what is unread stays small."""
    for crumb in (0, 1):
        text, seconds, link = ending(Miser(crumb, data=235), given(1 << 16), patience=60)
        assert "the board sends what nobody asked for: 131130 bytes are unread; accepted: 131072 at the most" in text
        assert seconds < 1
        assert len(link._received) == 131130


def test_a_read_takes_what_it_asked_for_and_no_more() -> None:
    """The bytes that are read are not unread."""
    link = Link(MemoryPort(Miser(238, data=235)), IDENTITY)
    link.write(b"anything")
    assert len(link.read(1 << 18)) == 1 << 18
    text, _, _ = ending(Miser(238, data=235), lambda link: (link.write(b"x"), link.read(1), given(1 << 18)(link)))
    assert "what nobody asked for" in text


def test_the_limit_is_used_up_and_not_passed() -> None:
    """While the interpreter stands still, the buffer is filled to its last byte; the model lets no byte more pass."""
    model, filled = BoardModel(Recording(), IDENTITY, capacity=512), []

    def serve(received: bytes) -> bytes:
        model.feed(received)
        model.busy = len(filled) < 5
        filled.extend([True] if len(model._ring) == model.capacity else [])
        return model.take()

    link = Link(MemoryPort(serve), IDENTITY)
    exercise(link, model.network)
    assert len(filled) >= 5
    assert link.statistics.again == 0


def test_a_limit_beyond_the_buffer_is_not_believed() -> None:
    """No more is on its way than the board's buffer holds, whatever the board tells."""
    seen, reader = [], FrameReader()

    def serve(received: bytes) -> bytes:
        for content in reader.feed(received):
            frame = protocol.from_host(content)
            if isinstance(frame, protocol.Hello):
                return encode(HelloAnswer(frame.session, 1, IDENTITY, 512))
            assert isinstance(frame, protocol.Data)
            seen.append(frame.position + len(frame.data))
        return encode(protocol.DataAnswer(frame.session, 0, 0, 30000, b"")) if received else b""

    text, _, _ = ending(serve, given(1 << 16))
    assert "has not gone on for 10 s" in text
    assert max(seen) == 2 * 238


@pytest.mark.parametrize("capacity", [0, 1, 237, 32768, 65535])
def test_a_capacity_that_no_board_has(capacity: int) -> None:
    with pytest.raises(LinkError, match=f"its input buffer has {capacity} bytes; accepted: 238 .. 32767, of the board"):
        Link(MemoryPort(answering(capacity=capacity)), IDENTITY)


@pytest.mark.parametrize(("patience", "given_up"), [(PATIENCE, PATIENCE / 2), (60, 30), (600, 30)])
def test_a_silent_board_is_not_one_that_answers(patience: float, given_up: float) -> None:
    """With little patience, too: half of it is for the silence."""
    model = BoardModel(Recording(), IDENTITY)
    greeted = []

    def serve(received: bytes) -> bytes:
        model.feed(received)
        return model.take() if not model._taken and not greeted else b""

    def use(link: Link) -> None:
        greeted.append(True)
        given(1000)(link)

    text, seconds, link = ending(serve, use, patience=patience)
    assert f"no answer at 3000000 baud for {given_up:g} s" in text
    assert given_up <= seconds < given_up + 0.1
    assert link.statistics.sent < 40


def test_a_board_that_dies_between_two_answers_is_silent() -> None:
    model, died = BoardModel(Recording(), IDENTITY), []

    def serve(received: bytes) -> bytes:
        model.feed(received)
        return b"" if died else model.take()

    def use(link: Link) -> None:
        given(1000)(link)
        died.append(True)
        link.read(1)

    assert ending(serve, use)[0].startswith(
        "port 'MEMORY': no answer at 3000000 baud for 5 s, after answers before; accepted: a board that stays connected and"
    )


def test_half_dead_boards() -> None:
    """Frames of a board come, but not those that are waited for: at the beginning, and later."""

    def other(received: bytes) -> bytes:
        return encode(protocol.DataAnswer(1, 0, 0, 0, b"")) if received else b""

    start = "the board sends frames, but no answer to this host's "
    port = MemoryPort(other)
    with pytest.raises(LinkError, match=f"{start}hello for 10.* s; accepted: a board that no other program uses"):
        Link(port, IDENTITY, patience=PATIENCE)
    assert port.now() < 1.1 * PATIENCE
    text, seconds, _ = ending(answering_hello_alone(), given(10))
    assert f"{start}data for 5 s; accepted: a board" in text
    assert seconds < PATIENCE


def answering_hello_alone() -> Callable[[bytes], bytes]:
    """A board that only greets, whatever it is given."""
    reader, session = FrameReader(), [0]

    def serve(received: bytes) -> bytes:
        for content in reader.feed(received):
            frame = protocol.from_host(content)
            if isinstance(frame, protocol.Hello):
                session[0] = frame.session
        return encode(HelloAnswer(session[0], 1, IDENTITY, 512)) if received else b""

    return serve


def test_garbage_instead_of_answers() -> None:
    greet, greeted = answering(), []

    def use(link: Link) -> None:
        greeted.append(True)
        given(100)(link)

    text, seconds, _ = ending(lambda received: b"login:" if greeted and received else greet(received), use)
    assert "only garbage comes at 3000000 baud for 5 s, after answers before; accepted: a board that stays" in text
    assert seconds < PATIENCE


def test_a_session_that_answers_after_garbage_goes_on() -> None:
    """What came before the last answer has no say in what a board is taken for."""
    model, died = BoardModel(Recording(), IDENTITY), []

    def serve(received: bytes) -> bytes:
        model.feed(received)
        return b"" if died else b"noise" + protocol.END + model.take() if received else model.take()

    def use(link: Link) -> None:
        given(1000)(link)
        died.append(True)
        given(10)(link)

    assert "no answer at 3000000 baud for 5 s, after answers" in ending(serve, use)[0]


def test_a_port_that_takes_nothing_ends_too() -> None:
    """Every write lasts as long as a port may take to lose it."""
    greet = answering(capacity=32767)
    port = MemoryPort(lambda received: greet(received) if received else b"")
    link = Link(port, IDENTITY)

    def stuck(line: bytes) -> None:
        port.time += 10.0

    port.write = stuck
    start = port.now()
    link.write(bytes(1 << 16))
    with pytest.raises(LinkError, match="no answer at"):
        link.flush()
    assert port.now() - start < 60


# --- frames that are not to be believed -------------------------------------------------------------------------------


class Meddled:
    """A model of a board; ``meddle`` makes other answers of its answers, once there is a session."""

    def __init__(self, meddle: Callable[[list[bytes], BoardModel], list[bytes]]) -> None:
        self.network = Recording()
        self.model = BoardModel(self.network, IDENTITY)
        self._meddle, self._reader = meddle, FrameReader()

    def __call__(self, received: bytes) -> bytes:
        self.model.feed(received)
        contents = list(self._reader.feed(self.model.take()))
        return b"".join(protocol.encode_content(content) for content in self._meddle(contents, self.model))


def data_answer(session: int, position: int, acknowledged: int, limit: int, data: bytes = b"") -> bytes:
    return protocol.DataAnswer(session, position, acknowledged, limit, data).content()


def exercised(meddle: Callable[[list[bytes], BoardModel], list[bytes]]) -> Link:
    """A link over which everything came as it was sent."""
    board = Meddled(meddle)
    link = Link(MemoryPort(board), IDENTITY)
    exercise(link, board.network)
    return link


def test_answers_of_another_session_are_not_believed() -> None:
    """They look as this session's could: of a board that was reset and serves another host."""

    def meddle(contents: list[bytes], model: BoardModel) -> list[bytes]:
        stale = data_answer(model.session ^ 1, model._kept_from % 65536, model._taken % 65536, 0, b"stale")
        return [stale, *contents] if contents else []

    assert exercised(meddle).statistics.again == 0


def test_an_acknowledgement_of_what_was_not_sent_is_not_believed() -> None:
    def meddle(contents: list[bytes], model: BoardModel) -> list[bytes]:
        untrue = data_answer(
            model.session, model._sent % 65536, (model._taken + 5000) % 65536, model._limit_sent % 65536
        )
        return [untrue, *contents] if contents else []

    exercised(meddle)


def test_data_that_comes_twice_is_taken_once() -> None:
    exercised(lambda contents, model: [content for content in contents for _ in range(2)])


def test_a_single_refusal_is_not_believed() -> None:
    """It may be meant for a frame of a host before, in a session before; nor are many, with answers between them."""
    met = []

    def meddle(contents: list[bytes], model: BoardModel) -> list[bytes]:
        if model._taken and contents:
            met.append(True)
            return [protocol.Refused(model.session ^ 1, 1).content(), *contents]
        return contents

    exercised(meddle)
    assert len(met) > 5


def lost(number: int) -> Callable[[list[bytes], BoardModel], list[bytes]]:
    """Of all frames with data, the one of this number does not come."""
    seen = []

    def meddle(contents: list[bytes], model: BoardModel) -> list[bytes]:
        came = []
        for content in contents:
            frame = protocol.from_board(content)
            assert frame is not None
            seen.extend([True] if getattr(frame, "data", b"") else [])
            if not (getattr(frame, "data", b"") and len(seen) == number):
                came.append(content)
        return came

    return meddle


def test_a_missing_answer_is_asked_for_when_the_next_one_comes() -> None:
    """Not only when the time is up."""
    link = exercised(lost(10))
    assert link.statistics.waits == 0
    assert link.statistics.sent < 100


def test_a_frame_that_is_lost_is_sent_again() -> None:
    """Alone, and with what is behind it: when nothing new is said to it."""
    board, frames = Meddled(lambda contents, model: contents), []

    def serve(received: bytes) -> bytes:
        answers = b"" if received else board(b"")
        for frame in filter(None, received.split(protocol.END)):
            frames.append(frame)
            if len(frames) != 6:  # of a window that has nine
                answers += board(frame + protocol.END)
        return answers

    link = Link(MemoryPort(serve), IDENTITY)
    exercise(link, board.network)
    assert 1 <= link.statistics.again < 10
    assert link.statistics.waits == 0


def test_an_answered_poll_is_followed_by_the_window_and_a_silent_one_is_not() -> None:
    """A dead line is asked ever more rarely, by small frames alone."""
    model, dead, asked = BoardModel(Recording(), IDENTITY), [], []

    def serve(received: bytes) -> bytes:
        if dead:
            asked.extend([received] if received else [])
            return b""
        model.feed(received)
        return model.take()

    def use(link: Link) -> None:
        dead.append(True)
        given(1 << 12)(link)

    ending(serve, use, patience=60)
    assert len(asked[0]) > 1000
    assert max(map(len, asked[1:])) < 20
    assert 8 < len(asked) < 20


# --- the end ----------------------------------------------------------------------------------------------------------


def test_an_interrupt_ends_a_wait() -> None:
    """As it is; and a port that is closed while the device takes nothing does not wait."""
    model = BoardModel(Recording(), IDENTITY)
    port = MemoryPort(served(model))
    link = Link(port, IDENTITY)

    def interrupt(seconds: float) -> bytes:
        raise KeyboardInterrupt

    port.read = interrupt
    with pytest.raises(KeyboardInterrupt):
        link.read(1)
    link.close()
    assert port.closed


def test_a_closed_port_may_be_closed_again_and_after_its_device() -> None:
    with line(served(BoardModel(Recording(), IDENTITY))) as device:
        port = SerialPort(device, BAUD)
        port.write(bytes(100))
        assert port.read(-1.0) == b""  # a time that is over
    port.close()
    port.close()
    with pytest.raises(LinkError, match=r"vanished \(.*\); accepted: a port that stays"):
        port.read(0.01)


def test_what_no_host_may_send_is_no_secret() -> None:
    """The model is stricter than a board, which would drop it and wait for it to come again."""
    model = BoardModel(Recording(), IDENTITY, capacity=300)
    model.feed(encode(protocol.Hello(5)))
    model.take()
    model.feed(encode(protocol.Data(5, 0, 0, False, bytes(200))))
    with pytest.raises(HostFaultError, match="101 bytes from position 200: 1 beyond the limit that was told"):
        model.feed(encode(protocol.Data(5, 200, 0, False, bytes(101))))
    model.feed(encode(protocol.Data(5, 200, 0, False, bytes(100))))
    model.feed(encode(protocol.Data(5, 300, 0, False, b"")))  # a poll
    assert model._taken == 300


def test_slow_images_are_waited_for() -> None:
    """For longer than a silent board, as polls are answered."""
    model = BoardModel(Recording(), IDENTITY)
    began = []

    def serve(received: bytes) -> bytes:
        model.feed(received)
        if not began and model.session:
            began.append(time.monotonic())
        # The interpreter stands still for a while.
        model.busy = time.monotonic() < began[0] + 1.5 if began else False
        return model.take()

    with pytest.MonkeyPatch.context() as patch, line(serve) as device:
        patch.setattr(link_module, "SILENCE_SECONDS", 0.8)
        patch.setattr(link_module, "LONGEST_WAIT", 0.2)
        link = Link(SerialPort(device, BAUD), IDENTITY, patience=5)
        link.write(protocol.image_command(bytes(784), 2, train=True))
        assert protocol.logits_of(link.read(12), 3).tolist() == [[1, 0, 2]]
        assert 2 <= link.statistics.waits <= 40
        link.close()


def test_a_line_that_ends() -> None:
    model = BoardModel(Recording(), IDENTITY)
    with line(served(model)) as device:
        port = SerialPort(device, BAUD)
        link = Link(port, IDENTITY)
    with pytest.raises(LinkError, match=r"port '.*': vanished \(.*\); accepted: a port that stays") as caught:
        link.write(bytes(5))
        link.flush()
    assert "\n" not in str(caught.value)
    port.close()


def test_ports_that_cannot_be_opened(tmp_path, monkeypatch) -> None:
    file = tmp_path / "file"
    file.write_text("no port")
    for name, message in (
        ("/dev/no-such-port", "no such port; accepted: "),
        (str(file), "cannot be opened ("),
        (str(tmp_path), "cannot be opened ("),
    ):
        with pytest.raises(LinkError, match=re.escape(f"port {name!r}: {message}")) as caught:
            SerialPort(name, BAUD)
        assert "\n" not in str(caught.value)


def test_a_port_without_permission(monkeypatch) -> None:
    """The test's user may be root, to whom nothing is forbidden: so the system's answer stands in."""

    def refuse(*arguments: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), arguments[0])

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(LinkError, match=r"port '/dev/ttyUSB0': permission denied; accepted: .*group dialout"):
        SerialPort("/dev/ttyUSB0", BAUD)


def test_a_port_is_used_by_one_program() -> None:
    with line(served(BoardModel(Recording(), IDENTITY))) as device:
        port = SerialPort(device, BAUD)
        with pytest.raises(LinkError, match="in use; accepted: a port that no other program uses"):
            SerialPort(device, BAUD)
        port.close()


def test_a_speed_that_the_port_does_not_have() -> None:
    with line(lambda received: b"") as device:
        with pytest.raises(LinkError, match=r"-5 baud is refused \(.*\); accepted: a speed of this port"):
            SerialPort(device, -5)
