"""Bits on the line: every byte, clocks that drift, lines that misbehave."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from amaranth.sim import SimulatorContext

from board.gateware.uart import LEAST_CLOCKS_PER_BIT, UartReceiver, UartTransmitter
from tests.board.gateware.bench import Bench

RATES = (4, 5, 8, 20)
#: What is sent at each rate: every byte at the fastest, bytes with long runs and with many edges at all.
CORNERS = [0x00, 0x01, 0x0F, 0x33, 0x55, 0x7F, 0x80, 0xAA, 0xCC, 0xF0, 0xFE, 0xFF]
BYTES_AT = {4: list(range(256)), 5: CORNERS * 4, 8: CORNERS * 2, 20: CORNERS}


def bits_of(byte: int) -> list[int]:
    return [0, *(byte >> place & 1 for place in range(8)), 1]


def levels(bits: Sequence[int], clocks_per_bit: float, phase: float) -> list[int]:
    """The line at every clock edge, for bits of a length of its own, beginning ``phase`` cycles after an edge."""
    cycles = int(len(bits) * clocks_per_bit + phase)
    return [bits[int((cycle - phase) / clocks_per_bit)] if cycle >= phase else 1 for cycle in range(cycles)]


def received(clocks_per_bit: int, line: Sequence[int], *, stall: float = 0.0) -> bytes:
    receiver = UartReceiver(clocks_per_bit)
    bench = Bench(receiver, stall=stall)
    bench.take("o")

    async def conduct(context: SimulatorContext) -> None:
        for level in line:
            context.set(receiver.rx, level)
            await context.tick()
        context.set(receiver.rx, 1)

    bench.run(conduct)
    return bytes(bench.words["o"])


@pytest.mark.parametrize("drift", (-0.02, 0.0, 0.02))
@pytest.mark.parametrize("clocks_per_bit", RATES)
def test_every_byte_is_received_from_a_clock_that_drifts(clocks_per_bit: int, drift: float) -> None:
    chance = random.Random(f"{clocks_per_bit} {drift}")
    sent = BYTES_AT[clocks_per_bit].copy()
    chance.shuffle(sent)
    line: list[int] = []
    for first in range(0, len(sent), 8):  # bytes without a gap, then a gap that shifts the phase
        bits = [bit for byte in sent[first : first + 8] for bit in bits_of(byte)]
        line += levels(bits, clocks_per_bit * (1 + drift), chance.random()) + [1] * chance.randrange(2 * clocks_per_bit)
    assert received(clocks_per_bit, line) == bytes(sent)


@pytest.mark.parametrize("clocks_per_bit", RATES)
def test_a_start_bit_that_is_too_short_is_none(clocks_per_bit: int) -> None:
    idle = [1] * (4 * clocks_per_bit)
    spike = [0] * (clocks_per_bit // 2)
    line = [*idle, *spike, *idle, *levels(bits_of(0x5A), clocks_per_bit, 0), *idle]
    assert received(clocks_per_bit, line) == b"\x5a"


@pytest.mark.parametrize("clocks_per_bit", RATES)
def test_a_byte_without_its_stop_bit_is_dropped(clocks_per_bit: int) -> None:
    idle = [1] * (2 * clocks_per_bit)
    broken = levels([*bits_of(0xA5)[:-1], 0, 0, 0], clocks_per_bit, 0)
    line = [*idle, *broken, *idle, *levels(bits_of(0x3C), clocks_per_bit, 0), *idle]
    assert received(clocks_per_bit, line) == b"\x3c"


def test_a_line_held_low_gives_nothing() -> None:
    assert received(5, [0] * 300 + [1] * 20 + levels(bits_of(0x81), 5, 0)) == b"\x81"


def test_a_byte_that_waits_stays_and_later_ones_may_be_lost() -> None:
    sent = bytes(range(1, 60))
    bits = [bit for byte in sent for bit in [*bits_of(byte), 1, 1, 1]]
    got = received(4, levels(bits, 4, 0), stall=0.99)
    assert 3 < len(got) < len(sent)


@pytest.mark.parametrize("clocks_per_bit", RATES)
def test_bytes_are_sent_bit_by_bit_without_pauses(clocks_per_bit: int) -> None:
    chance = random.Random(clocks_per_bit)
    sent = BYTES_AT[clocks_per_bit].copy()
    chance.shuffle(sent)
    transmitter = UartTransmitter(clocks_per_bit)
    bench = Bench(transmitter)
    bench.give("i", sent)
    seen: list[int] = []

    async def conduct(context: SimulatorContext) -> None:
        for _ in range(len(sent) * 10 * clocks_per_bit + 8):
            seen.append(context.get(transmitter.tx))
            await context.tick()

    bench.run(conduct)
    begin = seen.index(0)
    assert set(seen[:begin]) <= {1}
    expected = [level for byte in sent for bit in bits_of(byte) for level in [bit] * clocks_per_bit]
    assert seen[begin : begin + len(expected)] == expected
    assert begin < 8 and set(seen[begin + len(expected) :]) <= {1}


@pytest.mark.parametrize("clocks_per_bit", RATES)
def test_bytes_are_sent_with_pauses_between(clocks_per_bit: int) -> None:
    sent = [0, 255, 0x55, 0xAA, 1, 128]
    transmitter = UartTransmitter(clocks_per_bit)
    bench = Bench(transmitter, stall=0.98)
    bench.give("i", sent)
    line: list[int] = []

    async def conduct(context: SimulatorContext) -> None:
        while bench.left:
            line.append(context.get(transmitter.tx))
            await context.tick()
        for _ in range(11 * clocks_per_bit):
            line.append(context.get(transmitter.tx))
            await context.tick()

    bench.run(conduct)
    assert received(clocks_per_bit, line) == bytes(sent)


@pytest.mark.parametrize("part", (UartReceiver, UartTransmitter))
def test_rates_without_a_middle_are_refused(part: type) -> None:
    with pytest.raises(ValueError, match=f"clocks_per_bit = 3: accepted: at least {LEAST_CLOCKS_PER_BIT}"):
        part(3)
