"""Faults put into a machine, and the place that the comparison of traces names."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.cli import main
from emulator.compare_trace import Verdict, compare_traces, compare_with_traces, not_compared
from emulator.config import Config, load
from emulator.engine.machine import FastMachine
from emulator.errors import MachineError
from emulator.machine import MACHINES, Machine
from emulator.network.layers import StageModel
from emulator.network.network import GoldenMachine
from emulator.trace import WHOLE, Place, Trace
from tests.training.toy import ToyMachine, toy_dataset

CONFIG = load("tiny", ["array.update.desired_bl=10"])
DATASET = toy_dataset(train=30)
IMAGE, LABEL = DATASET.train_images[0], int(DATASET.train_labels[0])


def part(machine: GoldenMachine, layer: str) -> StageModel:
    return next(stage for stage in machine.stages if stage.stage.name == layer)


def around(target: Any, name: str, fault: Callable[..., Any]) -> None:
    """From now on ``target.name(...)`` is ``fault(method, ...)``."""
    method = getattr(target, name)
    setattr(target, name, lambda *arguments, **named: fault(method, *arguments, **named))


def facts(report: str) -> dict[str, str]:
    """The lines of a report: value by name, which two or more spaces part."""
    return dict(re.findall(r"^  (\S[^\n]*?) {2,}(.+)$", report, re.MULTILINE))


def report_on(install: Callable[[GoldenMachine], None], config: Config = CONFIG) -> tuple[dict[str, str], Trace, Trace]:
    """Facts of the report on a machine with a fault, beside the traces of a sound and the faulty machine."""
    sound, faulty = GoldenMachine(config), GoldenMachine(config)
    install(faulty)
    ours, theirs = sound.trace(IMAGE, LABEL), faulty.trace(IMAGE, LABEL)
    outcome = compare_traces(("golden", "faulty"), ours, theirs)
    assert outcome.report is not None
    named = facts(outcome.report)
    assert named["equal before"] == f"{outcome.records} records, {outcome.words} words"
    return named, ours, theirs


def place_of(named: dict[str, str]) -> tuple[str, ...]:
    return tuple(named[name] for name in ("layer", "operation", "position", "attempt", "item"))


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ("W2", "W3"))
def test_a_scaler_that_rounds_down(layer: str) -> None:
    """The code that differs first is computed here from delta, multiplier and shift, in plain integers."""

    def install(machine: GoldenMachine) -> None:
        full_range = 1 << part(machine, layer).stage.dac_fraction

        def drive(method: Any, vectors: Any, scaling: Any, start: int, halvings: Any, replicated: bool) -> Any:
            if vectors.shape[1] != part(machine, layer).stage.rows:  # a forward read
                return method(vectors, scaling, start, halvings, replicated)
            shift = scaling.shift[start:, None] + halvings[:, None]
            return np.clip((vectors[start:] * scaling.multiplier[start:, None]) >> shift, -full_range, full_range)

        around(part(machine, layer).tile, "drive", drive)

    named, ours, _ = report_on(install)
    assert place_of(named) == (layer, "backward", "0", "0", "dac")
    delta, multiplier, shift = (
        ours.records[Place(layer, "backward", 0, 0, item)].tolist() for item in ("delta", "multiplier", "shift")
    )
    products = [element * multiplier[0] for element in delta]
    down = [product >> shift[0] for product in products]
    nearest = [(abs(product) + (1 << shift[0] >> 1) >> shift[0]) * (1 if product > 0 else -1) for product in products]
    wrong = [row for row, pair in enumerate(zip(down, nearest, strict=True)) if pair[0] != pair[1]]
    assert named["index"] == f"row {wrong[0]} ({len(wrong)} of the record's {len(delta)} words differ)"
    assert (named["golden"], named["faulty"]) == (str(nearest[wrong[0]]), str(down[wrong[0]]))


def test_a_weight_that_flips_before_a_backward_read() -> None:
    def install(machine: GoldenMachine) -> None:
        tile = part(machine, "W2").tile

        def backward(method: Any, errors: Any) -> Any:
            tile.crossbar.weights[3, 7] ^= 1 << 16
            return method(errors)

        around(tile, "backward", backward)

    named, ours, theirs = report_on(install)
    assert place_of(named) == ("W2", "backward", "0", "0", "adc")
    assert named["index"].startswith("column 7 (1 of ")
    place = Place("W2", "backward", 0, 0, "adc")
    assert named["golden"] == str(ours.records[place][7])
    assert named["faulty"] == str(theirs.records[place][7])


def test_a_weight_that_flips_where_nothing_reads_it() -> None:
    """The first array is not read backward, and this device's row has no pulses: only the weights themselves show it."""

    def install(machine: GoldenMachine) -> None:
        tile = part(machine, "K1").tile

        def update(method: Any, x: Any, errors: Any) -> None:
            method(x, errors)
            tile.crossbar.weights[2, 4] ^= 1

        around(tile, "update", update)

    named, ours, _ = report_on(install)
    assert place_of(named) == ("K1", "update", "the operation as a whole", "0", "weights")
    assert named["index"] == "row 2, column 4 (1 of the record's 30 words differ)"
    weight = int(ours.records[Place("K1", "update", WHOLE, 0, "weights")][24])
    assert (named["golden"], named["faulty"]) == (str(weight), str(weight ^ 1))


