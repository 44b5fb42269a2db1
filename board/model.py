"""The board's end of the line in Python: what docs/link.md says, to be run. Hosts are tested against it without any RTL.

board = BoardModel(GoldenNetwork(config), identity)
board.feed(bytes from the host)
to the host: board.take()

It is stricter than a board: what no host may send is a HostFaultError here, where a board drops it, and a host would only be slow.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

import numpy as np

from board import protocol
from board.gateware.wire import LARGEST_BOARD_DATA, LARGEST_WIDTH, LOGIT_BYTES, PROTOCOL_VERSION, Command, Refusal
from board.protocol import Data, DataAnswer, FrameReader, Hello, HelloAnswer, Refused, ahead
from emulator.config import Config
from emulator.machine import State
from emulator.network.network import GoldenMachine
from sim.network_memory import NetworkMemory

WORD_MASK = (1 << 64) - 1
WIDTHS = range(1, LARGEST_WIDTH + 1)

#: The interpreter asks for so many bytes, or has bytes to say.
Interpreter = Generator[int | bytes, bytes | None, None]


class NetworkLike(Protocol):
    """What commands reach: the network's bus, and its images."""

    def write(self, address: int, word: int) -> None:
        """A word of 64 bits."""

    def read(self, address: int) -> int:
        """A word of 64 bits."""

    def image(self, pixels: bytes, label: int, train: bool) -> list[int]:
        """The logits."""

    def reset(self) -> None:
        """The image under way is given up; memories keep what they hold."""


class MalformedCommandError(Exception):
    """A command that the interpreter cannot go on after."""


class HostFaultError(Exception):
    """A good frame of the session that no host may send."""


