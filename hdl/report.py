"""What a block costs and how fast it is: synthesised, placed and routed, one block at a time.

The block stands in a harness that takes its I/O out of the way: one shift register, filled from a pin, drives all inputs
(``rst`` too, but not a network's), and one register per output bit takes the outputs and is kept, though nothing reads it.
So any number of port bits fits two pins, nothing is optimised away, and every path of the block begins and ends in a
register: Fmax holds for the block between registered neighbours. The block is synthesised alone, and its LUTs, registers,
multipliers and memories counted; then the harness, which has no gates, is laid around it for place and route.

Results are kept under build/report by a digest of everything they depend on: netlists, placements of large designs, and what
was routed, so a report that was stopped goes on with the step it was in. Work goes on in a folder of its own, which
takes its place when it is complete, so reports may run side by side.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.building import building_folder
from emulator.errors import CrosspointError
from hdl.block import Block
from hdl.blocks import NETWORK
from hdl.export import describe, to_rtlil, to_verilog
from hdl.memory import AFTER_RTLIL
from hdl.part import ECP5_85K, ICE40_UP5K, Part
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

BUILD_FOLDER = Path(__file__).parents[1] / "build" / "report"
HARNESS = "report_harness"
CELLS, NETLIST, TIMING, PINS = "cells.json", "netlist.json", "timing.json", "pins.lpf"
#: LUTs from which on a design is large.
LARGE = 20_000
#: In nextpnr's names of the clocks: a clock input tied to a constant; and ends of paths that are no registers of the clock.
CONSTANT_CLOCK = "$PACKER_"
ELSEWHERE = ("<async>", CONSTANT_CLOCK)


@dataclass(frozen=True)
class Device:
    """An FPGA: how to build for it, and what its cells count as."""

    title: str
    part: Part
    target: float  # MHz that every block shall reach; place and route aims at it
    synthesis: str
    register_map: str  # Yosys' file that makes the device's registers of plain ones
    place_and_route: str
    options: tuple[str, ...]
    options_if_large: tuple[str, ...]  # instead of nextpnr's own way to place and route
    settings_if_large: Mapping[str, str]  # of its router, in the placed design, which win over options
    pins: str  # of such designs, where the clock comes in
    luts: Mapping[str, int]  # of every cell that takes LUTs, how many
    registers: Sequence[str]  # beginnings of cell names
    multipliers: Sequence[str]
    memories: Sequence[str]


DEVICES: dict[str, Device] = {
    "ecp5-85k": Device(
        title="ECP5-85k, speed grade 6",
        part=ECP5_85K,
        target=80.0,
        synthesis="synth_ecp5",
        register_map="+/lattice/cells_map_trellis.v",
        place_and_route=NEXTPNR_ECP5,
        options=("--85k", "--speed", "6", "--package", "CABGA381", "--lpf-allow-unconstrained"),
        # For 30,000 LUTs the default placer needs a half more wire, and no router came near its end. Not for small ones:
        # router2 costs some blocks a third of Fmax.
        options_if_large=("--placer", "static", "--router", "router2", "--lpf", PINS),
        settings_if_large={
            # Tiles by which a net may leave the box around its pins. With nextpnr's 3, a few dozen of 600,000 wires stayed
            # taken twice, and when their price had grown for long, more and more.
            "router2/bbMargin/x": "8",
            "router2/bbMargin/y": "8",
            # Nets that miss the clock are routed anew (--tmg-ripup), so it, in Hz, must be within reach. Networks shall have 60.
            "router/tmg_ripup": f"{True:032b}",
            "target_freq": "62000000",
        },
        pins='LOCATE COMP "clk" SITE "G2";\n',  # the static placer may choose one from where no clock line is reached
        # A carry cell takes the two LUTs of a slice; a distributed memory takes three slices.
        luts={"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
        registers=("TRELLIS_FF",),
        multipliers=("MULT18X18D",),
        memories=("DP16KD", "PDPW16KD"),
    ),
    "ice40-up5k": Device(
        title="iCE40 UP5K",
        part=ICE40_UP5K,
        target=24.0,  # half of its internal oscillator's
        synthesis="synth_ice40 -dsp -device u",
        register_map="+/ice40/ff_map.v",
        place_and_route=NEXTPNR_ICE40,
        options=("--up5k", "--package", "sg48", "--pcf-allow-unconstrained"),
        options_if_large=(),
        settings_if_large={},
        pins="",
        luts={"SB_LUT4": 1},  # a carry lies beside the LUT of its sum
        registers=("SB_DFF",),
        multipliers=("SB_MAC16",),
        memories=("SB_RAM40",),
    ),
}


@dataclass(frozen=True)
class Result:
    """A block on a device."""

    luts: int
    registers: int
    multipliers: int
    memories: int
    fmax: float | None  # MHz; None where nextpnr leaves paths out
    path: str  # the slowest one, from register to register


def harness(name: str, description: Mapping[str, Any], *, resets: bool = True) -> str:
    """The Verilog around block ``name``: see the module. Not ``resets``: a device's configuration is the only reset; one line to
    the thousands of registers of a network would draw all of them together."""
    inputs, outputs = [("rst", 1)] if resets else [], []
    for port, member in description["streams"].items():
        toward, back = (inputs, outputs) if member["direction"] == "in" else (outputs, inputs)
        toward += [(f"{port}__payload", member["width"]), (f"{port}__valid", 1)]
        back += [(f"{port}__ready", 1)]
    connections = [".clk(clk)"] if resets else [".clk(clk)", ".rst(1'b0)"]
    widths = {}
    for bus, ports in (("given", inputs), ("offered", outputs)):
        low = 0
        for port, width in ports:
            connections.append(f".{port}({bus}[{low + width - 1}:{low}])")
            low += width
        widths[bus] = low
    given, offered = widths["given"], widths["offered"]
    return f"""\
