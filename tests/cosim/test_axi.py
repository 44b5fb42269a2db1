"""The network's AXI pins, as exported, with the other sides of cocotbext-axi."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from hdl.axi.axi_lite import byte_address
from hdl.axi.network_axi import NetworkAxi
from hdl.axi.registers import OWN_SPACE, OwnRegister
from hdl.network.host import Register, Space, address_of
from sim.axi import Answers, Step, design_of, run_axi
from sim.runner import Design
from tests.hdl.axi.stand_in import ADDRESS_BITS, CLASSES, StandIn, logits

OKAY, SLVERR = 0, 2
PIXELS = 30
LAST_PIXEL = byte_address(address_of(Space.REGISTERS.value, Register.LAST_PIXEL.value))
PACKETS, DROPPED = (byte_address(address_of(OWN_SPACE, register.value)) for register in OwnRegister)
#: An address of every space of the network, and the words that fit there.
PLACES = [byte_address(address_of(space, 2 + space)) for space in range(1, OWN_SPACE)]


@functools.cache
def design(word_bits: int = 32) -> Design:
    network = NetworkAxi(StandIn(), address_bits=ADDRESS_BITS, classes=CLASSES, word_bits=word_bits)
    return design_of(network, f"network_axi_{word_bits}")


def word(value: int) -> bytes:
    return value.to_bytes(8, "little")


def drawn(count: int, seed: int = 1) -> list[int]:
    return np.random.default_rng(seed).integers(0, 1 << 64, count, dtype=np.uint64).tolist()


def packet(train: bool, label: int, pixels: bytes) -> bytes:
    return bytes([train << 7, label]) + pixels


def images(count: int, seed: int = 2) -> list[tuple[bool, int, bytes]]:
    generator = np.random.default_rng(seed)
    return [(bool(k % 3), k % CLASSES, generator.bytes(PIXELS)) for k in range(count)]


def frames(of: list[tuple[bool, int, bytes]], word_bits: int = 32) -> list[bytes]:
    """The packets of logits that answer images."""
    return [b"".join(value.to_bytes(word_bits // 8, "little", signed=True) for value in logits(*image)) for image in of]


SET_UP = Step(writes=[(LAST_PIXEL, word(PIXELS - 1))])
COUNTS = Step(reads=[(PACKETS, 8), (DROPPED, 8)])


def counts(answers: Answers) -> tuple[int, ...]:
    assert [response for response, _ in answers.reads] == [OKAY, OKAY]
    return tuple(int.from_bytes(content, "little") for _, content in answers.reads)


@pytest.mark.parametrize("stall", (0.0, 0.5))
def test_words_of_every_space_are_written_and_read(stall: float) -> None:
    first, second = drawn(len(PLACES)), drawn(len(PLACES), seed=3)
    half = len(PLACES) // 2
    read_all = [(place, 8) for place in PLACES]
    steps = [
        Step(writes=[(place, word(value)) for place, value in zip(PLACES, first, strict=True)]),
        # Reads of one half while the other is written.
        Step(writes=[(p, word(v)) for p, v in zip(PLACES[:half], second, strict=False)], reads=read_all[half:]),
        Step(reads=read_all),
    ]
    written, both, after = run_axi(design(), steps, stall=stall, randomise=True)
    assert written.writes == [OKAY] * len(PLACES) and both.writes == [OKAY] * half
    assert both.reads == [(OKAY, word(value)) for value in first[half:]]
    assert after.reads == [(OKAY, word(value)) for value in second[:half] + first[half:]]


@pytest.mark.parametrize("stall", (0.0, 0.4))
def test_accesses_that_are_refused_change_nothing(stall: float) -> None:
    place, value = PLACES[0], drawn(1)[0]
    nowhere = [
        byte_address(address_of(Space.REGISTERS.value, len(Register))),
        byte_address(address_of(OWN_SPACE, len(OwnRegister))),
    ]
    steps = [
        Step(writes=[(place, word(value))]),
        Step(
            writes=[
                (place, b"\1\2\3\4"),
                (place + 4, b"\5\6\7\x08"),
                (place + 7, b"\0"),
                *((n, word(1)) for n in nowhere),
            ]
        ),
        Step(reads=[(place + 1, 1), (place + 4, 4), *((address, 8) for address in nowhere), (place, 8)]),
    ]
    _, written, read = run_axi(design(), steps, stall=stall)
    assert written.writes == [SLVERR] * 5
    assert read.reads == [(SLVERR, b"\0"), (SLVERR, bytes(4)), *[(SLVERR, bytes(8))] * 2, (OKAY, word(value))]


@pytest.mark.parametrize(("word_bits", "stall"), [(32, 0.0), (32, 0.5), (64, 0.3)])
def test_images_are_answered_in_order(word_bits: int, stall: float) -> None:
    given = images(12)
    steps = [SET_UP, Step(packets=[packet(*image) for image in given], frames=len(given)), COUNTS]
    _, answered, counted = run_axi(design(word_bits), steps, stall=stall, randomise=True)
    assert answered.frames == frames(given, word_bits)
    assert answered.dropped == 0 and counts(counted) == (len(given), 0)


@pytest.mark.parametrize("stall", (0.0, 0.5))
def test_accesses_while_images_are_under_way(stall: float) -> None:
    given, values = images(6), drawn(len(PLACES))
    writes = [(place, word(value)) for place, value in zip(PLACES, values, strict=True)]
    busy = Step(
        writes=writes,
        reads=[(LAST_PIXEL, 8)] * 8,
        packets=[packet(*image) for image in given],
        frames=len(given),
    )
    _, under_way, after = run_axi(design(), [SET_UP, busy, Step(reads=[(place, 8) for place in PLACES])], stall=stall)
    assert under_way.frames == frames(given)
    assert under_way.writes == [OKAY] * len(writes) and under_way.reads == [(OKAY, word(PIXELS - 1))] * 8
    assert after.reads == [(OKAY, content) for _, content in writes]


MALFORMED = {
    "train alone": b"\x80",
    "no pixels": b"\x80\x01",
    "one pixel": packet(True, 1, b"\7"),
    "a pixel short": packet(True, 1, bytes(PIXELS - 1)),
    "a pixel long": packet(True, 1, bytes(PIXELS + 1)),
    "more than fits": packet(True, 1, bytes(5 << ADDRESS_BITS)),
    "label of no class": packet(True, CLASSES, bytes(PIXELS)),
    "bits that mean nothing": bytes([0x81, 1]) + bytes(PIXELS),
}


@pytest.mark.parametrize("stall", (0.0, 0.4))
def test_malformed_packets_are_dropped_and_the_others_are_not_touched(stall: float) -> None:
    given = images(len(MALFORMED) + 1)
    packets = [packet(*given[0])]
    for bad, image in zip(MALFORMED.values(), given[1:], strict=True):
        packets += [bad, bad, packet(*image)]
    steps = [
        SET_UP,
        Step(packets=packets, frames=len(given)),
        COUNTS,
        Step(writes=[(DROPPED, word(0))]),
        Step(packets=[packet(*given[0])], frames=1),
        COUNTS,
    ]
    _, answered, counted, cleared, again, recounted = run_axi(design(), steps, stall=stall)
    assert answered.frames == frames(given)
    assert answered.dropped == 1 and counts(counted) == (len(given), 2 * len(MALFORMED))
    assert cleared.dropped == 0 and again.frames == frames(given[:1])
    assert counts(recounted) == (len(given) + 1, 0)


def test_every_kind_of_malformed_packet_is_counted_and_not_answered() -> None:
    steps = [step for bad in MALFORMED.values() for step in (Step(packets=[bad]), COUNTS)]
    _, *answers = run_axi(design(), [SET_UP, *steps])
    for number, (name, counted) in enumerate(zip(MALFORMED, answers[1::2], strict=True), 1):
        assert counted.dropped == 1 and counts(counted) == (0, number), name


def test_a_size_that_changes_under_a_kept_packet_hangs_nothing() -> None:
    """The packet waits behind an image when the register is written: it goes on with as many pixels as are asked for."""
    given = images(3)
    smaller = given[2][0], given[2][1], given[2][2][:5]
    steps = [
        SET_UP,
        Step(packets=[packet(*image) for image in given[:2]]),
        Step(writes=[(LAST_PIXEL, word(4))], frames=2),
        Step(packets=[packet(*smaller)], frames=1),
    ]
    *_, changed, after = run_axi(design(), steps)
    assert changed.frames[0] == frames(given[:1])[0]
    assert after.frames == frames([smaller])
