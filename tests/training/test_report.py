import math
import re
import subprocess
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from emulator.config import Config, load
from emulator.machine import COUNTERS
from emulator.training import provenance
from emulator.training.log import EpochRecord, Histogram, layer_counters, weight_histograms
from emulator.training.provenance import Provenance
from emulator.training.report import Run, render_report, write_report
from tests.training.toy import ToyMachine, toy_config

PROVENANCE = Provenance("1.2.3", "0123abcd (modified)", "2026-01-02 03:04 UTC")
VOID = {"meta", "br", "hr"}


def make_run(config: Config, epochs: int = 3) -> Run:
    return Run(config, "golden", "digits", 1437, 360, epochs, PROVENANCE)


def make_record(config: Config, epoch: int, test_error: float = 0.1234, counts: int = 1) -> EpochRecord:
    counters = {
        stage.name: {name: counts * (1000 if name.endswith("reads") else 10 * (stage.index + 1)) for name in COUNTERS}
        for stage in config.stages
    }
    return EpochRecord(
        epoch=epoch, images=100, train_error=0.2, test_error=test_error, seconds=2.5, images_per_second=40.0,
        counters=counters, weights=weight_histograms(config, ToyMachine(config).state()),
    )  # fmt: skip


class Page(HTMLParser):
    """Collects what a page contains, and that its tags are nested as they should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += attributes

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def values(self, *names: str) -> list[str]:
        return [value or "" for name, value in self.attributes if name in names]


def page_of(config: Config, records: list[EpochRecord]) -> tuple[str, Page]:
    text = render_report(make_run(config), records)
    return text, Page(text)


def test_everything_about_the_run_is_on_the_page() -> None:
    config = toy_config("name=my-run", "description=what it is", "seed=77")
    _, page = page_of(config, [make_record(config, 1, 0.5), make_record(config, 2, 0.0789)])
    words = " ".join(page.texts)
    for expected in (
        *("my-run", "what it is", "77", "golden", "digits: 1,437 training and 360 test images", "1.2.3"),
        *("0123abcd (modified)", "2026-01-02 03:04 UTC", config.digest, "7.89 %", "50.00 %", "20.00 %"),
        *("of 3", "dw_min = 0.001", "K1", "W2", "W3", "3 x 10"),
    ):
        assert expected in words, expected


def test_rates_are_per_read_and_pulses_per_image() -> None:
    config = toy_config()
    text, _ = page_of(config, [make_record(config, 1)])
    row = re.search(r"<tr><td>W2</td>(.*?)</tr>", text[text.index("Arrays in the last epoch") :])
    assert row is not None
    assert re.findall(r"<td>(.*?)</td>", row[1]) == [*["0.0200"] * 4, *["0.2"] * 3]


def test_an_array_that_was_never_read_has_no_rate() -> None:
    config = toy_config()
    text, _ = page_of(config, [make_record(config, 1, counts=0)])
    assert text.count("<td>none</td>") == 4 * len(config.stages)


def test_a_machine_that_does_not_count_has_a_report_too() -> None:
    config = toy_config()
    state = {name: array for name, array in ToyMachine(config).state().items() if not name.endswith(".counters")}
    assert layer_counters(config, state) == {}
    record = make_record(config, 1).model_copy(update={"counters": {}})
    text, page = page_of(config, [record])
    assert text.count("<svg ") == 1 + len(config.stages) + 1
    assert "Pulses" not in page.texts


def test_the_page_needs_nothing_from_outside() -> None:
    config = load("lenet")
    text, page = page_of(config, [make_record(config, epoch) for epoch in (1, 2)])
    for reference in page.values("href", "xlink:href", "src", "action", "data"):
        assert reference.startswith("#"), reference
    assert not re.search(r"@import|<script|<link|<iframe|url\((?!#)|https?:", text)
    identities = page.values("id")
    assert len(identities) == len(set(identities))
    used = {value.removeprefix("#") for value in page.values("href", "xlink:href")}
    used |= set(re.findall(r"url\(#([^)]*)\)", text))
    assert used and used <= set(identities)


def test_plots_are_well_formed_and_take_the_colours_of_the_page() -> None:
    config = toy_config()
    text, _ = page_of(config, [make_record(config, epoch) for epoch in (1, 2, 3)])
    plots = re.findall(r"<svg .*?</svg>", text, flags=re.DOTALL)
    assert len(plots) == 1 + len(config.stages) + 4 + 3 + 1
    defined = set(re.findall(r"(--[\w-]+):", text))
    for plot in plots:
        ElementTree.fromstring(plot.replace("<svg ", '<svg xmlns:xlink="x" ', 1))
        colours = set(re.findall(r"(?:fill|stroke|color): ([^;\"]+)", plot))
        assert colours <= {"none"} | {f"var({name})" for name in defined}, colours


def test_the_mean_bound_is_marked_where_there_is_one() -> None:
    def dashes(config: Config) -> int:
        text, _ = page_of(config, [make_record(config, 1)])
        return text.count("stroke-dasharray")

    assert dashes(toy_config()) == 2 * 3
    assert dashes(toy_config("layers.W2.array.device.w_max=off")) == 2 * 2


def test_names_cannot_break_the_page() -> None:
    config = toy_config('name=<b>&"x"', "description=</main><script>alert(1)</script>")
    layers = {r"A\1 $x$ <i>" if name == "K1" else name: layer for name, layer in config.layers.items()}
    config = config.model_copy(update={"layers": layers})
    config.__dict__.pop("stages", None)
    text, page = page_of(config, [make_record(config, 1)])
    assert "<script" not in text and "<i>" not in text
    assert '<b>&"x"' in page.texts
    assert any(r"A\1 $x$ <i>" in part for part in page.texts)


@pytest.mark.parametrize("errors", [[0.0], [0.5, 0.0], [0.9, 0.02], [0.1] * 50])
def test_any_course_of_the_error_can_be_drawn(errors: list[float]) -> None:
    config = toy_config()
    records = [make_record(config, epoch, error) for epoch, error in enumerate(errors, start=1)]
    _, page = page_of(config, records)
    assert f"{100 * errors[-1]:.2f} %" in page.texts


@pytest.mark.parametrize("records", [0, 1, 3])
def test_a_run_that_has_ended_early_says_why(records: int) -> None:
    """Even before the end of its first epoch."""
    config = toy_config()
    run = replace(make_run(config), ended="weights are <no longer> finite")
    page = Page(render_report(run, [make_record(config, epoch) for epoch in range(1, records + 1)]))
    assert "weights are <no longer> finite" in page.texts and config.digest in page.texts
    assert ("Error" in page.texts) == (records > 0)


def test_numbers_that_are_none_can_be_shown() -> None:
    """Of runs whose weights were no longer finite: such weights are in no bin."""
    config = toy_config()
    nothing = {stage.name: Histogram(low=-1.0, high=1.0, counts=[0] * 128) for stage in config.stages}
    for broken in (
        {"weights": nothing},
        {"weights": nothing, "test_error": math.nan, "train_error": math.nan},
        {"seconds": math.nan, "images_per_second": math.nan},
        {"test_error": math.inf},
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for number in (1, 2):
                records = [make_record(config, epoch) for epoch in (1, 2)]
                records[-number:] = [record.model_copy(update=broken) for record in records[-number:]]
                page_of(config, records)


def test_the_file_is_replaced(tmp_path: Path) -> None:
    config = toy_config()
    path = tmp_path / "report.html"
    for epochs in (1, 2):
        write_report(path, make_run(config), [make_record(config, epoch) for epoch in range(1, epochs + 1)])
        assert path.read_text().startswith("<!DOCTYPE html>")
    assert list(tmp_path.iterdir()) == [path]


def test_histograms_count_every_weight_in_units_of_the_weight() -> None:
    config = toy_config()
    state = ToyMachine(config).state()
    state["K1.weights"][0, :4] = [2**16, -(2**16), 2**17 - 1, -(2**17) + 1]  # 0.5, -0.5, about 1, about -1
    histogram = weight_histograms(config, state)["K1"]
    assert histogram.high == (2**17 - 1) / 2**17
    assert histogram.low == -histogram.high
    assert sum(histogram.counts) == state["K1.weights"].size
    assert [histogram.counts[place] for place in (0, 31, 96, 127)] == [1, 1, 1, 1]
    as_floats = {name: values * 2.0**-17 if "weights" in name else values for name, values in state.items()}
    assert weight_histograms(config, as_floats)["K1"] == histogram


def test_a_histogram_reaches_to_twice_the_mean_bound() -> None:
    config = toy_config("array.device.w_max=0.25")
    histogram = weight_histograms(config, {
        f"{stage.name}.weights": np.array([[2**17 - 1]], dtype=np.int32) for stage in config.stages
    })["W2"]  # fmt: skip
    assert histogram == Histogram(low=-0.5, high=0.5, counts=[0] * 127 + [1])


# --- provenance -----------------------------------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_found_and_changes_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_CHECKOUT", tmp_path.resolve())
    assert Provenance.find().commit == "unknown"
    git(tmp_path, "init")
    assert Provenance.find().commit == "unknown"
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert Provenance.find().commit == commit
    (tmp_path / "file").write_text("2")
    assert Provenance.find().commit == f"{commit} (modified)"
    (tmp_path / "copy").mkdir()
    monkeypatch.setattr(provenance, "_CHECKOUT", tmp_path.resolve() / "copy")
    assert Provenance.find().commit == "unknown"


def test_the_version_is_that_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_CHECKOUT", tmp_path)
    assert Provenance.find().version == "unknown"
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "4.5"\n')
    assert Provenance.find().version == "4.5"


def test_without_git_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Provenance.find().commit == "unknown"
