"""The host's end of the line against the model of the board's end."""

from __future__ import annotations

import errno
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from board import link as link_module
from board import protocol
from board.faults import FaultyLine, parse_rates
from board.link import Link
from board.model import BoardModel
from board.protocol import FrameReader, HelloAnswer, encode
from board.serial_port import LinkError, SerialPort
from emulator.machine import Connection
from tests.board.lines import line
from tests.board.networks import Recording

BAUD = Connection.baud

IDENTITY = 0x0001020304050607


def served(model: BoardModel) -> Callable[[bytes], bytes]:
    def serve(received: bytes) -> bytes:
        model.feed(received)
        return model.take()

    return serve


@contextmanager
def impatient() -> Iterator[None]:
    """A silent board is given up soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link_module, "HELLO_SECONDS", 0.6)
        patch.setattr(link_module, "SILENCE_SECONDS", 0.8)
        patch.setattr(link_module, "LONGEST_WAIT", 0.2)
        yield


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
    "burst": "burst=1e-4,burst_bytes=60",
    "cut": "cut=5e-5,cut_seconds=0.05",
    "all": "flip=1e-4,drop=1e-4,duplicate=1e-4,reorder=1e-4,burst=3e-5,cut=2e-5,cut_seconds=0.05",
}


@pytest.mark.parametrize("kind", BAD_LINES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_byte_is_lost_on_a_bad_line(kind: str, seed: int) -> None:
    network = Recording()
    model = BoardModel(network, IDENTITY, capacity=(512, 2048, 4096)[seed - 1], kept=(512, 1024, 4096)[seed - 1])
    faults = FaultyLine(parse_rates(f"{BAD_LINES[kind]},seed={seed}"))

    def serve(received: bytes) -> bytes:
        for part in faults.to_board(received):
            assert part is not None
            model.feed(part)
        return faults.from_board(model.take())

    with line(serve) as device:
        link = Link(SerialPort(device, BAUD), IDENTITY)
        exercise(link, network)
        assert network.resets >= 3  # the model's beginning, and two sessions
        # How many bytes there are depends on times, so the rarest of all may be missing.
        assert len(faults.counts) >= 3 if kind == "all" else set(faults.counts) == {kind}
        link.close()


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
    with impatient(), line(serve) as device:
        port = SerialPort(device, BAUD)
        start = time.monotonic()
        with pytest.raises(LinkError) as caught:
            use(Link(port, IDENTITY, **options))
        port.close()
        assert time.monotonic() - start < 5
    text = str(caught.value).replace(device, "DEVICE")
    assert "\n" not in text
    assert text.startswith("port 'DEVICE': ")
    assert "; accepted: " in text
    return text


def test_nobody_answers() -> None:
    assert "no answer at 3000000 baud" in failure(lambda received: b"")


def test_another_program_talks() -> None:
    assert "only garbage comes at 3000000 baud" in failure(lambda received: b"login: \r\n" if received else b"")


def test_an_echo_is_no_board() -> None:
    assert "only garbage" in failure(lambda received: received)


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
    assert "no answer" in failure(answering(session=0), patience=1.0)


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
        return encode(protocol.Refused(model.session, 1)) + model.take() if received else model.take()

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

    assert "no answer at 3000000 baud" in failure(serve, use)


def test_a_board_that_answers_but_does_not_go_on() -> None:
    model = BoardModel(Recording(), IDENTITY)
    start = time.monotonic()
    text = failure(served(model), lambda link: link.read(1), patience=0.5)
    assert "the board answers, but has not gone on for 0.5 s; accepted: more patience" in text
    assert time.monotonic() - start > 0.5


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

    with impatient(), line(serve) as device:
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
