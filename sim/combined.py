"""Several designs in one top module, so that one simulation holds them all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from sim.runner import Design, SimulationError

MODULE = re.compile(r"^\s*module\s+(\w+)", re.MULTILINE)
PREFIX = re.compile(r"[A-Za-z]\w*", re.ASCII)
PINS = ("payload", "valid", "ready")


def combined(name: str, designs: Mapping[str, Design]) -> Design:
    """Top module ``name`` with an instance of every design; stream ``s`` of design ``d`` is stream ``d_s`` of the top.

    Designs of the same Verilog share its modules. The top's parameters are those of the designs by name, its latency and
    cycles per beat the largest. Raises SimulationError for a name that Verilog does not have, and for different modules of
    one name.
    """
    for prefix in designs:
        if not PREFIX.fullmatch(prefix):
            raise SimulationError(f"design {prefix!r}: accepted: letters, digits and _, a letter first")
    sources = list(dict.fromkeys(design.verilog for design in designs.values()))
    taken = Counter([name, *(module for source in sources for module in MODULE.findall(source))])
    twice = sorted(module for module, count in taken.items() if count > 1)
    if twice:
        raise SimulationError(f"{name}: modules {twice} of several designs: accepted: names of their own")
    ports = [port for prefix, design in designs.items() for port in _ports(prefix, design)]
    heading = ", ".join(["clk", "rst", *(port for _, port in ports)])
    lines = [f"module {name}({heading});", "  input clk, rst;"]
    lines += [f"  {declaration} {port};" for declaration, port in ports]
    lines += [_instance(prefix, design) for prefix, design in designs.items()]
    descriptions = {prefix: design.description for prefix, design in designs.items()}
    return Design(
        "\n".join([*sources, *lines, "endmodule\n"]),
        {
            "block": name,
            "parameters": {prefix: description["parameters"] for prefix, description in descriptions.items()},
            "latency": max(description["latency"] for description in descriptions.values()),
            "cycles_per_beat": max(description["cycles_per_beat"] for description in descriptions.values()),
            "streams": {
                f"{prefix}_{port}": stream
                for prefix, design in designs.items()
                for port, stream in design.streams.items()
            },
        },
    )


def _ports(prefix: str, design: Design) -> Iterator[tuple[str, str]]:
    """Declaration and name of the top's pins for a design."""
    for port, stream in design.streams.items():
        with_data, against = ("input", "output") if stream["direction"] == "in" else ("output", "input")
        yield f"{with_data} [{stream['width'] - 1}:0]", f"{prefix}_{port}__payload"
        yield with_data, f"{prefix}_{port}__valid"
        yield against, f"{prefix}_{port}__ready"


def _instance(prefix: str, design: Design) -> str:
    pins = [f"{port}__{pin}" for port in design.streams for pin in PINS]
    connections = [".clk(clk)", ".rst(rst)", *(f".{pin}({prefix}_{pin})" for pin in pins)]
    return f"  {design.name} {prefix}_instance({', '.join(connections)});"
