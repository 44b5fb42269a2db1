"""Accuracy against the width of every digital word: the measurement that the default widths rest on.

Trains row 15 of the paper's table (`lenet-bl1-um`) on MNIST for three epochs with one word narrowed or widened at a
time, and records the mean test error of epochs 2 and 3 for every seed. Results are appended to
``results/width_study/runs.jsonl``; what is there already is not run again, so the study can be cut at any time.
``--table`` prints the table of what is there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean

from tqdm import tqdm

from emulator.config import Config, load
from emulator.machine import build_machine
from emulator.training.datasets import Dataset, load_dataset
from emulator.training.order import epoch_order

PRESET = "lenet-bl1-um"
EPOCHS = 3
FOLDER = Path(__file__).parents[1] / "results" / "width_study"

#: Word, config field, values; the preset's own value is measured as the baseline.
WORDS: dict[str, tuple[str, list[str]]] = {
    "DAC, fraction bits": ("array.converters.dac_fraction_bits", ["3", "5", "7"]),
    "ADC, fraction bits": ("array.converters.adc_fraction_bits", ["3", "4", "5"]),
    "weight, fraction bits (range +-1)": ("array.weight.fraction_bits", ["11", "13", "15"]),
    "probability word, bits": ("array.update.probability_bits", ["6", "8", "12", "16"]),
    "error mantissa, bits": ("formats.error_bits", ["6", "8", "12"]),
    "activation, fraction bits": ("formats.activation_fraction_bits", ["4", "6", "8"]),
}


def assignments_of(field: str, value: str) -> list[str]:
    """A weight keeps its range of +-1: its width follows its fraction bits."""
    both = [f"{field}={value}"]
    if field == "array.weight.fraction_bits":
        both.append(f"array.weight.bits={int(value) + 1}")
    return both


def measure(config: Config, data: Dataset, bar: tqdm[None]) -> list[float]:
    """Test error in percent after each epoch."""
    machine = build_machine("fast", config)
    errors = []
    for epoch in range(1, EPOCHS + 1):
        order = epoch_order(config.seed, epoch, len(data.train_images))
        for first in range(0, len(order), 1000):
            chosen = order[first : first + 1000]
            machine.train(data.train_images[chosen], data.train_labels[chosen])
            bar.update(len(chosen))
        state = machine.state()
        wrong = machine.infer(data.test_images).argmax(axis=1) != data.test_labels
        machine.load(state)
        errors.append(100 * float(wrong.mean()))
    return errors


def recorded() -> list[dict[str, object]]:
    path = FOLDER / "runs.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table() -> str:
    """Markdown: mean and extremes over seeds of the mean error of epochs 2 and 3."""
    runs = recorded()

    def row(word: str, value: str) -> str:
        errors = [mean(run["errors"][1:]) for run in runs if (run["word"], run["value"]) == (word, value)]  # type: ignore[index]
        if not errors:
            return ""
        return f"| {word} | {value} | {mean(errors):.2f} | {min(errors):.2f} .. {max(errors):.2f} | {len(errors)} |\n"

    lines = "| word | value | test error % | over seeds | seeds |\n|---|---|---|---|---|\n" + row("all", "default")
    for word, (_, values) in WORDS.items():
        lines += "".join(row(word, value) for value in values)
    return lines


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data-dir", type=Path)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--table", action="store_true", help="only print the table of what is recorded")
    options = arguments.parse_args()
    if options.table:
        print(table(), end="")
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    data = load_dataset("mnist", height=28, width=28, classes=10, data_dir=options.data_dir)
    cases = [("all", "default", [])]
    cases += [
        (word, value, assignments_of(field, value)) for word, (field, values) in WORDS.items() for value in values
    ]
    done = {(run["word"], run["value"], run["seed"]) for run in recorded()}
    todo = [(case, seed) for seed in options.seeds for case in cases if (*case[:2], seed) not in done]
    with tqdm(total=len(todo) * EPOCHS * len(data.train_images), unit=" images", smoothing=0.01) as bar:
        for (word, value, assignments), seed in todo:
            bar.set_description(f"{word} {value}, seed {seed}")
            errors = measure(load(PRESET, assignments, seed), data, bar)
            with (FOLDER / "runs.jsonl").open("a") as file:
                file.write(json.dumps({"word": word, "value": value, "seed": seed, "errors": errors}) + "\n")


if __name__ == "__main__":
    main()
