"""Exact against power-of-two management: what leaving out the dividers and the square root costs in accuracy.

    python -m benchmarks.management_study --data-dir DIR [--seed N]... [--table]

Trains row 15 of the paper's table (`lenet-bl1-um`) on MNIST for ten epochs with every combination of noise management of
the backward reads and update management, and records the mean test error of epochs 8 to 10 for every seed.
``--table`` only prints what is recorded.
"""

from __future__ import annotations

import sys
from itertools import product

from benchmarks.study import Case, Study
from emulator.command_line import run_command

MODES = ("exact", "power_of_two")

STUDY = Study(
    name="management_study",
    preset="lenet-bl1-um",
    epochs=10,
    averaged=range(8, 11),
    cases=[
        Case(
            f"noise management {noise}",
            f"update management {update}",
            [f"array.backward.noise_management={noise}", f"array.update.management={update}"],
        )
        for noise, update in product(MODES, MODES)
    ],
)

if __name__ == "__main__":
    sys.exit(run_command(STUDY.command(__doc__), "python -m benchmarks.management_study"))
