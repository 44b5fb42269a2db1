"""The worked example of docs/link.md, byte for byte."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from board import protocol
from board.model import BoardModel
from board.protocol import Data, Hello
from tests.board.networks import Recording

PAGE = Path(__file__).parents[2] / "docs/link.md"
IDENTITY, CAPACITY, SESSION = 0x0123456789ABCDEF, 1023, 0x1234


def lines(who: str) -> list[bytes]:
    """What the page lets one end say."""
    found = re.findall(rf"^    {who} +((?:[0-9a-f]{{2}} ?)+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [bytes.fromhex(line) for line in found]


def test_the_board_of_the_page_answers_like_the_model() -> None:
    model = BoardModel(Recording(), IDENTITY, capacity=CAPACITY)
    answers = []
    for line in lines("host"):
        model.feed(line)
        answers.append(model.take())
    assert len(answers) == 5
    assert answers == lines("board")


def test_the_host_of_the_page_speaks_like_ours() -> None:
    addresses = np.array([0x70000000, 0x70000100], np.uint32)
    words = np.array([-2, 70000], np.int64).view(np.uint64)
    accesses = protocol.write_commands(addresses, words) + protocol.read_commands(addresses, np.array([3, 3]))[0]
    image = protocol.image_command(bytes([0, 0, 0, 200, 7, 0]), 2, train=True)
    frames = [
        Hello(SESSION),
        Data(SESSION, 0, 0, False, accesses),
        Data(SESSION, len(accesses), 6, False, image),
        Data(SESSION, len(accesses) + len(image), 18, True, b""),
        Data(0x4321, 0, 0, False, b""),
    ]
    assert lines("host") == [protocol.encode(frame) for frame in frames]
    text = PAGE.read_text(encoding="utf-8")
    spelled = [bytes.fromhex(command) for command in re.findall(r"`(0[123] [0-9a-f ]+)`", text)]
    assert b"".join(spelled) == accesses + image
