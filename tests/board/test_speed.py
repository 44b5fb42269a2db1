"""What comes of bytes at the wrong speed."""

from __future__ import annotations

import os

import pytest
import serial
from hypothesis import given
from hypothesis import strategies as st

from board.speed import retimed, speed_of

LINES = st.binary(min_size=1, max_size=60)


@given(LINES, st.integers(9600, 4_000_000), st.floats(0.97, 1.03))
def test_speeds_nearly_alike_change_nothing(line: bytes, baud: int, ratio: float) -> None:
    assert retimed(line, sent=baud, received=round(ratio * baud)) == line


@given(st.binary(min_size=20, max_size=60), st.sampled_from([0.25, 0.5, 2 / 3, 1.5, 2, 3, 8]))
def test_other_speeds_give_garbage(line: bytes, ratio: float) -> None:
    if len(set(line)) > 10:
        assert retimed(line, sent=100_000, received=round(ratio * 100_000)) != line


def test_known_garbage() -> None:
    """Twice as fast a receiver sees every bit twice."""
    # 0x55: low low, high high, low low ...: the tenth sample is low, no stop bit. The next start bit that is long enough is
    # the byte's bit 5; after it come 0 1 1 0 0 1 1 and silence.
    assert retimed(b"\x55", sent=100, received=200) == b"\xe6"
    # 0xff: the second half of the start bit, then ones; a stop bit.
    assert retimed(b"\xff", sent=100, received=200) == b"\xfe"
    # Half as fast a receiver samples the borders of pairs of bits, of which it sees the second: start, three zeros, the stop
    # bit of 0x00, and ones.
    assert retimed(b"\x00\xff", sent=100, received=50) == bytes([0b11111000])


@pytest.mark.parametrize("baud", [9600, 115200, 1_000_000, 3_000_000, 250_000, 12_345])
def test_the_speed_that_a_host_sets_is_seen_at_the_other_end(baud: int) -> None:
    here, there = os.openpty()
    port = serial.Serial(os.ttyname(there), baud)
    assert speed_of(here) == baud
    port.close()
    os.close(here)
    os.close(there)
