"""Accuracy against the width of every digital word: the measurement that the default widths rest on.

    python -m benchmarks.width_study --data-dir DIR [--seed N]... [--table]

Trains row 15 of the paper's table (`lenet-bl1-um`) on MNIST for three epochs with one word narrowed or widened at a
time, and records the mean test error of epochs 2 and 3 for every seed. ``--table`` only prints what is recorded.
"""

from __future__ import annotations

import sys

from benchmarks.study import Case, Study
from emulator.command_line import run_command

#: Word, config field, values; the preset's own value is measured as the baseline.
WORDS: dict[str, tuple[str, list[str]]] = {
    "DAC, fraction bits": ("array.converters.dac_fraction_bits", ["1", "2", "3", "5", "7"]),
    "ADC, fraction bits": ("array.converters.adc_fraction_bits", ["1", "2", "3", "4", "5"]),
    "weight, fraction bits (range +-1)": ("array.weight.fraction_bits", ["9", "10", "11", "13", "15"]),
    "probability word, bits": ("array.update.probability_bits", ["2", "4", "6", "8", "12", "16"]),
    "error mantissa, bits": ("formats.error_bits", ["4", "6", "8", "12"]),
    "activation, fraction bits": ("formats.activation_fraction_bits", ["2", "3", "4", "6", "8"]),
}


def assignments_of(field: str, value: str) -> list[str]:
    """A weight keeps its range of +-1: its width follows its fraction bits."""
    both = [f"{field}={value}"]
    if field == "array.weight.fraction_bits":
        both.append(f"array.weight.bits={int(value) + 1}")
    return both


STUDY = Study(
    name="width_study",
    preset="lenet-bl1-um",
    epochs=3,
    averaged=range(2, 4),
    cases=[
        Case("all", "default", []),
        *(
            Case(word, value, assignments_of(field, value))
            for word, (field, values) in WORDS.items()
            for value in values
        ),
    ],
)

if __name__ == "__main__":
    sys.exit(run_command(STUDY.command(__doc__), "python -m benchmarks.width_study"))
