"""Bitstreams: a network behind its serial line, synthesised, placed and routed for a board; and putting one on the board.

A build is a folder, build/board/TARGET-IDENTITY, with the bitstream and build.json, which says what it is: use of the device,
highest frequency of every clock, identity, config and tool versions. It is made in a folder of its own and renamed when it
is complete. One whose clock misses its frequency is complete too, and asking for it is an error.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from amaranth.hdl import ClockDomain, Elaboratable, Module
from amaranth.lib import io
from amaranth.vendor import SiliconBluePlatform

from board.gateware.clock import Ecp5Clock
from board.gateware.top import BoardTop
from board.identity import identity_of
from board.targets import Target
from emulator.building import building_folder
from emulator.config import Config
from emulator.errors import CrosspointError
from hdl.block import warnings_as_errors
from hdl.memory import AFTER_RTLIL
from hdl.network.network import Network
from hdl.network.network_parameters import NetworkParameters
from hdl.tools import (
    BEFORE_SYNTHESIS,
    HIDE_BRACKETS,
    NEXTPNR_ECP5,
    NEXTPNR_ICE40,
    YOSYS,
    ToolError,
    run_tool,
    tool_version,
)

BUILDS = Path(__file__).parents[1] / "build" / "board"
NAME = "top"
DESCRIPTION = "build.json"
TIMING = "timing.json"
LOADER = "openFPGALoader"
AMARANTH = "amaranth"
#: The tools of Amaranth's commands, as they are called here.
TOOLS = {
    "yosys": YOSYS,
    "nextpnr-ecp5": NEXTPNR_ECP5,
    "nextpnr-ice40": NEXTPNR_ICE40,
    "ecppack": "yowasp-ecppack",
    "icepack": "yowasp-icepack",
}
SUFFIXES = (".bit", ".bin")
#: Of place and route: a report, and a judgement of our own on clocks.
ROUTING = ("--report", TIMING, "--timing-allow-fail")
#: Cells of the devices, as they are called in tables. Others are pins and clocks.
CELLS = {
    "TRELLIS_COMB": "LUT",
    "ICESTORM_LC": "LUT",
    "TRELLIS_FF": "FF",
    "MULT18X18D": "DSP",
    "ICESTORM_DSP": "DSP",
    "DP16KD": "RAM",
    "ICESTORM_RAM": "RAM",
    "ICESTORM_SPRAM": "SPRAM",
}
#: Seconds in which a board is programmed: many times what the largest flash needs.
PROGRAM_SECONDS = 900.0
MEGA = 1e6
#: Of frequencies in reports, in Hz.
ROUNDING = 1e4


class BuildError(CrosspointError):
    """A bitstream that cannot be built, or put on a board."""


class BoardDesign(Elaboratable):
    """``top`` on the pins of a board, with the board's clock or one made from it."""

    def __init__(self, top: BoardTop, target: Target) -> None:
        self.top, self.target = top, target

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.board = top = self.top
        self._make_clock(m, platform)
        uart = platform.request("uart", 0, dir="-")
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.d.comb += [top.rx.eq(rx.i), tx.o.eq(top.tx)]
        if self.target.led:
            m.submodules.led = led = io.Buffer("o", platform.request(self.target.led, 0, dir="-"))
            m.d.comb += led.o.eq(top.active)
        return m

    def _make_clock(self, m: Module, platform: Any) -> None:
        given = round(platform.default_clk_constraint.frequency)
        if given == self.target.clock:
            return  # Amaranth makes the domain
        m.submodules.oscillator = oscillator = io.Buffer("i", platform.request(platform.default_clk, dir="-"))
        m.domains.sync = ClockDomain("sync", reset_less=True)
        m.submodules.clock = clock = Ecp5Clock(oscillator.i, given, self.target.clock)
        m.d.comb += self.top.reset.eq(clock.reset)


@dataclass(frozen=True)
class Clock:
    """In MHz."""

    achieved: float
    wanted: float


@dataclass(frozen=True)
class Build:
    """``cells``: by kind, how many are used of how many."""

    bitstream: Path
    identity: int
    cells: Mapping[str, tuple[int, int]]
    clocks: Mapping[str, Clock]

    def check(self, target: Target) -> None:
        """Raises BuildError if a clock misses its frequency, or if the board's own is not among them."""
        for name, clock in self.clocks.items():
            if clock.achieved < clock.wanted:
                raise BuildError(
                    f"board {target.name!r}: clock {name}: {clock.achieved:.1f} MHz; "
                    f"accepted: at least {clock.wanted:.1f} MHz"
                )
        if all(abs(clock.wanted * MEGA - target.clock) > ROUNDING for clock in self.clocks.values()):
            raise BuildError(f"board {target.name!r}: no clock of {target.clock / MEGA:.1f} MHz; accepted: one")

    def table(self) -> str:
        lines = [f"identity  {self.identity:016x}"]
        for kind, (used, available) in self.cells.items():
            lines.append(f"{kind:8}  {used} of {available}, {100 * used / available:.0f} %")
        for name, clock in self.clocks.items():
            lines.append(f"clock     {name}: {clock.achieved:.1f} MHz of {clock.wanted:.1f} MHz")
        return "\n".join([*lines, f"bitstream {self.bitstream}"])


