"""Exported Verilog: plain Verilog-2001 that a second tool accepts, and a description that fits it."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from amaranth.back import verilog
from amaranth.hdl import Fragment

from emulator.errors import CrosspointError
from hdl.block import Block
from hdl.blocks import BLOCKS, NETWORK, NETWORK_AXI
from hdl.cli import export_network, network_of
from hdl.export import describe, plain, to_verilog, write_export
from hdl.lint import LINT_OFF
from hdl.network.network import Network
from hdl.periphery.divider import Divider, DividerParameters
from hdl.tools import YOSYS, ToolError


@functools.cache
def exported(name: str) -> tuple[str, dict[str, Any]]:
    """Verilog and description of a block with its defaults: made once for all tests."""
    block = BLOCKS[name](BLOCKS[name].parameters_class())
    return to_verilog(name, block), describe(name, block)


def lint(folder: Path, name: str, verilog: str) -> None:
    """Verilator, Icarus and Yosys take the Verilog, with all of their warnings on, without one; each in one process."""
    (folder / "export.v").write_text(verilog)
    check = f"read_verilog export.v; hierarchy -check -top {name}; proc; check -assert"
    for command in (
        [
            str(Path(sys.executable).with_name("verilator-cli")),
            "--lint-only",
            "-Wall",
            "--quiet",
            "--top-module",
            name,
            "export.v",
        ],
        ["iverilog", "-g2001", "-Wall", "-t", "null", "-s", name, "export.v"],
        [str(Path(sys.executable).with_name(YOSYS)), "-q", "-e", ".*", "-p", check],
    ):
        finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        printed = finished.stdout + finished.stderr
        assert finished.returncode == 0 and not printed.strip(), f"{command[0]}: {printed}"


@pytest.mark.parametrize("name", BLOCKS)
def test_tools_take_a_block_without_a_warning(name: str, tmp_path: Path) -> None:
    lint(tmp_path, name, exported(name)[0])


def test_tools_take_the_network_without_a_warning(tmp_path: Path) -> None:
    """With the pins of AXI, which holds the one without."""
    export_network(tmp_path / "network.v", NETWORK_AXI, network_of("tiny", ()))
    verilog = (tmp_path / "network.v").read_text()
    lint(tmp_path, NETWORK_AXI, verilog)
    words = re.findall(r"^ +\S+\[\d+\] = \d+'h", verilog, re.MULTILINE)
    assert 0 < network_of("tiny", ()).memory_words <= len(words), "the large memories, at least"


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["tiny", "smallest"])
def test_tools_take_networks_of_every_kind_without_a_warning(preset: str, tmp_path: Path) -> None:
    lint(tmp_path, NETWORK, to_verilog(NETWORK, Network(network_of(preset, ()))))


def test_verilator_needs_what_the_export_switches_off(tmp_path: Path) -> None:
    """Every warning of the list but those of the largest designs is one that an export of ours gives rise to."""
    text = re.sub("^// verilator lint_off.*", "", exported("tile")[0], flags=re.MULTILINE)
    (tmp_path / "export.v").write_text(text)
    command = [str(Path(sys.executable).with_name("verilator-cli")), "--lint-only", "-Wall", "-Wno-fatal", "export.v"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stderr
    assert set(re.findall(r"%Warning-(\w+)", printed)) == set(LINT_OFF) - {"CASEOVERLAP", "UNOPTFLAT"}


@pytest.mark.parametrize("name", BLOCKS)
def test_only_plain_verilog(name: str) -> None:
    source = re.sub(r"/\*.*?\*/", "", exported(name)[0], flags=re.DOTALL)
    assert "\\" not in source, "an escaped identifier"
    assert "(*" not in source.replace("(* no_rw_check = 32'd1 *)", ""), "an attribute"
    assert set(re.findall(r"\$\w+", source)) <= {"$signed"}


@pytest.mark.parametrize("name", [name for name in BLOCKS if "lanes" in BLOCKS[name].parameters_class.model_fields])
def test_no_wire_of_no_bits_with_one_lane(name: str) -> None:
    """A number of the one lane needs no bits, which Verilog does not know: it would be written ``[-1:0]``, two bits."""
    source = to_verilog(name, BLOCKS[name](BLOCKS[name].parameters_class(lanes=1)))
    assert "[-1:0]" not in source


@pytest.mark.parametrize("name", BLOCKS)
def test_the_description_fits_the_ports(name: str) -> None:
    """Every block has a clock and a reset, so that users connect all of them alike."""
    source, description = exported(name)
    top = source.partition(f"\nmodule {name}(")[2].partition("endmodule")[0]
    ports = {
        port: (direction, int(high or 0) + 1)
        for direction, high, port in re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+) ?;", top, re.MULTILINE)
    }
    expected = {"clk": ("input", 1), "rst": ("input", 1)}
    for stream, member in description["streams"].items():
        toward, back = ("input", "output") if member["direction"] == "in" else ("output", "input")
        expected[f"{stream}__payload"] = (toward, member["width"])
        expected[f"{stream}__valid"] = (toward, 1)
        expected[f"{stream}__ready"] = (back, 1)
        fields = member["fields"].values()
        assert sum(field["width"] * (field["count"] or 1) for field in fields) == member["width"]
    assert ports == expected


def write_divider(path: Path) -> list[Path]:
    divider = Divider(DividerParameters())
    return write_export(path, "divider", divider, describe("divider", divider))


def test_the_files_hold_verilog_and_description(tmp_path: Path) -> None:
    source, description = write_divider(tmp_path / "block.v")
    assert (source.name, description.name) == ("block.v", "block.json")
    assert (source.read_text(), json.loads(description.read_text())) == exported("divider")


def test_the_tool_of_the_language_failing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(block: Block, **options: object) -> str:
        Fragment.get(block, None)  # Amaranth warns of components that are made and not elaborated
        raise verilog.YosysError("Traceback\nno memory")

    monkeypatch.setattr(verilog, "convert", fails)
    with pytest.raises(ToolError, match="Verilog of divider: no memory"):
        to_verilog("divider", Divider(DividerParameters()))


def test_plain_names() -> None:
    source = r"""/* \kept (* kept *) */ module t(a);
  (* keep = 1 *) wire \$1 ; (* no_rw_check = 32'd1 *) reg [1:0] m [3:0]; wire \a.b[0] ; wire a_b_0; wire \reg ;
  always @* if (\$auto$tool.cc:1$1 ) begin end // \kept
  assign \a.b[0]  = a_b_0 & \$1 & \reg ;
  \sub.module  \sub.instance  (.a(\a.b[0] ), .b("\"\kept "));
"""
    assert (
        plain(source)
        == r"""/* \kept (* kept *) */ module t(a);
  wire net_1; (* no_rw_check = 32'd1 *) reg [1:0] m [3:0]; wire a_b_0_2; wire a_b_0; wire reg_2;
  always @* if (net_auto) begin end // \kept
  assign a_b_0_2 = a_b_0 & net_1& reg_2;
  sub_module sub_instance (.a(a_b_0_2), .b("\"\kept "));
"""
    )


def test_both_files_or_none(tmp_path: Path) -> None:
    (tmp_path / "block.json").mkdir()
    with pytest.raises(OSError, match=r"block\.json"):
        write_divider(tmp_path / "block.v")
    assert [path.name for path in tmp_path.iterdir()] == ["block.json"]


def test_a_file_name_without_its_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CrosspointError, match=r"block\.json'?\"?: accepted: a file name that ends in \.v"):
        write_divider(tmp_path / "block.json")
    assert not list(tmp_path.iterdir())
