"""The command line of sim: what bench prints, and that every mistake is one line."""

from __future__ import annotations

import re

import pytest

from sim import bench
from sim.cli import main


def test_bench_compares_every_route(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "NATIVE_SECONDS", 0.01)
    assert main(["bench-block", "lfsr", "--vectors", "30", "--quiet"]) == 0
    title, header, *rows = capsys.readouterr().out.splitlines()
    assert title == "lfsr, 30 vectors, all words equal in every simulator"
    assert header.split() == ["route", "cycles", "seconds", "cycles/s", "ratio"]
    assert [re.split("  +", row)[0] for row in rows] == list(bench.ROUTES)
    for row in rows:
        cycles, seconds, rate, ratio = (float(cell.replace(",", "")) for cell in row.split()[-4:])
        assert cycles > 30
        assert rate > 0
        assert ratio > 0
        assert seconds >= 0


def test_ratios_are_those_of_the_rates() -> None:
    rows = bench.table({"slow": bench.Rate(1000, 2.0), "fast": bench.Rate(6000, 0.5)}).splitlines()
    assert rows[1].split() == ["slow", "1,000", "2.00", "500", "1.0"]
    assert rows[2].split() == ["fast", "6,000", "0.50", "12,000", "24.0"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench-block", "none"], "block 'none': unknown; accepted: "),
        (["bench-block", "lfsr", "--set", "width"], "--set 'width': accepted: name=value"),
        (["bench-block", "tile", "--set", "rows=3"], "tile: .*accepted: "),
        (["bench-block", "lfsr", "--vectors", "0"], ".*vectors.*"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(rf"error: {message}[^\n]*\n", printed.err), printed.err
