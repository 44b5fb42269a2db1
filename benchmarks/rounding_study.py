"""Accuracy against the width of the weight, for both roundings of its moves.

    python -m benchmarks.rounding_study --data-dir DIR [--seeds 1 2] [--table]

Trains row 15 of the paper's table (`lenet-bl1-um`) on MNIST for three epochs and records the mean test error of epochs 2
and 3 for every seed. The weight's range stays +-1. Rounded to nearest, a weight has no fewer than 9 fraction bits: with 8,
dw_min is a quarter of an LSB, which the config refuses. ``--table`` only prints what is recorded.
"""

from __future__ import annotations

import sys

from benchmarks.study import Case, Study
from benchmarks.width_study import assignments_of
from emulator.command_line import run_command

FRACTION_BITS = {"nearest": range(9, 12), "stochastic": range(5, 12)}

STUDY = Study(
    name="rounding_study",
    preset="lenet-bl1-um",
    epochs=3,
    averaged=range(2, 4),
    cases=[
        Case(
            f"{rounding}, fraction bits of the weight",
            str(bits),
            [f"array.weight.rounding={rounding}", *assignments_of("array.weight.fraction_bits", str(bits))],
        )
        for rounding, widths in FRACTION_BITS.items()
        for bits in reversed(widths)
    ],
)

if __name__ == "__main__":
    sys.exit(run_command(STUDY.command(__doc__), "python -m benchmarks.rounding_study"))