def build(target: Target, config: Config, *, builds: Path = BUILDS, show: Callable[[str], None] = print) -> Build:
    """The bitstream of a config's network for a board, built unless it is there already; ``show`` is given a table. Raises
    BuildError, also when a clock misses its frequency, and ToolError."""
    try:
        parameters = NetworkParameters.of_config(config)
        # What a host sees of a network is the same, and so is its identity.
        placed = parameters.in_spram() if target.weights_in_spram and parameters.compact else parameters
    except ValueError as error:
        raise BuildError(f"board {target.name!r}: {error}") from error
    identity = identity_of(parameters)
    folder = builds / f"{target.name}-{identity:016x}"
    made_from = {
        "board": target.name,
        "identity": f"{identity:016x}",
        "clock": target.clock,
        "options": _options(target),
        "weights_in_spram": placed.crossbar.weights_in_spram,
        "link": target.link(identity).model_dump(),
        "tools": {tool: tool_version(tool) for tool in (AMARANTH, YOSYS, _family(target))},
    }
    if not _is_made_from(folder, made_from):
        top = BoardTop(Network(placed, identity), target.link(identity))
        _make(target, top, {**made_from, "config": config.name, "config_digest": config.digest}, folder)
    built = read_build(folder)
    show(built.table())
    built.check(target)
    return built


def read_build(folder: Path) -> Build:
    """What a complete build says of itself."""
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    return Build(
        bitstream=folder / description["bitstream"],
        identity=int(description["identity"], 16),
        cells={kind: tuple(counts) for kind, counts in description["cells"].items()},
        clocks={name: Clock(**clock) for name, clock in description["clocks"].items()},
    )


def program(target: Target, bitstream: Path) -> None:
    """Put a bitstream on a board that is connected. Raises BuildError."""
    loader = shutil.which(LOADER)
    if loader is None:
        raise BuildError(f"{LOADER}: not found; accepted: the program on PATH (apt-get install openfpgaloader)")
    if not bitstream.is_file():
        raise BuildError(f"bitstream {str(bitstream)!r}: not found; accepted: a file made by `python -m board build`")
    try:
        finished = subprocess.run([loader, *target.programmer, str(bitstream)], check=False, timeout=PROGRAM_SECONDS)
    except subprocess.TimeoutExpired:
        raise BuildError(
            f"{LOADER}: not done after {PROGRAM_SECONDS:g} s; accepted: a board {target.name!r} that is connected and answers"
        ) from None
    if finished.returncode:
        raise BuildError(
            f"{LOADER}: exit code {finished.returncode}; accepted: a board {target.name!r} that is connected"
        )


def _family(target: Target) -> str:
    """The package of the tools for a board's FPGA."""
    return NEXTPNR_ICE40 if isinstance(target.platform(), SiliconBluePlatform) else NEXTPNR_ECP5


def _options(target: Target) -> dict[str, str]:
    """Of Amaranth's toolchain: ours, and the target's own."""
    own = dict(target.options)
    routing = (*ROUTING, "--seed", str(target.placement), own.pop("nextpnr_opts", ""))
    before = (AFTER_RTLIL, *([HIDE_BRACKETS] if target.hide_brackets else []), BEFORE_SYNTHESIS)
    return {"script_after_read": "\n".join(before), "nextpnr_opts": " ".join(routing), **own}


def _is_made_from(folder: Path, made_from: Mapping[str, Any]) -> bool:
    description = folder / DESCRIPTION
    if not description.is_file():
        return False
    kept = json.loads(description.read_text(encoding="utf-8"))
    return all(kept.get(name) == value for name, value in made_from.items())


def _make(target: Target, top: BoardTop, description: dict[str, Any], done: Path) -> None:
    """Run the tools in a folder of their own, which stays with their logs if one fails, and put the result into its place."""
    platform = target.platform()
    with warnings_as_errors():
        plan = platform.build(
            BoardDesign(top, target),
            NAME,
            do_build=False,
            **description["options"],
        )
    with building_folder(done.parent, kept_after=(ToolError,)) as folder:
        work, result = folder / "work", folder / "result"
        plan.extract(work)
        result.mkdir()
        for tool, *arguments in json.loads((work / f"build_{NAME}.json").read_text(encoding="utf-8"))["commands"]:
            run_tool(TOOLS[tool], arguments, work)
        bitstream = next(path for path in (work / f"{NAME}{suffix}" for suffix in SUFFIXES) if path.is_file())
        timing = json.loads((work / TIMING).read_text(encoding="utf-8"))
        for path in (bitstream, *work.glob("*.log"), work / TIMING):
            shutil.copy(path, result)
        whole = {**description, "bitstream": bitstream.name, **read_timing(timing)}
        (result / DESCRIPTION).write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        _replace(result, done, folder / "before")


def _replace(result: Path, done: Path, before: Path) -> None:
    """Give a complete folder its name, which an older build may have, and another process may have taken meanwhile."""
    if done.exists():
        done.rename(before)
    try:
        result.rename(done)
    except OSError:
        if not done.is_dir():
            raise


def read_timing(report: Mapping[str, Any]) -> dict[str, Any]:
    """Cells, by kind, and clocks of nextpnr's report."""
    cells: dict[str, tuple[int, int]] = {}
    for name, counts in report["utilization"].items():
        if name in CELLS and counts["available"]:
            cells[CELLS[name]] = (counts["used"], counts["available"])
    clocks = {
        name: asdict(Clock(round(clock["achieved"], 2), round(clock["constraint"], 2)))
        for name, clock in report["fmax"].items()
    }
    return {"cells": cells, "clocks": clocks}