class BoardModel:
    """The board, from configuration on. ``capacity`` and ``kept``: bytes of its buffers for input and output.
    Raises HostFaultError."""

    def __init__(self, network: NetworkLike, identity: int, *, capacity: int = 2048, kept: int = 1024) -> None:
        self.network, self.identity, self.capacity, self.kept = network, identity, capacity, kept
        #: An image takes its time: nothing is interpreted meanwhile.
        self.busy = False
        self.reset()

    def reset(self) -> None:
        """As a configuration does: no session. Whatever was under way is gone."""
        self._reader = FrameReader()
        self._line = bytearray()
        self._begin(0)

    def feed(self, received: bytes) -> None:
        """Bytes of the line from the host."""
        for content in self._reader.feed(received):
            match protocol.from_host(content):
                case Hello(session):
                    if session != self.session:
                        self._begin(session)
                    self._say(HelloAnswer(session, PROTOCOL_VERSION, self.identity, self.capacity))
                case Data(session) as frame:
                    if session != self.session or session == 0:
                        self._say(Refused(self.session, Refusal.NO_SESSION))
                    elif self._broken:
                        self._say(Refused(self.session, Refusal.MALFORMED))
                    else:
                        self._data(frame)

    def take(self) -> bytes:
        """The bytes that are to go to the host."""
        if self.session and not self._broken:
            if not self.busy:
                self._interpret()
            drained = self._taken - len(self._ring) - self._limit_sent + self.capacity
            if drained >= self.capacity // 4:
                self._owed = True
            while self._owed or self._sent < self._written:
                self._answer()
        line = bytes(self._line)
        self._line.clear()
        return line

    # --- streams ------------------------------------------------------------------------------------------------------

    def _begin(self, session: int) -> None:
        """Streams, interpreter and network from the beginning."""
        self.session = session
        self._broken = self._owed = False
        self._ring = bytearray()  # taken, not yet interpreted
        self._output = bytearray()  # from `_kept_from` on
        self._taken = self._kept_from = self._sent = 0
        self._limit_sent = self.capacity
        self._interpreter = self._commands()
        self._wanted = next(self._interpreter)
        self.network.reset()

    @property
    def _written(self) -> int:
        return self._kept_from + len(self._output)

    def _data(self, frame: Data) -> None:
        acknowledged = ahead(frame.acknowledged, self._kept_from)
        if 0 <= acknowledged <= self._sent - self._kept_from:
            del self._output[:acknowledged]
            self._kept_from += acknowledged
        if frame.repeat:
            self._sent = self._kept_from
        room = self.capacity - len(self._ring)
        beyond = ahead(frame.position, self._limit_sent) + len(frame.data)
        if beyond > 0:
            raise HostFaultError(
                f"{len(frame.data)} bytes from position {frame.position}: {beyond} beyond the limit that was told"
            )
        if frame.position == self._taken % protocol.POSITIONS and len(frame.data) <= room:
            self._ring += frame.data
            self._taken += len(frame.data)
        self._owed = True

    def _answer(self) -> None:
        """One data frame, with as much as there is to send."""
        offset = self._sent - self._kept_from
        data = bytes(self._output[offset : offset + LARGEST_BOARD_DATA])
        self._limit_sent = self._taken - len(self._ring) + self.capacity
        position, acknowledged, limit = (
            count % protocol.POSITIONS for count in (self._sent, self._taken, self._limit_sent)
        )
        self._say(DataAnswer(self.session, position, acknowledged, limit, data))
        self._sent += len(data)
        self._owed = False

    def _say(self, frame: protocol.Frame) -> None:
        self._line += protocol.encode(frame)

    # --- commands -----------------------------------------------------------------------------------------------------

    def _interpret(self) -> None:
        """As far as input and room for output go."""
        try:
            while True:
                given = None
                if isinstance(self._wanted, bytes):
                    if len(self._output) + len(self._wanted) > self.kept:
                        return
                    self._output += self._wanted
                else:
                    if len(self._ring) < self._wanted:
                        return
                    given = bytes(self._ring[: self._wanted])
                    del self._ring[: self._wanted]
                self._wanted = self._interpreter.send(given)
        except MalformedCommandError:
            self._broken = True

    def _commands(self) -> Interpreter:
        while True:
            code = yield 1
            assert code is not None
            match code[0]:
                case Command.WRITE | Command.READ:
                    yield from self._access(code[0])
                case Command.IMAGE:
                    yield from self._image()
                case _:
                    raise MalformedCommandError(f"code {code[0]}")

    def _access(self, code: int) -> Interpreter:
        rest = yield protocol.ACCESS_REST.size
        assert rest is not None
        width, address, step, count = protocol.ACCESS_REST.unpack(rest)
        if width not in WIDTHS or count == 0:
            raise MalformedCommandError(f"{count} words of {width} bytes")
        for place in range(address, address + step * count, step) if step else [address] * count:
            if code == Command.WRITE:
                word = yield width
                assert word is not None
                self.network.write(place, int.from_bytes(word, "little", signed=True) & WORD_MASK)
            else:
                yield self.network.read(place).to_bytes(LARGEST_WIDTH, "little")[:width]

    def _image(self) -> Interpreter:
        rest = yield protocol.IMAGE_REST.size
        assert rest is not None
        flags, label, count = protocol.IMAGE_REST.unpack(rest)
        if count == 0:
            raise MalformedCommandError("an image of no pixels")
        pixels = bytearray()
        while len(pixels) < count:
            token = yield 1
            assert token is not None
            number = token[0] % protocol.LITERAL + 1
            if token[0] < protocol.LITERAL:
                pixels += bytes(number)
            else:
                for _ in range(number):
                    pixel = yield 1
                    assert pixel is not None
                    pixels += pixel
        if len(pixels) > count:
            raise MalformedCommandError(f"{len(pixels)} pixels of {count}")
        for logit in self.network.image(bytes(pixels), label, bool(flags & protocol.TRAIN)):
            yield logit.to_bytes(LOGIT_BYTES, "little", signed=True)


class GoldenNetwork:
    """The golden machine behind the network's bus. Words that are not part of its state are kept, and read back."""

    def __init__(self, config: Config, memory: NetworkMemory) -> None:
        self.machine, self.config = GoldenMachine(config), config
        self._memory = memory
        self._order: State = self.machine.state()
        addresses = np.concatenate([memory.places[name].ravel() for name in self._order])
        self._addresses = addresses
        self._words = self._state_words()
        self._others: dict[int, int] = {}
        self._changed = False

    def _state_words(self) -> dict[int, int]:
        given = self._memory.words_of(self.machine.state())
        return dict(zip(given.addresses.tolist(), given.words.tolist(), strict=True))

    def write(self, address: int, word: int) -> None:
        """See NetworkLike."""
        words = self._words if address in self._words else self._others
        words[address] = word
        self._changed = True

    def read(self, address: int) -> int:
        """See NetworkLike."""
        return self._words.get(address, self._others.get(address, 0))

    def image(self, pixels: bytes, label: int, train: bool) -> list[int]:
        """See NetworkLike."""
        if self._changed:
            words = np.array([self._words[address] for address in self._addresses.tolist()], np.uint64)
            self.machine.load(self._memory.state_of(words, self._order))
            self._changed = False
        height, width = self.config.input.height, self.config.input.width
        image = np.frombuffer(pixels, np.uint8).reshape(1, height, width)
        logits = self.machine.train(image, np.array([label], np.uint8)) if train else self.machine.infer(image)
        self._words = self._state_words()
        return [int(logit) for logit in logits[0]]

    def reset(self) -> None:
        """See NetworkLike."""
