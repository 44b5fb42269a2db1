"""The command line of sim: what its commands print, and that every mistake is one line."""

from __future__ import annotations

import re
from pathlib import Path

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


def test_bench_of_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--config", "tiny", "--images", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "tiny, 4 lanes, image 3"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    phases = [(row[0], row[1]) for row in cells[2:12]]
    forward = [(layer, "forward") for layer in ("K1", "W2", "W3")]
    back = [(layer, phase) for layer in ("W3", "W2") for phase in ("backward", "update")]
    assert phases == [*forward, *back, ("K1", "update"), ("", "loading the image"), ("", "all")]
    cycles = [int(row[2].replace(",", "")) for row in cells[2:12]]
    assert abs(sum(cycles[:-1]) - cycles[-1]) <= len(cycles)  # each is rounded
    floors = [int(row[3].replace(",", "")) for row in cells[2:10]]
    assert all(spent > floor for spent, floor in zip(cycles, floors, strict=False))  # each phase is its own
    # 3 x 10 weights at 16 positions, 5 x 13 and 10 x 6; the first array is not read backward.
    assert cells[11][3] == f"{(2 * 30 * 16 + 3 * (65 + 60)) / 4:,.0f}"
    scaling = cells[-1]
    assert scaling[0] == "4"
    assert float(scaling[-1]) > 0


@pytest.mark.slow
def test_waves_of_one_phase(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "w2.vcd"
    arguments = ["waves", "--config", "tiny", "--image", "2", "--layer", "W2", "--phase", "backward", "--out", str(out)]
    assert main(arguments) == 0
    cycles = int(re.fullmatch(rf"{out}: (\d+) cycles of W2, backward\n", capsys.readouterr().out)[1])
    times = [int(line[1:]) for line in out.read_text().splitlines() if re.fullmatch(r"#\d+", line)]
    assert 100 < cycles < 2000
    assert cycles <= len(times) <= 3 * cycles + 3


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
        (["bench", "--config", "tiny", "--set", "hardware.lanes=0"], "hardware.lanes = 0: accepted: "),
        (
            ["bench", "--config", "tiny", "--set", "array.update.mode=exact"],
            "machine 'rtl': .*mode = exact: accepted: pulsed",
        ),
        (["waves", "--config", "tiny", "--layer", "K2", "--out", "x.vcd"], "--layer 'K2': accepted: K1, W2, W3"),
        (
            ["waves", "--config", "tiny", "--layer", "K1", "--phase", "backward", "--out", "x.vcd"],
            "--phase backward .*",
        ),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(rf"error: {message}[^\n]*\n", printed.err), printed.err
