"""The hand-written example of docs/verify-your-own.md, its snippets, and broken variants of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

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


def test_the_command_counts_the_words() -> None:
    result = CliRunner().invoke(main, [str(EXAMPLE), "--simulator", "icarus", "--vectors", "40"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("icarus: 40 words equal")


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