module {HARNESS}(input clk, input serial_in);
  reg [{given - 1}:0] given;
  wire [{offered - 1}:0] offered;
  (* keep *) reg [{offered - 1}:0] taken;
  {name} block({", ".join(connections)});
  always @(posedge clk) begin
    given <= {{given, serial_in}};
    taken <= offered;
  end
endmodule
"""


def measure(name: str, block: Block, device: Device, builds: Path = BUILD_FOLDER, seed: int = 1) -> Result:
    """Synthesise, place and route a block; ``seed``: of nextpnr's placement. Raises ToolError."""
    netlist = _synthesise(name, block, device, builds)
    cells = (netlist / CELLS).read_text("utf-8")
    routing = [
        *device.options,
        "--report",
        TIMING,
        "--freq",
        f"{device.target:g}",
        "--seed",
        str(seed),
        "--timing-allow-fail",
    ]
    tool = device.place_and_route
    if _luts(device, _counts(name, cells)) < LARGE:
        routed = _kept(
            builds, name, [netlist.name, routing], tool, lambda folder: lay_out(device, routing, netlist, folder, {})
        )
    else:
        # A step of its own, since either takes long.
        routing += device.options_if_large
        placing, going_on = [*routing, "--no-route", "--write", NETLIST], [*routing, "--no-pack", "--no-place"]

        placed = _kept(
            builds,
            f"{name}-placed",
            [netlist.name, placing, device.pins],
            tool,
            lambda folder: lay_out(device, placing, netlist, folder, {}),
        )
        settings = device.settings_if_large
        routed = _kept(
            builds,
            name,
            [placed.name, going_on, settings],
            tool,
            lambda folder: lay_out(device, going_on, placed, folder, settings),
        )
    return read_result(name, device, cells, (routed / TIMING).read_text("utf-8"))


def _synthesise(name: str, block: Block, device: Device, builds: Path) -> Path:
    """The folder of a block's netlist in its harness, and of its cells."""
    # A block as it is exported. Not a network: in Verilog every word of its memories is a statement, which takes Yosys ten
    # times as long. Not all as RTLIL: Yosys fails an assertion of its own with some blocks that it maps from Verilog.
    if name == NETWORK:
        file, source, reading = (
            "block.il",
            to_rtlil(name, block, device.part),
            ("read_rtlil block.il", AFTER_RTLIL, HIDE_BRACKETS),
        )
    else:
        file, source, reading = "block.v", to_verilog(name, block, device.part), ("read_verilog block.v",)
    around = harness(name, describe(name, block), resets=name != NETWORK)
    script = "; ".join(
        (
            *reading,
            BEFORE_SYNTHESIS,
            f"{device.synthesis} -top {name}",
            f"tee -q -o {CELLS} stat -json",
            "read_verilog harness.v",
            f"hierarchy -check -top {HARNESS}",
            f"proc {HARNESS}",
            f"simplemap {HARNESS}",
            f"techmap -map {device.register_map} {HARNESS}",
            "flatten",
            "opt_clean -purge",
            f"write_json {NETLIST}",
        )
    )

    def make(folder: Path) -> None:
        (folder / file).write_text(source, encoding="utf-8")
        (folder / "harness.v").write_text(around, encoding="utf-8")
        run_tool(YOSYS, ["-q", "-p", script], folder)

    return _kept(builds, f"{name}-netlist", [source, around, script], YOSYS, make)


def lay_out(device: Device, options: Sequence[str], before: Path, folder: Path, settings: Mapping[str, str]) -> None:
    """Run nextpnr in ``folder`` on the netlist in ``before``; with ``settings`` beside those that it holds. Raises ToolError."""
    (folder / PINS).write_text(device.pins, encoding="utf-8")
    given = f"given-{NETLIST}"
    if settings:
        design = json.loads((before / NETLIST).read_text("utf-8"))
        for module in design["modules"].values():
            module.setdefault("settings", {}).update(settings)
        (folder / given).write_text(json.dumps(design), encoding="utf-8")
    else:
        os.link(before / NETLIST, folder / given)  # the tool sees no other folder, not even through a symbolic link
    run_tool(device.place_and_route, ["--json", given, *options], folder)
    (folder / given).unlink()


