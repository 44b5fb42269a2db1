"""Warnings of Verilator that exported Verilog gives rise to, and why each of them says nothing about the design.

The one list: exported files switch them off within themselves, and simulations on the command line (sim/runner.py).
"""

from __future__ import annotations

#: Warnings by Verilator's name, and why they are switched off.
LINT_OFF = {
    "CASEINCOMPLETE": "Yosys writes cases without a default, after an assignment that stands for it",
    "CASEOVERLAP": "Yosys writes priority as cases that overlap",
    "DECLFILENAME": "a file holds all modules of a design",
    "PROCASSINIT": "registers have an initial value in their declaration, which FPGAs load",
    "UNOPTFLAT": "records of several signals look like loops; it is about speed only",
    "UNUSEDSIGNAL": "parts of records and words that a user does not need stay unconnected",
    "VARHIDDEN": "a register may have the name of the instance that it lies in",
    "WIDTHEXPAND": "Yosys compares with a one-bit zero, and adds words of several widths",
    "WIDTHTRUNC": "Yosys writes a logical not of a word for its comparison with zero",
}


def without_lint(verilog: str) -> str:
    """The Verilog between comments that switch these warnings off and on again, for Verilator with any options."""
    reasons = "".join(f"// {name}: {why}\n" for name, why in LINT_OFF.items())
    off, on = ("".join(f"// verilator lint_{state} {name}\n" for name in LINT_OFF) for state in ("off", "on"))
    return f"// Lint warnings that say nothing about this design:\n{reasons}{off}\n{verilog.rstrip()}\n\n{on}"
