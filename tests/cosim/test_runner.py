"""What the runner makes of results and coverage files."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.runner import SimulationError, _check_cocotb_results, read_coverage

CASE = '<testcase name="transactions">{}</testcase>'
RESULTS = '<testsuites><testsuite name="all">{}</testsuite></testsuites>'


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ("", "ran 0 tests, expected 1"),
        (2 * CASE.format(""), "ran 2 tests, expected 1"),
        (CASE.format('<failure message="wrong"/>'), "wrong"),
        (CASE.format("<skipped/>"), "skipped"),
    ],
)
def test_anything_but_the_expected_tests_passing_is_a_failure(tmp_path: Path, cases: str, message: str) -> None:
    results = tmp_path / "results.xml"
    results.write_text(RESULTS.format(CASE.format("")))
    _check_cocotb_results(results, 1, tmp_path / "log")
    results.write_text(RESULTS.format(cases))
    with pytest.raises(SimulationError, match=message):
        _check_cocotb_results(results, 1, tmp_path / "log")


def test_no_results_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match="no results"):
        _check_cocotb_results(tmp_path / "results.xml", 1, tmp_path / "log")


def test_coverage_counts_points_but_not_what_only_starts_processes(tmp_path: Path) -> None:
    source, data = tmp_path / "block.v", tmp_path / "coverage.dat"
    source.write_text("always @* begin\n  if (net_auto) begin end\n  if (a)\n    b = 1;\nend\n")
    point = "C '\x01f\x02block.v\x01l\x02{}\x01page\x02v_branch/block\x01o\x02if' {}\n"
    data.write_text("# SystemC::Coverage-3\n" + point.format(2, 0) + point.format(3, 7) + point.format(4, 0))
    coverage = read_coverage(data, source)
    assert (coverage.reached, coverage.points, coverage.missed_lines) == (1, 2, (4,))
    assert str(coverage) == "50.0 % (1 of 2)"
