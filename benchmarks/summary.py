"""The tables and the figure of the recorded runs, in README.md, results/README.md and results/curves.svg.

Everything is computed from ``results/runs/*.json`` and the ``runs.jsonl`` of studies and comparisons; nothing is typed in but the
paper's own figures. A table stands between ``<!-- NAME table -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import click
import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from benchmarks import equality_runs, management_study, rounding_study, width_study
from emulator.atomic import write_atomically
from emulator.command_line import run_command
from emulator.errors import CrosspointError

# Names in the file that stay, so that it changes with its data alone.
matplotlib.rcParams["svg.hashsalt"] = "curves"

RESULTS = Path(__file__).parents[1] / "results"

#: Row of the paper's table, preset, what it is, and the paper's test error in percent as docs/paper.md has it.
ROWS = [
    ("1", "lenet-fp", "FP-baseline", "0.8"),
    ("2", "lenet-baseline", "RPU-baseline, no management", "10 and worse, erratic"),
    ("5", "lenet-no-backward-noise-no-w4-bound", "no backward noise, no bound on W4", "about 1.5"),
    ("6", "lenet-nm-bm", "noise and bound management", "1.7"),
    ("15", "lenet-bl1-um", "BL = 1 with update management", "1.1"),
    ("16", "lenet", "row 15 with K2 on 13 devices", "0.8"),
]
COLOURS = ["#4a5568", "#b91c1c", "#c2410c", "#7c3aed", "#1d4ed8", "#047857"]
COMPARED = ["lenet-nm-bm", "lenet-bl1-um"]
#: What was changed in row 5 to see where its error comes from, and the recorded run.
ROW_5 = [
    ("row 5 as it is", "lenet-no-backward-noise-no-w4-bound", "fast"),
    ("`array.backward.noise_management=exact`: scaling alone, backward noise is off", "row5-nm", "fast"),
    ("`array.converters.dac_fraction_bits=off`: 14 bits", "row5-dac-off", "fast"),
    ("no DAC: float64", "lenet-no-backward-noise-no-w4-bound", "reference"),
]
LAST = range(26, 31)
COMPARED_EPOCHS = range(1, 6)

Record = dict[str, Any]


def records() -> list[Record]:
    """All recorded runs on MNIST."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((RESULTS / "runs").glob("*.json"))]


def find(preset: str, machine: str, seed: int) -> Record | None:
    return next((r for r in records() if (r["name"], r["machine"], r["seed"]) == (preset, machine, seed)), None)


def percent(record: Record, epochs: range) -> list[float]:
    """Test errors in percent of those epochs that the run has."""
    return [100 * line["test_error"] for line in record["epochs"] if line["epoch"] in epochs]


def paper_table() -> str:
    lines = [
        "| row | preset | what | paper, % | measured, % | lowest .. highest | epochs | seed | commit |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row, preset, what, paper in ROWS:
        run = find(preset, "fast", 1)
        errors = percent(run, LAST) if run else []
        if run and errors:
            measured = f"**{mean(errors):.2f}** | {min(errors):.2f} .. {max(errors):.2f} | {LAST[0]} to "
            measured += f"{LAST[0] + len(errors) - 1} | {run['seed']} | `{run['commit'][:12]}`"
        else:
            measured = "not measured yet | | | |"
        lines.append(f"| {row} | `{preset}` | {what} | {paper} | {measured} |")
    return "\n".join(lines)


def reference_table() -> str:
    lines = [
        "| preset | seed | " + " | ".join(f"epoch {e}" for e in COMPARED_EPOCHS) + " | mean of 3 to 5 |",
        "|---|---|" + "---|" * (len(COMPARED_EPOCHS) + 1),
    ]
    for preset in COMPARED:
        for seed in (1, 2):
            for machine in ("reference", "fast"):
                run = find(preset, machine, seed)
                errors = percent(run, COMPARED_EPOCHS) if run else []
                if len(errors) == len(COMPARED_EPOCHS):
                    cells = " | ".join(f"{error:.2f}" for error in errors)
                    lines.append(f"| `{preset}` {machine} | {seed} | {cells} | {mean(errors[2:]):.2f} |")
    return "\n".join(lines)


def row_5_table() -> str:
    lines = [
        "| what differs | machine | mean of epochs 3 to 5 | of 26 to 30 | epochs run |",
        "|---|---|---|---|---|",
    ]
    for what, name, machine in ROW_5:
        run = find(name, machine, 1)
        if run:
            last = percent(run, LAST)
            early = f"{mean(percent(run, COMPARED_EPOCHS)[2:]):.2f}"
            late = f"{mean(last):.2f}" if len(last) == len(LAST) else "-"
            lines.append(f"| {what} | `{machine}` | {early} | {late} | {len(run['epochs'])} |")
    return "\n".join(lines)


def draw_curves(path: Path) -> None:
    """Test error over epochs of every row, on a logarithmic axis, with the paper's levels where they are numbers."""
    figure, axes = plt.subplots(figsize=(9, 5))
    for (row, preset, what, _), colour in zip(ROWS, COLOURS, strict=True):
        run = find(preset, "fast", 1)
        if run:
            errors = [(line["epoch"], 100 * line["test_error"]) for line in run["epochs"]]
            axes.plot(*zip(*errors, strict=True), color=colour, linewidth=1.8, label=f"row {row}: {what}")
    axes.set_yscale("log")
    axes.set_yticks([0.6, 0.8, 1, 1.5, 2, 3, 5, 10, 20, 50, 100], labels="0.6 0.8 1 1.5 2 3 5 10 20 50 100".split())
    axes.minorticks_off()
    axes.set_xlabel("epoch")
    axes.set_ylabel("test error on MNIST, %")
    axes.grid(axis="y", color="#e2e8f0")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def place_table(page: Path, name: str, table: str) -> None:
    """Put a table into a page, in place of the one that is there. Raises CrosspointError for a page without its mark."""
    text = page.read_text(encoding="utf-8")
    before, mark, after = text.partition(f"<!-- {name} table -->\n")
    if not mark:
        raise CrosspointError(f"{page}: no line <!-- {name} table -->; accepted: a page with it, above the table")
    _, end, rest = after.partition("<!-- end -->\n")
    write_atomically(page, f"{before}{mark}\n{table}\n\n<!-- end -->\n{rest if end else after}".encode())


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    draw_curves(RESULTS / "curves.svg")
    place_table(RESULTS.parent / "README.md", "paper", paper_table())
    place_table(RESULTS / "README.md", "paper", paper_table())
    place_table(RESULTS / "README.md", "reference", reference_table())
    place_table(RESULTS / "README.md", "row 5", row_5_table())
    place_table(RESULTS / "README.md", "equality", equality_runs.table())
    for study in (width_study.STUDY, management_study.STUDY, rounding_study.STUDY):
        place_table(study.folder / "README.md", "study", study.table().strip())


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m benchmarks.summary"))
