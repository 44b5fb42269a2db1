"""Export of a block: plain Verilog-2001, and a description of its ports and parameters.

What Amaranth writes through Yosys is Verilog-2001 but for looks: names such as ``\\$1`` or ``\\i__payload.mask`` are escaped
identifiers, legal but hard on readers and on some tools, so `plain` gives them plain names; attributes are removed, but for
the one of memories that spares synthesis what no block uses (hdl/memory.py). What
stays, and is part of the standard: initial values in declarations of registers and in ``initial`` blocks of memories,
``$signed``, and a register that is always 0 and is read by every combinational ``always @*``, because such a block would
else not run before one of its inputs changes.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from amaranth.back import rtlil, verilog
from amaranth.hdl import Shape
from amaranth.lib import stream, wiring

from emulator.atomic import write_together
from emulator.errors import CrosspointError
from hdl.block import Block, warnings_as_errors
from hdl.lint import without_lint
from hdl.memory import EXCLUSIVE
from hdl.part import Part
from hdl.shapes import fields_of
from hdl.tools import ToolError, reason

VERILOG_SUFFIX = ".v"
DESCRIPTION_SUFFIX = ".json"

#: Comments and strings come first, so that nothing inside them is taken for something else.
TOKEN = re.compile(
    r"""(?P<text>/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*")
      | (?P<attribute>\(\*(?!\)).*?\*\)\s*)
      | \\(?P<escaped>\S+)(?P<end>\s)
      | (?P<plain>(?<![\w$'])[A-Za-z_][\w$]*)""",
    re.VERBOSE | re.DOTALL,
)


def describe(name: str, block: Block) -> dict[str, Any]:
    """What a user of the Verilog needs: parameters, timing, and of every stream its direction and payload fields.

    Stream ``s`` is the Verilog ports ``s__payload`` (fields from bit 0 up, arrays element by element), ``s__valid``
    and ``s__ready``; ``clk`` rises, ``rst`` is synchronous and high.
    """
    return {
        "block": name,
        "parameters": block.parameters.model_dump(),
        "latency": block.latency,
        "cycles_per_beat": block.cycles_per_beat,
        "streams": describe_streams(block),
    }


def describe_streams(component: wiring.Component) -> dict[str, Any]:
    """Direction, width and payload fields of every stream of a component that has nothing but streams."""
    return {port: _describe_stream(member) for port, member in component.signature.members.items()}


def _describe_stream(member: wiring.Member) -> dict[str, Any]:
    if not isinstance(member.signature, stream.Signature):
        raise TypeError(f"{member!r} is not a stream")
    layout = member.signature.members["payload"].shape
    return {
        "direction": "in" if member.flow is wiring.In else "out",
        "width": layout.size,
        "fields": {name: asdict(field) for name, field in fields_of(layout).items()},
    }


def describe_pins(component: wiring.Component) -> dict[str, Any]:
    """Direction and width of every pin of a component that has plain pins and no streams; clock and reset aside."""
    return {
        pin: {"direction": "in" if member.flow is wiring.In else "out", "width": Shape.cast(member.shape).width}
        for pin, member in component.signature.members.items()
    }


def to_verilog(name: str, component: wiring.Component, part: Part | None = None) -> str:
    """The component as Verilog, top module ``name``; with the cells of an FPGA, if one is named. Raises ToolError if Amaranth's Yosys does not run."""
    with warnings_as_errors():
        try:
            source = verilog.convert(component, name=name, platform=part, strip_internal_attrs=True, emit_src=False)
        except verilog.YosysError as error:
            raise ToolError(f"Verilog of {name}: {reason(str(error))}") from error
    return without_lint(plain(source))


def to_rtlil(name: str, component: wiring.Component, part: Part | None = None) -> str:
    """The component in Yosys' own language, likewise."""
    with warnings_as_errors():
        return rtlil.convert(component, name=name, platform=part, emit_src=False)


def plain(source: str) -> str:
    """Verilog without escaped identifiers, and without attributes but EXCLUSIVE. A name stays the same name in all modules."""
    taken = {match["plain"] for match in TOKEN.finditer(source) if match["plain"]}
    names: dict[str, str] = {}

    def written(match: re.Match[str]) -> str:
        if match["attribute"]:
            return match[0] if match["attribute"].startswith(f"(* {EXCLUSIVE} ") else ""
        escaped = match["escaped"]
        if not escaped:
            return match[0]
        if escaped not in names:
            names[escaped] = _plain_name(escaped, taken)
            taken.add(names[escaped])
        return names[escaped] + match["end"].strip(" ")

    return TOKEN.sub(written, source)


def _plain_name(escaped: str, taken: set[str]) -> str:
    words = re.findall(r"\w+", escaped)
    if escaped.startswith("$auto$"):
        words = ["auto"]
    name = "_".join(words) or "net"
    if escaped.startswith("$") or name[0].isdigit():
        name = f"net_{name}"
    candidate, number = name, 1
    while candidate in taken or candidate == escaped:  # a plain name is escaped only where it is a keyword
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def write_export(path: Path, name: str, component: wiring.Component, description: dict[str, Any]) -> list[Path]:
    """``FILE.v`` and ``FILE.json``, both or none. Raises CrosspointError and OSError."""
    if path.suffix != VERILOG_SUFFIX:
        raise CrosspointError(f"output {str(path)!r}: accepted: a file name that ends in {VERILOG_SUFFIX}")
    described = path.with_suffix(DESCRIPTION_SUFFIX)
    write_together(
        {
            path: to_verilog(name, component).encode(),
            described: (json.dumps(description, indent=2) + "\n").encode(),
        }
    )
    return [path, described]