def test_a_device_that_does_not_move() -> None:
    """Named in the first cycle in which the device has a coincidence, of several."""
    row, column = 1, 7

    def install(machine: GoldenMachine) -> None:
        for step in ("step_up", "step_down"):
            part(machine, "K1").tile.crossbar.parameters[step][row, column] = 0

    named, ours, _ = report_on(install)
    before = GoldenMachine(CONFIG).state()["K1.weights"]
    device = row * before.shape[1] + column
    devices = [ours.records[Place("K1", "update", cycle, 0, "device")].tolist() for cycle in range(16)]
    cycles = [cycle for cycle in range(16) if device in devices[cycle]]
    assert len(cycles) > 1 and cycles[0] > 0
    weights = ours.records[Place("K1", "update", cycles[0], 0, "weight")]
    assert place_of(named) == ("K1", "update", str(cycles[0]), "0", "weight")
    assert named["index"].startswith(f"row {row}, column {column} (1 of ")
    assert named["golden"] == str(weights[devices[cycles[0]].index(device)])
    assert named["faulty"] == str(before[row, column])


def test_a_noise_generator_in_another_state() -> None:
    """Between the reads of two layers: the last operation of this layer before it was its forward read."""

    def install(machine: GoldenMachine) -> None:
        tile = part(machine, "W3").tile

        def forward(method: Any, x: Any) -> Any:
            y = method(x)
            tile.crossbar.column_noise[3] ^= np.uint64(0x123456789)
            return y

        around(tile, "forward", forward)

    named, ours, _ = report_on(install)
    assert place_of(named) == ("W3", "forward", "the operation as a whole", "0", "column_noise")
    assert named["index"].startswith("column 3 (1 of ")
    state = int(ours.records[Place("W3", "forward", WHOLE, 0, "column_noise")][3])
    assert (named["golden"], named["faulty"]) == (f"{state:#x}", f"{state ^ 0x123456789:#x}")


def test_a_pulse_generator_that_is_drawn_before_an_update() -> None:
    def install(machine: GoldenMachine) -> None:
        tile = part(machine, "W3").tile

        def update(method: Any, x: Any, errors: Any) -> None:
            tile.row_pulse[LABEL : LABEL + 1] = tile.generator.advance(tile.row_pulse[LABEL : LABEL + 1])
            method(x, errors)

        around(tile, "update", update)

    named, ours, theirs = report_on(install)
    assert place_of(named) == ("W3", "update", "0", "0", "row_pulses")
    assert named["index"].startswith(f"row {LABEL} (1 of ")
    train = int(ours.records[Place("W3", "update", 0, 0, "row_pulses")][LABEL])
    other = int(theirs.records[Place("W3", "update", 0, 0, "row_pulses")][LABEL])
    assert train >> 1 == other & 0x1FF  # one slot earlier
    assert (named["golden"], named["faulty"]) == (str(train), str(other))


