"""What both ends of the link agree on: numbers of frames and commands, and lengths. See docs/link.md. No Amaranth here."""

from __future__ import annotations

from enum import IntEnum

PROTOCOL_VERSION = 1


class HostFrame(IntEnum):
    HELLO = 0x01
    DATA = 0x02


class BoardFrame(IntEnum):
    HELLO = 0x81
    DATA = 0x82
    REFUSED = 0x83


class Refusal(IntEnum):
    NO_SESSION = 1
    MALFORMED = 2


class Command(IntEnum):
    WRITE = 0x01
    READ = 0x02
    IMAGE = 0x03


#: Bytes of content, at most: with its CRC it is one block of COBS at the most.
LARGEST_CONTENT = 250
#: Bytes of streams in a data frame, at most.
LARGEST_HOST_DATA = 238
LARGEST_BOARD_DATA = 235
#: Content of frames from the host: all of a hello, and what is in front of a frame's data.
HOST_HELLO_BYTES = 3
HOST_HEADER_BYTES = 8
#: Bit of *repeat* in the flags of a data frame; of *train* in those of an image.
REPEAT_BIT = 0
TRAIN_BIT = 0
#: Bits of positions in streams, and of sessions.
POSITION_BITS = 16
#: A byte of compressed pixels: with this bit, one more pixel than the rest says follow as bytes; without, are 0.
LITERAL_BIT = 7
LARGEST_WIDTH = 8
LOGIT_BYTES = 4
