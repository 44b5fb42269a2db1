"""The report of a run: ``report.html``, one page without external resources, readable in light and dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from emulator.atomic import write_atomically
from emulator.config import Config
from emulator.show import array_table, config_toml, converter_table, memory_table
from emulator.training.log import EpochRecord, mean_bound
from emulator.training.provenance import Provenance

#: Series colours, light and dark: distinct in both, and for readers who see few colours.
SERIES = (
    ("#2563c9", "#6ea8ff"),
    ("#c2570c", "#ff9d5c"),
    ("#0f8a6a", "#4fd1a8"),
    ("#a3348f", "#ee8fdc"),
    ("#8a6d00", "#e3c04b"),
    ("#0e7fa3", "#5ccbee"),
    ("#b3263c", "#ff8093"),
    ("#5b5f6b", "#b4b9c6"),
)
# Matplotlib wants real colours; these stand for the page's own and are replaced in the finished SVG.
_INK, _FAINT = "#0a0a01", "#0a0a02"
_SERIES_STAND_INS = [f"#0b0b{index:02x}" for index in range(len(SERIES))]

#: Panels of counters over the epochs: title, counter, and what it is divided by.
RATE_PANELS = (
    ("Saturated lines per read, forward", "forward_saturations", "forward_reads"),
    ("Saturated lines per read, backward", "backward_saturations", "backward_reads"),
    ("Repeats per read by bound management, forward", "forward_repeats", "forward_reads"),
    ("Repeats per read by bound management, backward", "backward_repeats", "backward_reads"),
)
PULSE_PANELS = (
    ("Row pulses per image", "row_pulses"),
    ("Column pulses per image", "column_pulses"),
    ("Coincidences per image", "coincidences"),
)
WEIGHTS_NOTE = "Filled: after the last epoch. Outline: after the first. Dashed: the mean bound of the devices."


@dataclass(frozen=True)
class Run:
    """What the report says about a run besides its epochs."""

    config: Config
    machine: str
    data: str
    train_images: int
    test_images: int
    epochs: int
    provenance: Provenance
    ended: str = ""  # why, if before the last epoch and not to be resumed


def write_report(path: Path, run: Run, records: Sequence[EpochRecord]) -> None:
    """Replace ``path`` by the report of the epochs so far. Raises OSError if it cannot be written."""
    write_atomically(path, render_report(run, records).encode())


def render_report(run: Run, records: Sequence[EpochRecord]) -> str:
    """The page."""
    config = run.config
    title = f"{_percent(records[-1].test_error)} test error" if records else "no epoch"
    ended = f"<p class='ended'>{escape(run.ended)}</p>" if run.ended else ""
    sections = [
        *(_epoch_sections(run, records) if records else []),
        _section("Run", _facts(run)),
        _section("Configuration", _configuration(config)),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(config.name)}: {title}</title>\n"
        f"<style>{_style()}</style>\n</head>\n<body>\n<main>\n"
        f"<header><p class='over'>Crosspoint training run</p><h1>{escape(config.name)}</h1>"
        f"<p class='lead'>{escape(config.description)}</p>{ended}</header>\n"
        f"{_tiles(run, records) if records else ''}\n" + "\n".join(sections) + "\n</main>\n</body>\n</html>\n"
    )


def _epoch_sections(run: Run, records: Sequence[EpochRecord]) -> list[str]:
    """What there is to say of at least one epoch."""
    return [
        _section("Error", _error_plot(records)),
        _section("Weights", _weight_plots(run, records), WEIGHTS_NOTE),
        *_counter_sections(run, records),
        _section("Epochs", _speed_plot(records) + _epoch_table(records)),
    ]


def _counter_sections(run: Run, records: Sequence[EpochRecord]) -> list[str]:
    """What the arrays counted; nothing for a machine that does not count."""
    if not records[-1].counters:
        return []
    colours = _series_colours(run)
    return [
        _section("Saturation and bound management", colours + _rate_plots(run, records)),
        _section("Pulses", colours + _pulse_plots(run, records)),
        _section("Arrays in the last epoch", _layer_table(run, records[-1])),
    ]


# --- text -----------------------------------------------------------------------------------------------------------


def _section(title: str, body: str, note: str = "") -> str:
    caption = f"<p class='note'>{escape(note)}</p>" if note else ""
    return f"<section><h2>{escape(title)}</h2>{caption}{body}</section>"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _tiles(run: Run, records: Sequence[EpochRecord]) -> str:
    best = min(records, key=lambda record: record.test_error if math.isfinite(record.test_error) else math.inf)
    seconds = sum(record.seconds for record in records if math.isfinite(record.seconds))
    images = sum(record.images for record in records)
    stages = run.config.stages
    weights = sum(stage.rows * stage.columns for stage in stages)
    devices = sum(stage.physical_rows * stage.physical_columns for stage in stages)
    tiles = (
        ("Test error", _percent(records[-1].test_error), f"train {_percent(records[-1].train_error)}"),
        ("Best", _percent(best.test_error), f"epoch {best.epoch}"),
        ("Epochs", f"{records[-1].epoch}", f"of {max(run.epochs, records[-1].epoch)}"),
        ("Speed", f"{images / seconds if seconds else 0:,.0f}", f"images/s for {_duration(seconds)}"),
        ("Weights", f"{weights:,}", f"on {devices:,} devices"),
    )
    cards = "".join(
        f"<div class='tile'><p>{escape(name)}</p><strong>{escape(value)}</strong><p>{escape(more)}</p></div>"
        for name, value, more in tiles
    )
    return f"<div class='tiles'>{cards}</div>"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _facts(run: Run) -> str:
    facts = (
        ("Machine", run.machine),
        ("Data", f"{run.data}: {run.train_images:,} training and {run.test_images:,} test images"),
        ("Seed", str(run.config.seed)),
        ("Config digest", run.config.digest),
        ("Commit", run.provenance.commit),
        ("Crosspoint version", run.provenance.version),
        ("Date", run.provenance.date),
    )
    rows = "".join(f"<tr><th scope='row'>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts)
    return f"<div class='wide'><table class='facts'>{rows}</table></div>"


def _configuration(config: Config) -> str:
    tables = "\n\n".join(table(config.stages) for table in (array_table, converter_table, memory_table))
    return (
        f"<pre>{escape(tables)}</pre><details><summary>All fields</summary><pre>{escape(config_toml(config))}</pre>"
        "</details>"
    )


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in heading)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _epoch_table(records: Sequence[EpochRecord]) -> str:
    rows = [
        (
            str(record.epoch),
            _percent(record.test_error),
            _percent(record.train_error),
            f"{record.images:,}",
            f"{record.images_per_second:,.0f}",
            f"{record.seconds:,.1f}",
        )
        for record in reversed(records)
    ]
    return _table(("Epoch", "Test error", "Train error", "Images", "Images/s", "Seconds"), rows)


def _layer_table(run: Run, record: EpochRecord) -> str:
    heading = (
        *("Array", "Saturated lines per read, forward", "backward", "Repeats per read, forward", "backward"),
        *("Row pulses per image", "Column pulses per image", "Coincidences per image"),
    )
    rows = []
    for stage in run.config.stages:
        counters = record.counters[stage.name]
        rates = [_ratio(counters[counter], counters[reads]) for _, counter, reads in RATE_PANELS]
        pulses = [counters[counter] / record.images for _, counter in PULSE_PANELS]
        rows.append(
            (
                stage.name,
                *("none" if rate is None else f"{rate:.4f}" for rate in rates),
                *(f"{number:,.1f}" for number in pulses),
            )
        )
    return _table(heading, rows)


def _ratio(count: int, of: int) -> float | None:
    """None where nothing was counted: the first array, for one, is never read backward."""
    return count / of if of else None


def _series_colours(run: Run) -> str:
    """The key to the colours of the arrays."""
    chips = "".join(
        f"<span><i style='background:var(--series-{stage.index % len(SERIES)})'></i>{escape(stage.name)}</span>"
        for stage in run.config.stages
    )
    return f"<p class='key'>{chips}</p>"


# --- plots ----------------------------------------------------------------------------------------------------------


def _error_plot(records: Sequence[EpochRecord]) -> str:
    def draw(axes: Axes) -> None:
        epochs = [record.epoch for record in records]
        curves = (
            ("test", [100 * record.test_error for record in records], 0, 2.2),
            ("train", [100 * record.train_error for record in records], 1, 1.4),
        )
        values = [value for _, curve, _, _ in curves for value in curve if math.isfinite(value)] or [0.0]
        if min(values) > 0 and max(values) > 8 * min(values):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.minorticks_off()
        else:
            axes.set_ylim(0, 1.08 * max(*values, 0.01))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        for _, curve, series, width in curves:
            _line(axes, epochs, curve, series, width)
        axes.set_xlabel("epoch")
        if not all(math.isfinite(curve[-1]) for _, curve, _, _ in curves):
            return  # nowhere to put a label
        # The larger of the two last values is labelled above, so that close curves keep readable labels.
        upper = max(curves, key=lambda item: item[1][-1])
        for curve_name, curve, series, _ in curves:
            axes.annotate(
                f"{curve_name} {curve[-1]:.2f} %",
                (epochs[-1], curve[-1]),
                xytext=(8, 5 if curve_name == upper[0] else -5),
                textcoords="offset points",
                va="center",
                color=_SERIES_STAND_INS[series],
            )

    return _svg(draw, "error", "Test and train error per epoch", 9.0, 3.6)


def _speed_plot(records: Sequence[EpochRecord]) -> str:
    def draw(axes: Axes) -> None:
        _line(axes, [record.epoch for record in records], [record.images_per_second for record in records], 2, 1.6)
        axes.set_ylim(bottom=0)
        axes.set_title("Training images per second", loc="left")

    return _svg(draw, "speed", "Training images per second, per epoch", 9.0, 1.9)


def _weight_plots(run: Run, records: Sequence[EpochRecord]) -> str:
    def panel(layer: str, series: int, bound: float | None) -> str:
        def draw(axes: Axes) -> None:
            first, last = records[0].weights[layer], records[-1].weights[layer]
            edges = np.linspace(last.low, last.high, len(last.counts) + 1)
            axes.stairs(last.counts, edges, fill=True, color=_SERIES_STAND_INS[series], alpha=0.55)
            axes.stairs(first.counts, edges, color=_INK, linewidth=0.9)
            filled = np.flatnonzero(np.array(first.counts) + np.array(last.counts))
            if len(filled) == 0:  # weights that are no numbers are in no bin
                filled = np.arange(len(last.counts))
            reach = max(abs(edges[filled[0]]), abs(edges[filled[-1] + 1]), (bound or 0) * 1.1)
            axes.set_xlim(-reach, reach)
            if bound is not None:
                for side in (-bound, bound):
                    axes.axvline(side, color=_INK, linewidth=1, linestyle=(0, (4, 3)))
            axes.set_title(layer, loc="left")
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)

        return _svg(draw, f"weights-{layer}", f"Distribution of the weights of {layer}", 4.4, 2.3)

    stages = run.config.stages
    return _grid(panel(stage.name, stage.index % len(SERIES), mean_bound(stage)) for stage in stages)


def _rate_plots(run: Run, records: Sequence[EpochRecord]) -> str:
    def panel(title: str, counter: str, reads: str) -> str:
        def rate(record: EpochRecord, layer: str) -> float | None:
            return _ratio(record.counters[layer][counter], record.counters[layer][reads])

        return _layer_plot(run, records, title, rate, width=4.4)

    return _grid(panel(*names) for names in RATE_PANELS)


def _pulse_plots(run: Run, records: Sequence[EpochRecord]) -> str:
    def panel(title: str, counter: str) -> str:
        def per_image(record: EpochRecord, layer: str) -> float | None:
            return _ratio(record.counters[layer][counter], record.images)

        return _layer_plot(run, records, title, per_image, width=3.3)

    return _grid((panel(*names) for names in PULSE_PANELS), columns=3)


def _layer_plot(
    run: Run,
    records: Sequence[EpochRecord],
    title: str,
    value: Callable[[EpochRecord, str], float | None],
    width: float,
) -> str:
    """One line per array over the epochs."""

    def draw(axes: Axes) -> None:
        largest = 0.0
        for stage in run.config.stages:
            points = [(record.epoch, value(record, stage.name)) for record in records]
            known = [(epoch, number) for epoch, number in points if number is not None]
            if known:
                epochs, numbers = zip(*known, strict=True)
                _line(axes, epochs, numbers, stage.index % len(SERIES), 1.6)
                largest = max(largest, *numbers)
        axes.set_ylim(0, 1.08 * largest or 1)
        axes.set_title(title, loc="left")

    return _svg(draw, title, f"{title}, per epoch and array", width, 2.3)


def _line(axes: Axes, epochs: Sequence[int], values: Sequence[float], series: int, width: float) -> None:
    marker = "o" if len(epochs) < 40 else None
    axes.plot(epochs, values, color=_SERIES_STAND_INS[series], linewidth=width, marker=marker, markersize=3.2)
    # Half an epoch of air, so that a single epoch has an axis too and none is numbered 0.
    axes.set_xlim(0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=_FAINT, linewidth=0.8)


def _svg(draw: Callable[[Axes], None], identity: str, label: str, width: float, height: float) -> str:
    """A plot as inline SVG in the page's fonts and colours. ``identity`` keeps its ids apart from other plots'."""
    text = io.StringIO()
    with matplotlib.rc_context(
        {
            "svg.fonttype": "none",  # text stays text
            "text.parse_math": False,  # a layer may be called anything
            "svg.hashsalt": identity,
            "font.size": 10.0,
            "text.color": _INK,
            "axes.labelcolor": _INK,
            "axes.edgecolor": _FAINT,
            "axes.titlesize": 10.0,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "xtick.color": _INK,
            "ytick.color": _INK,
            "axes.axisbelow": True,
        }
    ):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        axes.tick_params(length=0, pad=6)
        draw(axes)
        figure.savefig(text, format="svg")
    svg = text.getvalue()
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    # As wide as the page has room for; on a narrow one scrolled, rather than unreadably small.
    opening = f'role="img" aria-label="{escape(label)}" style="min-width:{60 * width:.0f}px"'
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', lambda found: f"<svg {found[1]} {opening}>", svg, count=1)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # the same in every plot, and nothing refers to them
    for stand_in, name in ((_INK, "ink"), (_FAINT, "faint")):
        svg = svg.replace(stand_in, f"var(--{name})")
    for index, stand_in in enumerate(_SERIES_STAND_INS):
        svg = svg.replace(stand_in, f"var(--series-{index})")
    return f"<figure>{svg}</figure>"


def _grid(plots: Iterable[str], columns: int = 2) -> str:
    return f"<div class='grid of-{columns}'>{''.join(plots)}</div>"


def _style() -> str:
    light = "".join(f"--series-{index}:{pair[0]};" for index, pair in enumerate(SERIES))
    dark = "".join(f"--series-{index}:{pair[1]};" for index, pair in enumerate(SERIES))
    return (
        ":root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#1d2330;--soft:#5d6677;--faint:#dfe3ea;"
        + light
        + "}\n@media(prefers-color-scheme:dark){:root{--page:#11141a;--card:#191e27;--ink:#e5e9f0;--soft:#98a2b3;"
        "--faint:#303847;" + dark + "}}\n" + _RULES
    )


_RULES = """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif}
main{max-width:1060px;margin:0 auto;padding:40px 20px 80px}
h1{font-size:34px;line-height:1.15;margin:2px 0 6px;letter-spacing:-.02em}
h2{font-size:17px;margin:0 0 10px;letter-spacing:-.01em}
.over{margin:0;color:var(--soft);font-size:13px}
.lead{margin:0;color:var(--soft);font-size:17px}
.ended{margin:10px 0 0;font-weight:600}
.note{margin:-8px 0 10px;color:var(--soft);font-size:13px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:14px;margin:26px 0 14px}
.tile,section{background:var(--card);border:1px solid var(--faint);border-radius:12px}
.tile{padding:14px 18px}
.tile p{margin:0;color:var(--soft);font-size:13px}
.tile strong{font-size:26px;line-height:1.25;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tile:first-child strong{color:var(--series-0)}
section{padding:20px 22px;margin:14px 0}
figure{margin:0;overflow-x:auto}
svg{display:block;width:100%;height:auto}
svg *{stroke-linejoin:round;stroke-linecap:butt}
svg text{font-family:inherit!important}
.grid{display:grid;gap:14px 26px}
.of-2{grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr))}
.of-3{grid-template-columns:repeat(auto-fit,minmax(min(100%,290px),1fr))}
.key{display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 8px;font-size:13px}
.key i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px}
.wide{overflow-x:auto;max-height:480px}
table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{padding:6px 10px;text-align:right;border-bottom:1px solid var(--faint)}
th:first-child,td:first-child{text-align:left}
thead th{color:var(--soft);font-weight:500;position:sticky;top:0;background:var(--card);vertical-align:bottom}
.facts th{color:var(--soft);font-weight:500;white-space:nowrap;width:1%}
.facts td{text-align:left;overflow-wrap:anywhere}
pre{margin:0;overflow-x:auto;font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
details{margin-top:16px}
summary{cursor:pointer;color:var(--soft);margin-bottom:8px}
"""
