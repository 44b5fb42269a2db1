"""Bytes on a serial line whose ends do not have the same speed, and the speed that a host has set on its end."""

from __future__ import annotations

import fcntl
import struct

from board.gateware.uart import BYTE_BITS

#: A byte's bits with start and stop.
START, STOP = 0, 1
#: Linux' TCGETS2, which gives speeds as plain numbers, the size of its answer, and where in it the output speed lies.
TCGETS2, TERMIOS2_BYTES = 0x802C542A, 44
OUTPUT_SPEED = struct.Struct("<I")
OUTPUT_SPEED_OFFSET = 40


def speed_of(descriptor: int) -> int:
    """The baud rate of a terminal; of a pseudo-terminal, either end gives what was set at the other. Raises OSError."""
    return int(
        OUTPUT_SPEED.unpack_from(fcntl.ioctl(descriptor, TCGETS2, bytes(TERMIOS2_BYTES)), OUTPUT_SPEED_OFFSET)[0]
    )


def retimed(line: bytes, *, sent: int, received: int) -> bytes:
    """What a receiver of one baud rate makes of bytes that follow each other at another, between silence.

    It waits for a low line, samples the middle of each bit from there, and gives a byte if the start bit is low and the stop
    bit is high, as board/gateware/uart.py does.
    """
    if sent == received:
        return line
    bits = [bit for byte in line for bit in (START, *(byte >> number & 1 for number in range(BYTE_BITS)), STOP)]
    # In units in which both half bits are whole: a bit lasts 2 * received at the sender, 2 * sent at the receiver.
    bit, half = 2 * received, sent
    taken, now = bytearray(), 0
    while (number := _next_low(bits, now // bit)) is not None:
        now = max(now, number * bit)
        samples = [_level(bits, (now + (2 * place + 1) * half) // bit) for place in range(BYTE_BITS + 2)]
        if samples[0] != START:
            now += half
            continue
        if samples[-1] == STOP:
            taken.append(sum(value << place for place, value in enumerate(samples[1:-1])))
        now += (2 * BYTE_BITS + 3) * half
    return bytes(taken)


def _level(bits: list[int], number: int) -> int:
    return bits[number] if number < len(bits) else STOP


def _next_low(bits: list[int], first: int) -> int | None:
    return next((number for number in range(first, len(bits)) if bits[number] == START), None)