def test_an_activation_with_a_wrong_entry() -> None:
    def install(machine: GoldenMachine) -> None:
        def activate(method: Any, y: Any) -> Any:
            values = method(y)
            values[2, 1, 0] += 1
            return values

        around(part(machine, "K1"), "activate", activate)

    named, ours, _ = report_on(install)
    assert place_of(named) == ("K1", "forward", str(2 * 4 + 1), "0", "activation")
    value = int(ours.records[Place("K1", "forward", 9, 0, "activation")][0])
    assert named["index"] == "row 0 (1 of the record's 3 words differ)"
    assert (named["golden"], named["faulty"]) == (str(value), str(value + 1))


def test_a_pooling_that_forgets_where_the_maximum_was() -> None:
    def install(machine: GoldenMachine) -> None:
        def forward(method: Any, volume: Any) -> Any:
            cycle = method(volume)
            where = cycle.where.copy()
            where[1, 0, 2] = 3 - where[1, 0, 2]
            return dataclasses.replace(cycle, where=where)

        around(part(machine, "K1"), "forward", forward)

    named, ours, _ = report_on(install)
    assert place_of(named) == ("K1", "forward", "2", "0", "argmax")
    where = int(ours.records[Place("K1", "forward", 2, 0, "argmax")][2])
    assert named["index"].startswith("row 2 (1 of ")
    assert (named["golden"], named["faulty"]) == (str(where), str(3 - where))


def test_an_exponent_that_is_one_too_small() -> None:
    def install(machine: GoldenMachine) -> None:
        def share_exponent(method: Any, sums: Any, fraction: int) -> Any:
            mantissas, exponent = method(sums, fraction)
            return mantissas >> 1, exponent - 1

        around(part(machine, "W2"), "share_exponent", share_exponent)

    named, ours, _ = report_on(install)
    assert place_of(named) == ("W2", "error", "the operation as a whole", "0", "exponent")
    exponent = int(ours.records[Place("W2", "error", WHOLE, 0, "exponent")][0])
    assert (named["golden"], named["faulty"]) == (str(exponent), str(exponent - 1))


def test_a_repeat_that_does_not_happen() -> None:
    """A machine without bound management beside one with it, at a bound that is soon reached."""
    narrow = ["layers.W2.array.forward.bound=0.3"]
    ours = GoldenMachine(load("tiny", narrow)).trace(IMAGE, LABEL)
    theirs = GoldenMachine(load("tiny", [*narrow, "layers.W2.array.forward.bound_management=0"])).trace(IMAGE, LABEL)
    assert ours.records[Place("W2", "forward", 0, 0, "saturated")].any()
    outcome = compare_traces(("golden", "faulty"), ours, theirs)
    assert outcome.report is not None
    named = facts(outcome.report)
    assert place_of(named) == ("W2", "forward", "0", "1", "dac")
    assert named["index"] == "all"
    assert (named["golden"], named["faulty"]) == ("13 words", "no such record")


def test_a_record_of_another_length() -> None:
    ours, theirs = Trace(CONFIG.stages), Trace(CONFIG.stages)
    for trace, vector in ((ours, [1, 2, 3]), (theirs, [1, 2])):
        trace.record("K1", "forward", "y", [5], 0)
        trace.record("K1", "forward", "y", vector, 1)
    outcome = compare_traces(("a", "b"), ours, theirs)
    assert (outcome.records, outcome.words) == (1, 3)
    assert outcome.report is not None
    named = facts(outcome.report)
    assert place_of(named) == ("K1", "forward", "1", "0", "y")
    assert named["index"] == "row 2 (1 of the record's 3 words differ)"
    assert (named["a"], named["b"]) == ("3", "none")