def _kept(builds: Path, prefix: str, made_from: Sequence[Any], tool: str, make: Callable[[Path], None]) -> Path:
    """The folder of what was made of the same before, by the same version of the tool, or is made now."""
    digest = hashlib.sha256(json.dumps([made_from, tool_version(tool)]).encode()).hexdigest()[:16]
    finished = builds / f"{prefix}-{digest}"
    if not finished.exists():
        with building_folder(builds, kept_after=(ToolError,)) as temporary:
            folder = temporary / "work"
            folder.mkdir()
            make(folder)
            _put(folder, finished)
    return finished


def _counts(name: str, cells: str) -> Mapping[str, int]:
    """Of a block's cells, by type."""
    return json.loads(cells)["modules"][f"\\{name}"].get("num_cells_by_type", {})


def _luts(device: Device, counts: Mapping[str, int]) -> int:
    return sum(device.luts.get(cell, 0) * number for cell, number in counts.items())


def _put(folder: Path, finished: Path) -> None:
    """Give a complete folder its name, unless another report was faster with the same."""
    try:
        folder.rename(finished)
    except OSError:
        if not finished.is_dir():
            raise


def read_result(name: str, device: Device, cells: str, timing: str) -> Result:
    """From what the tools wrote: Yosys' cells of every module, nextpnr's timing. Raises ToolError."""
    counts = _counts(name, cells)

    def count(beginnings: Sequence[str]) -> int:
        return sum(number for cell, number in counts.items() if cell.startswith(tuple(beginnings)))

    report = json.loads(timing)
    paths = report["critical_paths"]
    # A multiplier of iCE40 without registers is a register of a constant clock to nextpnr: the way through it is not timed.
    partial = any(CONSTANT_CLOCK in path["from"] + path["to"] for path in paths)
    clocks = [clock["achieved"] for name, clock in report["fmax"].items() if CONSTANT_CLOCK not in name]
    if len(clocks) != 1:
        raise ToolError(f"{name}: {len(clocks)} clocks with a path from register to register; accepted: one")
    return Result(
        luts=_luts(device, counts),
        registers=count(device.registers),
        multipliers=count(device.multipliers),
        memories=count(device.memories),
        fmax=None if partial else clocks[0],
        path=_slowest(paths),
    )


def _slowest(paths: Sequence[Mapping[str, Any]]) -> str:
    """The path between registers in words."""
    path = next(path["path"] for path in paths if not any(end in path["from"] + path["to"] for end in ELSEWHERE))
    routing = sum(step["delay"] for step in path if step["type"] == "routing")
    total = sum(step["delay"] for step in path)
    ends = [_register(cell) for cell in (path[0]["from"]["cell"], path[-1]["to"]["cell"])]
    return f"{ends[0]} to {ends[1]}: {total - routing:.1f} ns logic, {routing:.1f} ns routing"


def _register(cell: str) -> str:
    """The name of a register in the block's source, from that of its cell."""
    return re.split(r"_(?:TRELLIS|SB|DP16KD|PDPW16KD|MULT18X18D|LUT4|CCU2C|PFUMX|L6MUX21)", cell)[0].removeprefix(
        "block."
    )


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    name: str
    block: Block
    result: Result

    def cells(self) -> list[str]:
        parameters = self.block.parameters
        lanes = getattr(parameters, "devices", getattr(parameters, "lanes", None))
        return [
            self.name,
            NO_VALUE if lanes is None else str(lanes),
            *map(str, (self.result.luts, self.result.registers, self.result.multipliers, self.result.memories)),
            NO_VALUE if self.result.fmax is None else f"{self.result.fmax:.0f}",
            str(self.block.latency),
            str(self.block.cycles_per_beat),
        ]


HEADINGS = ("block", "lanes", "LUT", "FF", "DSP", "BRAM", "Fmax (MHz)", "latency", "cycles per beat")
NO_VALUE = "-"


def table(rows: Sequence[Row], markdown: bool) -> str:
    """The rows under their headings, in columns or in Markdown."""
    lines = [list(HEADINGS), *(row.cells() for row in rows)]
    if markdown:
        lines.insert(1, ["---", *["---:"] * (len(HEADINGS) - 1)])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )


def replace_between_marks(text: str, device: str, contents: str) -> str:
    """``text`` with ``contents`` between its marks for a device. Raises CrosspointError if it has none."""
    begin, end = f"<!-- begin report {device} -->\n", f"<!-- end report {device} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise CrosspointError(f"marks of {device}: missing; accepted: a page with {begin.strip()} and {end}")
    return f"{before}{begin}{contents}\n{end}{after}"
