"""A testbench in Verilog-2001 for the transactions of a design, which uses nothing of Python when it runs.

Words go through files for ``$readmemh``; an expected word has a word of the bits that count beside it. The streams' ends
are those of sim/benches/streams.v. The testbench prints ``PASS port=words ... cycles=n``, or ``FAIL`` and why.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from sim.payload import Value, Values, pack
from sim.transactions.base import Transactions

STREAMS = Path(__file__).parent / "benches" / "streams.v"
TESTBENCH = "testbench.v"
TOP = "testbench"
RESET_CYCLES = 3
#: Seeds are positive integers of this size to Verilog's $random.
SEED_MASK = (1 << 31) - 1
#: Probabilities to pause are in steps of 1 / STALL_STEPS.
STALL_STEPS = 256


def write_testbench(
    folder: Path,
    name: str,
    streams: Mapping[str, Mapping[str, Any]],
    phases: Sequence[Transactions],
    *,
    stall: float,
    seed: int,
    unknown: bool,
    patience: int,
    tail: int,
) -> None:
    """Write testbench and words of module ``name`` into ``folder``. Every phase names all streams; it begins ``tail`` cycles
    after all words of those before have passed."""
    declarations, ends, pins = [], [], [".clk(clk)", ".rst(rst)"]
    for port, stream in streams.items():
        width = stream["width"]
        declarations += [f"  wire {port}_valid, {port}_ready;", f"  wire [{width - 1}:0] {port}_payload;"]
        declarations += [f"  wire [31:0] {port}_transfers;"]
        pins += [f".{port}__{pin}({port}_{pin})" for pin in ("valid", "ready", "payload")]
        driven = stream["direction"] == "in"
        parts = [(phase.inputs if driven else phase.outputs)[port] for phase in phases]
        words = [values for part in parts for values in part]
        limits = list(accumulate(map(len, parts)))
        choices = "".join(f"phase == {number} ? {limit} : " for number, limit in enumerate(limits[:-1]))
        declarations += [f"  wire [31:0] {port}_limit = {choices}{limits[-1]};"]
        options: dict[str, object] = {
            "WIDTH": width,
            "COUNT": len(words),
            "STALL": round(stall * STALL_STEPS),
            "SEED": zlib.crc32(f"{seed} {port}".encode()) & SEED_MASK,
            "FILE": f'"{port}.hex"',
        }
        if driven:
            _write_words(folder / f"{port}.hex", [pack(stream["fields"], values) for values in words])
            options["UNKNOWN"] = int(unknown)
        else:
            _write_words(folder / f"{port}.hex", [expected_word(stream["fields"], values) for values in words])
            _write_words(folder / f"{port}_care.hex", [care_word(stream["fields"], values) for values in words])
            options["CARE_FILE"] = f'"{port}_care.hex"'
        ends += [_end(port, "stream_source" if driven else "stream_sink", options)]
    done = " && ".join(f"{port}_transfers == {port}_limit" for port in streams)
    counts = [port for port, stream in streams.items() if stream["direction"] == "out"]
    text = TEMPLATE.format(
        top=TOP,
        declarations="\n".join(declarations),
        ends="\n".join(ends),
        name=name,
        pins=", ".join(pins),
        sum=" + ".join(f"{port}_transfers" for port in streams),
        done=done,
        last_phase=len(phases) - 1,
        patience=patience,
        tail=tail,
        reset=RESET_CYCLES,
        format=" ".join(f"{port}=%0d" for port in counts),
        counts=", ".join(f"{port}_transfers" for port in counts),
    )
    (folder / TESTBENCH).write_text(text)


def parse(output: str) -> dict[str, int] | None:
    """Counts of the ``PASS`` line and ``cycles``; None if there is none, or if anything failed."""
    lines = output.splitlines()
    passes = [line for line in lines if line.startswith("PASS ")]
    if len(passes) != 1 or any(line.startswith("FAIL") for line in lines):
        return None
    return {key: int(value) for key, _, value in (part.partition("=") for part in passes[0].split()[1:])}


def expected_word(fields: Mapping[str, Mapping[str, Any]], values: Values) -> int:
    """The flat word, with zeros where anything is right."""
    return pack(fields, {name: _with_zeros(fields[name], value) for name, value in values.items()})


def care_word(fields: Mapping[str, Mapping[str, Any]], values: Values) -> int:
    """Ones in the bits of all fields and elements that are not None."""
    word = 0
    for name, field in fields.items():
        value = values[name]
        elements = value if isinstance(value, list) else [value] * (field["count"] or 1)
        for index, element in enumerate(elements):
            if element is not None:
                word |= ((1 << field["width"]) - 1) << (field["offset"] + index * field["width"])
    return word


def _with_zeros(field: Mapping[str, Any], value: Value) -> Value:
    if isinstance(value, list):
        return [element or 0 for element in value]
    return value if value is not None else 0 if field["count"] is None else [0] * field["count"]


def _write_words(path: Path, words: list[int]) -> None:
    path.write_text("".join(f"{word:x}\n" for word in words))


def _end(port: str, module: str, options: Mapping[str, object]) -> str:
    parameters = ", ".join(f".{key}({value})" for key, value in options.items())
    pins = f".limit({port}_limit), .valid({port}_valid), .ready({port}_ready), .payload({port}_payload), .transfers({port}_transfers)"
    return f"  {module} #({parameters}) {port} (.clk(clk), .rst(rst), {pins});"


TEMPLATE = """\
module {top};
  reg clk, rst;
  reg [31:0] phase, cycles, still, before, after;
{declarations}
{ends}
  {name} dut ({pins});

  wire [31:0] sum = {sum};
  wire done = {done};

  always begin
    #5 clk = 1;
    #5 clk = 0;
  end

  initial begin
    clk = 0;
    rst = 1;
    phase = 0;
    cycles = 0;
    still = 0;
    before = 0;
    after = 0;
    repeat ({reset}) @(posedge clk);
    #1 rst = 0;
  end

  always @(negedge clk)
    if (!rst) begin
      cycles = cycles + 1;
      still = sum == before ? still + 1 : 0;
      before = sum;
      if (done) after = after + 1;
      if (after > {tail} && phase != {last_phase}) begin
        phase = phase + 1;
        after = 0;
        still = 0;
      end else if (after > {tail}) begin
        $display("PASS {format} cycles=%0d", {counts}, cycles);
        $finish;
      end
      if (!done && still > {patience}) begin
        $display("FAIL hung after {format}", {counts});
        $finish;
      end
    end
endmodule
"""
