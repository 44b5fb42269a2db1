"""The faults that others are tested with really happen, at the rates that were asked for."""

from __future__ import annotations

import re

import pytest

from board.faults import KINDS, FaultError, FaultyLine, Rates, parse_rates

LINE = bytes(range(256)) * 80
RATE = 0.01


def arrived(faults: FaultyLine, line: bytes) -> bytes:
    return b"".join(part for part in faults.to_board(line) if part is not None)


def test_a_good_line_changes_nothing() -> None:
    faults = FaultyLine(Rates())
    assert faults.to_board(LINE) == [LINE]
    assert faults.from_board(LINE) == LINE
    assert not faults.counts


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_strikes_as_often_as_asked(kind: str) -> None:
    faults = FaultyLine(parse_rates(f"{kind}={RATE},burst_bytes=1,cut_seconds=0"), clock=lambda: 0.0)
    there, back = faults.to_board(LINE), faults.from_board(LINE)
    directions = 1 if kind == "reset" else 2
    if kind != "cut":  # the line of a clock that stands still is never restored
        assert 0.8 < faults.counts[kind] / (RATE * directions * len(LINE)) < 1.2
    assert set(faults.counts) == {kind}
    assert (back == LINE) == (kind == "reset")
    assert (there == [LINE]) is False


def test_kinds_strike_beside_each_other() -> None:
    faults = FaultyLine(parse_rates(f"flip={RATE},drop={RATE},duplicate={RATE}"))
    faults.from_board(LINE)
    assert set(faults.counts) == {"flip", "drop", "duplicate"}
    assert all(0.7 < count / (RATE * len(LINE)) < 1.3 for count in faults.counts.values())


def test_flip_changes_one_bit() -> None:
    changed = [(a ^ b).bit_count() for a, b in zip(arrived(FaultyLine(Rates(flip=RATE)), LINE), LINE, strict=True)]
    assert set(changed) == {0, 1}


def test_drop_and_duplicate_change_the_length() -> None:
    for kind, sign in (("drop", -1), ("duplicate", 1)):
        faults = FaultyLine(Rates(**{kind: RATE}))
        assert len(arrived(faults, LINE)) - len(LINE) == sign * faults.counts[kind]


def test_reorder_swaps_neighbours() -> None:
    faults = FaultyLine(Rates(reorder=0.001))
    came = arrived(faults, LINE)
    assert sorted(came) == sorted(LINE)
    wrong = [place for place, (a, b) in enumerate(zip(came, LINE, strict=True)) if a != b]
    assert len(wrong) == 2 * faults.counts["reorder"]
    assert all(came[first : first + 2] == LINE[first : first + 2][::-1] for first in wrong[::2])


def test_burst_spoils_bytes_in_a_row() -> None:
    faults = FaultyLine(Rates(burst=0.001, burst_bytes=50))
    wrong = sum(a != b for a, b in zip(arrived(faults, LINE), LINE, strict=True))
    assert wrong > 20 * faults.counts["burst"]


def test_cut_loses_both_directions_for_a_while() -> None:
    now = 0.0
    faults = FaultyLine(Rates(cut=1.0, cut_seconds=0.5), clock=lambda: now)
    assert faults.to_board(b"abc") == [b""]
    assert faults.from_board(b"def") == b""
    assert faults.counts["cut"] == 1
    now = 100.0
    assert faults.from_board(b"ghi") == b""
    assert faults.counts["cut"] == 2


def test_reset_comes_between_two_bytes() -> None:
    assert FaultyLine(Rates(reset=1.0)).to_board(b"ab") == [b"", None, b"", None, b""]
    parts = FaultyLine(Rates(reset=RATE)).to_board(LINE)
    assert parts.count(None) > 100
    assert max(len(part) for part in parts if part is not None) < len(LINE)


def test_the_seed_decides() -> None:
    text = "flip=0.01,drop=0.01,burst=0.001,reorder=0.01,duplicate=0.01,seed="
    assert arrived(FaultyLine(parse_rates(text + "1")), LINE) == arrived(FaultyLine(parse_rates(text + "1")), LINE)
    assert arrived(FaultyLine(parse_rates(text + "1")), LINE) != arrived(FaultyLine(parse_rates(text + "2")), LINE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flop=1", "fault 'flop=1': accepted: NAME=NUMBER with flip, drop"),
        ("flip", "fault 'flip': accepted: NAME=NUMBER"),
        ("flip=x", "fault flip = 'x': accepted: a number"),
        ("flip=2", "fault flip = 2: accepted: 0 .. 1"),
        ("seed=-1", "fault seed = -1: accepted: a number above 0"),
        ("flip=nan", "fault flip = nan: accepted: 0 .. 1"),
        ("flip=0.6,drop=0.6", "together more than one a byte"),
    ],
)
def test_faults_that_cannot_be_had(text: str, message: str) -> None:
    with pytest.raises(FaultError, match=re.escape(message)) as caught:
        parse_rates(text)
    assert "\n" not in str(caught.value)
