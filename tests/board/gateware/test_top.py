"""A board in simulation, spoken to in bytes alone: it trains to the golden machine's bits, and forgets what a session left."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from board.gateware.bench import Bench, BenchParameters
from board.gateware.parameters import LinkParameters
from board.identity import identity_of
from board.simulator import SimulatedBoard
from emulator.compare import logits_difference, state_difference
from emulator.config import Config
from emulator.network.network import GoldenMachine
from emulator.training.datasets import Dataset
from hdl.network.network import Network
from hdl.network.network_parameters import NetworkParameters
from sim.native import Native
from sim.network_memory import NetworkMemory
from sim.runner import Design
from tests.board.gateware.frames import DELIMITER, contents, data, framed, hello, parsed, stream_of
from tests.hdl.axi.stand_in import CLASSES, StandIn, logits

CLOCKS_PER_BIT = 4
IDENTITY = 0xFEDC_BA98_7654_3210
NAMES = ("golden", "board")
LAST_PIXEL = 1
#: Cycles between looks at what has come.
PAUSE = 4000


class Host:
    """Just enough of a host: a frame at a time, on a line without errors."""

    def __init__(self, native: Native, identity: int = IDENTITY) -> None:
        self.native, self.identity = native, identity
        self.session = self.sent = self.got = self.room = 0

    def begin(self, session: int) -> None:
        answer = self._exchange(hello(session))[-1]
        assert answer[:2] == (0x81, session) and answer[3] == self.identity
        self.session, self.sent, self.got, self.room = session, 0, 0, answer[4]

    def ask(self, stream: bytes, count: int, limit: int = 1000) -> bytes:
        """Send all of ``stream``; the next ``count`` bytes that the board says."""
        answers = b""
        for _ in range(limit):
            if not stream and len(answers) >= count:
                return answers
            part = stream[: min(238, self.room)]
            for frame in self._exchange(data(self.session, self.sent, self.got, part)):
                assert frame[0] == 0x82, frame
                fresh = stream_of([frame], self.got)
                answers, self.got = answers + fresh, self.got + len(fresh)
                taken = (frame[3] - self.sent) % 65536
                assert taken in (0, len(part))
                stream, part, self.sent = stream[taken:], part[taken:], self.sent + taken
                self.room = (frame[4] - self.sent) % 65536
        raise AssertionError(f"{len(stream)} bytes not taken, {len(answers)} of {count} answered")

    def refused(self, content: bytes) -> list[tuple[int, ...]]:
        return self._exchange(content)

    def _exchange(self, content: bytes) -> list[tuple[int, ...]]:
        self.native.send("to_board", value=np.frombuffer(framed(content), np.uint8))
        heard = b""
        while not heard.endswith(DELIMITER) or not contents(heard):
            self.native.clock(PAUSE)
            heard += bytes(self.native.receive("from_board")["value"].astype(np.uint8))
        return [parsed(each) for each in contents(heard)]


def write(address: int, word: int) -> bytes:
    return struct.pack("<BBIHHQ", 1, 8, address, 1, 1, word)


def read(address: int) -> bytes:
    return struct.pack("<BBIHH", 2, 8, address, 1, 1)


def image(pixels: bytes, *, train: bool, label: int) -> bytes:
    """Compressed no further than by pieces of at most 128 pixels that follow."""
    pieces = [pixels[first : first + 128] for first in range(0, len(pixels), 128)]
    tokens = b"".join(bytes([127 + len(piece)]) + piece for piece in pieces)
    return struct.pack("<BBBH", 3, train, label, len(pixels)) + tokens


@pytest.fixture(scope="module")
def small() -> Design:
    link = LinkParameters(clocks_per_bit=CLOCKS_PER_BIT, identity=IDENTITY)
    parameters = BenchParameters(link=link, host_clocks_per_bit=CLOCKS_PER_BIT)
    return Design.of(Bench(StandIn(), parameters), "board_stand_in")


def test_words_and_images_in_one_stream(small: Design) -> None:
    chance, host = random.Random(1), Host(Native(small))
    host.begin(77)
    words = {address << 28 | 2: chance.getrandbits(64) for address in range(1, 14)}
    host.ask(b"".join(write(*item) for item in words.items()) + write(LAST_PIXEL, 19), 0)
    stream, expected = b"", b""
    for number, (address, word) in enumerate(words.items()):
        pixels = chance.randbytes(20)
        stream += image(pixels, train=bool(number % 2), label=number % CLASSES) + read(address)
        expected += struct.pack("<10i", *logits(bool(number % 2), number % CLASSES, pixels)) + word.to_bytes(
            8, "little"
        )
    assert host.ask(stream, len(expected)) == expected


def test_a_malformed_command_is_refused_until_the_next_hello(small: Design) -> None:
    host = Host(Native(small))
    host.begin(5)
    host.ask(write(0x1000_0001, 42), 0)
    host.refused(data(5, host.sent, 0, b"\x09"))
    assert host.refused(data(5, host.sent + 1, 0, read(0x1000_0001))) == [(0x83, 5, 2)]
    assert host.refused(data(6, 0, 0)) == [(0x83, 5, 1)]
    host.begin(6)
    assert host.ask(read(0x1000_0001), 8) == (42).to_bytes(8, "little")


@pytest.mark.parametrize("cut", (3, 9, 20, 40))
def test_a_new_session_forgets_half_a_command_and_half_an_image(small: Design, cut: int) -> None:
    host = Host(Native(small))
    host.begin(5)
    host.ask(write(LAST_PIXEL, 19) + write(0x2000_0003, 99), 0)
    host.ask((write(0x2000_0004, 7) + image(bytes(20), train=True, label=1))[:cut], 0)
    host.begin(0xA005)
    pixels = bytes(range(20))
    expected = (99).to_bytes(8, "little") + struct.pack("<10i", *logits(False, 2, pixels))
    stream = write(LAST_PIXEL, 19) + read(0x2000_0003) + image(pixels, train=False, label=2)
    assert host.ask(stream, len(expected)) == expected


@pytest.mark.timeout(900)
def test_tiny_trains_through_bytes_to_the_golden_machine_s_bits(
    tiny: Config, tiny_digits: Dataset, tiny_board: SimulatedBoard
) -> None:
    images, labels = tiny_digits.train_images[:6], tiny_digits.train_labels[:6]
    golden = GoldenMachine(tiny)
    initial = golden.state()
    parameters = NetworkParameters.of_config(tiny)
    memory = NetworkMemory(Network(parameters), tiny)
    host = Host(tiny_board.native, identity_of(parameters))
    host.begin(0xB17E)
    for words in (memory.description(), memory.words_of(initial)):
        host.ask(b"".join(map(write, words.addresses.tolist(), words.words.tolist())), 0)
    stream = b"".join(
        image(each.tobytes(), train=True, label=label) for each, label in zip(images, labels.tolist(), strict=True)
    )
    answered = host.ask(stream, 4 * tiny.classes * len(images))
    addresses = np.concatenate([memory.places[name].ravel() for name in initial])
    left = host.ask(b"".join(map(read, addresses.tolist())), 8 * len(addresses))
    state = memory.state_of(np.frombuffer(left, "<u8"), initial)
    trained = np.frombuffer(answered, "<i4").astype(np.int64).reshape(len(images), -1)
    assert logits_difference(NAMES, [golden.train(images, labels), trained], 0) is None
    assert state_difference(NAMES, [golden.state(), state]) is None
    assert all((values != initial[name]).any() for name, values in state.items() if "weights" in name)
