"""The hand-written example of docs/verify-your-own.md, its snippets, and broken variants of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emulator.command_line import run_command
from sim.runner import Design, SimulationError, run_icarus, run_verilator
from sim.verify import golden_transactions, main

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/verify-your-own.md"
EXAMPLE = ROOT / "docs/examples/max_search.v"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippets_run(snippet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(SNIPPETS) == 2
    monkeypatch.chdir(ROOT)
    exec(compile(snippet, str(PAGE), "exec"), {})


def verify(verilog: Path, *options: str) -> int:
    return run_command(main, "python -m sim.verify", [str(verilog), "--vectors", "40", *options])


def test_the_command_counts_the_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(EXAMPLE, "--simulator", "icarus") == 0
    assert capsys.readouterr().out.startswith("icarus: 40 words equal")


#: What is broken, and what the kit says of it.
BROKEN = {
    "a sign": ("~element[BITS-1:0] + 1'b1", "~element[BITS-1:0]", "word"),
    "the mask": ("i__payload[LANES*(BITS+1) + lane] && ", "", "word"),
    "the running maximum": ("running <= last ? {BITS{1'b0}} : maximum", "running <= maximum", "word"),
    "a beat under stall": ("assign i__ready = !o__valid || o__ready", "assign i__ready = 1'b1", "changed|hung|word "),
    "the reset": ("      running <= 0;\n", "", "unknown|word "),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_variants_are_caught(what: str) -> None:
    right, wrong, message = BROKEN[what]
    design = Design.load(EXAMPLE)
    assert right in design.verilog
    transactions = golden_transactions(design.description, vectors=40, seed=1)
    assert run_icarus(design, transactions, stall=0.4, unknown=True).words == 40
    with pytest.raises(SimulationError, match=message):
        run_icarus(replace(design, verilog=design.verilog.replace(right, wrong)), transactions, stall=0.4, unknown=True)


def test_a_broken_variant_is_caught_under_cocotb() -> None:
    right, wrong, _ = BROKEN["the mask"]
    design = Design.load(EXAMPLE)
    broken = replace(design, verilog=design.verilog.replace(right, wrong))
    with pytest.raises(SimulationError, match="maximum = "):
        run_verilator(broken, golden_transactions(design.description, vectors=40, seed=1), stall=0.4)


# --- mistakes in the files ------------------------------------------------------------------------------------------


def copied(folder: Path, description: str, verilog: str | None = None) -> Path:
    """The example with another description, or other Verilog."""
    path = folder / "max_search.v"
    path.write_text(EXAMPLE.read_text() if verilog is None else verilog)
    path.with_suffix(".json").write_text(description)
    return path


def edited(change: Callable[[dict[str, Any]], object]) -> str:
    description = json.loads(EXAMPLE.with_suffix(".json").read_text())
    change(description)
    return json.dumps(description)


DESCRIPTION = edited(lambda description: None)
FIELDS = {"elements", "mask", "last"}


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("", "line 1, column 1: Expecting value; accepted: JSON "),
        ('{"block": "max_search",}', "line 1, column 24: Expecting property name .*; accepted: JSON "),
        ('{"block": "max_search"', "line 1, column 23: .*; accepted: JSON "),
        ("[" * 100_000, "nested too deep; accepted: "),
        ("1" * 5000, ".*digits.*; accepted: JSON "),
        ("[]", "list; accepted: an object with block, parameters, latency"),
        ("{}", "block: missing; accepted: text .the name of a block"),
        (edited(lambda d: d.pop("streams")), "streams: missing; accepted: "),
        (edited(lambda d: d.update(block=None)), "block = None: accepted: text"),
        (edited(lambda d: d.update(block="max")), "block = 'max': accepted: .*max_search"),
        (edited(lambda d: d.update(latency="1")), "latency = '1': accepted: "),
        (edited(lambda d: d.update(latency=-1)), "latency = -1: accepted: "),
        (edited(lambda d: d.update(latency=10**40)), "latency = 10+: accepted: "),
        (edited(lambda d: d.update(cycles_per_beat=True)), "cycles_per_beat = true: accepted: "),
        (edited(lambda d: d.update(cycles=1)), "cycles: unknown field; accepted: block, "),
        (edited(lambda d: d.update(parameters=[])), r"parameters = \[\]: accepted: "),
        (edited(lambda d: d["parameters"].update(lanes=0)), "parameters.lanes = 0: accepted: "),
        (edited(lambda d: d["parameters"].update(lane=4)), "parameters.lane: unknown field; accepted: lanes, "),
        (edited(lambda d: d["parameters"].update(lanes=8)), "streams.i.fields.elements.count = 4: accepted: 8, "),
        (edited(lambda d: d["streams"].pop("o")), "streams = i: accepted: i, o"),
        (edited(lambda d: d["streams"]["o"].update(direction="in")), 'streams.o.direction = "in": accepted: "out"'),
        (
            edited(lambda d: d["streams"]["o"].update(direction="up")),
            "streams.o.direction = 'up': accepted: in, out",
        ),
        (edited(lambda d: d["streams"]["i"]["fields"].pop("mask")), "streams.i.fields = elements, last: accepted: "),
        (
            edited(lambda d: d["streams"]["i"]["fields"]["mask"].update(offset=60)),
            "streams.i.fields.mask.offset = 60: .*",
        ),
        (
            edited(lambda d: d["streams"]["i"]["fields"]["mask"].update(offset=10**12)),
            "streams.i.fields.mask.offset = 10+: accepted: 4 bits of its own",
        ),
        (
            edited(lambda d: d["streams"]["o"]["fields"]["maximum"].pop("signed")),
            "streams.o.fields.maximum.signed: missing",
        ),
    ],
)
def test_a_wrong_description_is_one_line(
    description: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verilog = copied(tmp_path, description)
    assert verify(verilog) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(rf"error: {verilog.with_suffix('.json')}: {message}[^\n]*\n", printed.err), printed.err


def test_fields_of_a_payload_may_lie_elsewhere() -> None:
    """The description says where: a design of one's own need not have them in our order."""
    moved = json.loads(edited(lambda d: d["streams"]["i"].update(width=80)))
    moved["streams"]["i"]["fields"]["last"]["offset"] = 79
    assert golden_transactions(moved, vectors=3, seed=1).outputs["o"]


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("module max_search", "module maximum", "{file}: no module max_search; accepted: "),
        (
            "o__ready",
            "o__taken",
            "{file}: module max_search has no port o__ready; accepted: the ports clk, rst, i__valid",
        ),
        ("endmodule", "endmodul", "max_search: (Verilator|Icarus): .*syntax error"),
    ],
)
@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
def test_wrong_verilog_is_one_line(
    right: str, wrong: str, message: str, simulator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verilog = copied(tmp_path, DESCRIPTION, EXAMPLE.read_text().replace(right, wrong))
    assert verify(verilog, "--simulator", simulator) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(rf"error: {message.format(file=verilog)}[^\n]*\n", printed.err), printed.err
    assert "building-" not in printed.err


def test_verilog_in_another_code_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verilog = copied(tmp_path, DESCRIPTION)
    verilog.write_bytes(b"// gr\xf6\xdfter Wert\n" + EXAMPLE.read_bytes())
    assert verify(verilog) == 2
    assert capsys.readouterr().err == f"error: {verilog}: byte 5: accepted: UTF-8\n"


@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
def test_a_design_that_differs_is_an_answer(simulator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, and a line on standard output, as of `compare`."""
    right, wrong, _ = BROKEN["the mask"]
    verilog = copied(tmp_path, DESCRIPTION, EXAMPLE.read_text().replace(right, wrong))
    assert verify(verilog, "--simulator", simulator, "--stall", "0.4") == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    assert re.fullmatch(rf"{simulator}: [^\n]*word[^\n]*\n", printed.out), printed.out


@pytest.mark.parametrize("options", [["--vectors", "0"], ["--simulator", "xsim"], ["--description", "none.json"]])
def test_mistakes_of_usage_are_one_line(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(EXAMPLE, *options) == 2
    assert re.fullmatch(r"error: Invalid value for [^\n]+\n", capsys.readouterr().err)