# --- machines that leave items out ----------------------------------------------------------------------------------


def test_only_what_both_have_is_compared_and_the_rest_is_named() -> None:
    ours, theirs = Trace(CONFIG.stages), Trace(CONFIG.stages)
    ours.record("K1", "forward", "shift", [1], 0)
    for trace in (ours, theirs):
        trace.record("K1", "forward", "y", [5, 6], 0)
        trace.record("W2", "forward", "x", [7], 0)
    ours.record("W3", "forward", "x", [8], 0)
    theirs.record("W3", "forward", "logits", [9])
    outcome = compare_traces(("a", "b"), ours, theirs)
    assert (outcome.report, outcome.records, outcome.words) == (None, 2, 3)
    assert not_compared(("a", "b"), ours, theirs) == [
        "not compared, a alone has: forward shift, W3 forward x",
        "not compared, b alone has: forward logits",
    ]


def test_every_word_of_the_engine_is_compared() -> None:
    golden, fast = GoldenMachine(CONFIG).trace(IMAGE, LABEL), FastMachine(CONFIG).trace(IMAGE, LABEL)
    outcome = compare_traces(("golden", "fast"), golden, fast)
    assert (outcome.report, outcome.records, outcome.words) == (None, len(fast.records), fast.words)


@pytest.mark.parametrize("seed", range(3))
def test_any_word_of_the_engine_that_differs_is_found(seed: int) -> None:
    """Each item once: a random word of a random record is changed, and must be the one that is named."""
    generator = np.random.default_rng(seed)
    golden, fast = GoldenMachine(CONFIG).trace(IMAGE, LABEL), FastMachine(CONFIG).trace(IMAGE, LABEL)
    kinds: dict[tuple[str, str, str], list[Place]] = {}
    for place, vector in fast.records.items():
        if len(vector):
            kinds.setdefault((place.layer, place.operation, place.item), []).append(place)
    for places in kinds.values():
        place = places[generator.integers(len(places))]
        sound = fast.records[place]
        index = int(generator.integers(len(sound)))
        fast.records[place] = sound.copy()
        fast.records[place][index] ^= sound.dtype.type(1)
        outcome = compare_traces(("golden", "fast"), golden, fast)
        fast.records[place] = sound
        assert outcome.report is not None
        named = facts(outcome.report)
        position = "the operation as a whole" if place.position == WHOLE else str(place.position)
        assert place_of(named) == (place.layer, place.operation, position, str(place.attempt), place.item)
        assert named["index"].startswith(golden.spell_index(place, index) + " ")


# --- the whole comparison -------------------------------------------------------------------------------------------


class FaultyMachine(GoldenMachine):
    """A row of K1 has a wrong code in the read of one position, whenever one image is trained."""

    image = DATASET.train_images[27]

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.struck = False
        around(part(self, "K1").tile.crossbar, "read_forward", self._read)

    def _read(self, method: Any, codes: Any) -> Any:
        converted, saturated = method(codes)
        if self.struck and len(converted) > 6:
            converted[6, 1] += 500  # the largest of its window
        return converted, saturated

    def _train_image(self, image: Any, label: int) -> Any:
        self.struck = np.array_equal(image, self.image)
        return super()._train_image(image, label)


def compare(build: Callable[[str, Config], Machine], **options: Any) -> Verdict:
    images, labels = DATASET.train_images, DATASET.train_labels
    return compare_with_traces(CONFIG, ("golden", "fast"), images, labels, build=build, **options)


def test_the_image_and_the_word_are_named(tmp_path: Path) -> None:
    machines = {"golden": GoldenMachine, "fast": FaultyMachine}
    verdict = compare(lambda name, config: machines[name](config), trace_out=tmp_path / "trace.npz")
    assert not verdict.equal
    lines = verdict.text.splitlines()
    assert lines[0].startswith("first difference after image 28: layer ")
    assert lines[1] == "first difference in the trace of image 28: golden and fast"
    named = facts(verdict.text)
    assert place_of(named) == ("K1", "forward", "6", "0", "adc")
    assert named["index"] == "row 1 (1 of the record's 3 words differ)"
    assert int(named["fast"]) == int(named["golden"]) + 500
    with np.load(tmp_path / "trace.npz") as archive:  # the first machine's
        assert archive["K1.forward.adc"][6, 1] == int(named["golden"])


def test_a_difference_that_leaves_no_mark_on_the_state_is_found() -> None:
    """The plain comparison sees nothing of it."""

    class Unseen(GoldenMachine):
        def trace(self, image: Any, label: int) -> Trace:
            trace = super().trace(image, label)
            if np.array_equal(image, DATASET.train_images[4]):
                trace.records[Place("W2", "forward", 0, 0, "x")][3] += 1
            return trace

    machines = {"golden": GoldenMachine, "fast": Unseen}
    verdict = compare(lambda name, config: machines[name](config))
    assert not verdict.equal
    assert verdict.text.startswith("first difference in the trace of image 5: golden and fast\n")
    assert "column 3" in verdict.text


def test_a_trace_that_trains_otherwise_is_found() -> None:
    class Otherwise(GoldenMachine):
        def trace(self, image: Any, label: int) -> Trace:
            trace = super().trace(image, label)
            part(self, "W2").tile.crossbar.weights[0, 0] += 1
            return trace

    machines = {"golden": GoldenMachine, "fast": Otherwise}
    verdict = compare(lambda name, config: machines[name](config))
    assert not verdict.equal
    assert verdict.text.startswith(
        "trace of image 1 equal, but not the states after it: layer W2, weights, row 0, column 0"
    )


def test_a_difference_that_does_not_come_back_is_said_so() -> None:
    class Once(GoldenMachine):
        def train(self, images: Any, labels: Any) -> Any:
            logits = super().train(images, labels)
            part(self, "W2").tile.crossbar.weights[0, 0] += "read_forward" not in vars(part(self, "W2").tile.crossbar)
            return logits

    machines = {"golden": GoldenMachine, "fast": Once}
    verdict = compare(lambda name, config: machines[name](config))
    assert not verdict.equal
    first, second = verdict.text.splitlines()
    assert first.startswith("first difference after image 1: layer W2, weights, row 0, column 0")
    assert second.startswith("no difference when image 1 is trained once more with tracing: ")


def test_a_machine_without_trace_is_an_error() -> None:
    with pytest.raises(MachineError, match="'golden': keeps no trace"):
        compare(lambda name, config: ToyMachine(config))


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_says_how_much_was_equal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "--config", "tiny", "--images", "2", "--trace-out", "t.npz"]) == 0
    lines = capsys.readouterr().out.splitlines()
    trace = FastMachine(load("tiny")).trace(IMAGE, LABEL)
    assert lines[0] == "bit-exact: 155 weights, 2 images"
    assert lines[1].startswith(f"trace equal: {2 * len(trace.records)} records, ")
    assert lines[2].startswith("not compared, golden alone has: forward multiplier, forward shift")
    assert len(lines) == 3
    assert Path("t.npz").is_file()


def test_the_command_ends_with_1_on_a_difference(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Always(FaultyMachine):
        def _train_image(self, image: Any, label: int) -> Any:
            self.image = image
            return super()._train_image(image, label)

    monkeypatch.setitem(globals(), "AlwaysFaulty", Always)
    monkeypatch.setitem(MACHINES, "fast", (__name__, "AlwaysFaulty"))
    assert main(["compare", "--config", "tiny", "--images", "2", "--trace"]) == 1
    named = facts(capsys.readouterr().out)
    assert place_of(named) == ("K1", "forward", "6", "0", "adc")
