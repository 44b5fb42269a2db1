"""Records, their order, and the file."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from emulator.config import load
from emulator.network.network import GoldenMachine
from emulator.trace import BACKWARD_STEPS, FORWARD_STEPS, WHOLE, Place, Trace, elements_of, write_trace

CONFIG = load("tiny")
DOCUMENT = Path(__file__).parents[1] / "docs/trace.md"


def test_a_record_is_a_copy_of_64_bits() -> None:
    trace = Trace(CONFIG.stages)
    vector = np.array([1, -2], dtype=np.int32)
    trace.record("K1", "forward", "y", vector, 3)
    trace.record("K1", "forward", "row_noise", [2**64 - 1])
    trace.record("K1", "forward", "saturated", np.array([True, False]), 0, 2)
    vector[0] = 7
    assert trace.records[Place("K1", "forward", 3, 0, "y")].tolist() == [1, -2]
    assert trace.records[Place("K1", "forward", 3, 0, "y")].dtype == np.int64
    assert trace.records[Place("K1", "forward", WHOLE, 0, "row_noise")].tolist() == [2**64 - 1]
    assert trace.records[Place("K1", "forward", 0, 2, "saturated")].tolist() == [1, 0]
    assert trace.words == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("K9", "forward", "y", [1], 0), "no such"),
        (("K1", "sideways", "y", [1], 0), "no such"),
        (("K1", "backward", "y", [1], 0), "no such"),
        (("K1", "forward", "y", [1], 1), "recorded twice"),
        (("K1", "forward", "y", [[1]], 0), "not a vector"),
    ],
)
def test_what_is_no_record_is_refused(arguments: tuple[object, ...], said: str) -> None:
    trace = Trace(CONFIG.stages)
    trace.record("K1", "forward", "y", [1], 1)
    with pytest.raises(ValueError, match=said):
        trace.record(*arguments)  # type: ignore[arg-type]


def test_causes_come_before_effects() -> None:
    """Some pairs of places, as the equations have them."""
    trace = Trace(CONFIG.stages)
    order = [
        Place("K1", "forward", 0, 0, "x"),
        Place("K1", "forward", 0, 0, "multiplier"),
        Place("K1", "forward", 0, 0, "dac"),
        Place("K1", "forward", 0, 0, "adc"),
        Place("K1", "forward", 0, 0, "saturated"),
        Place("K1", "forward", 0, 1, "dac"),
        Place("K1", "forward", 0, 1, "adc"),
        Place("K1", "forward", 0, 0, "y"),
        Place("K1", "forward", 1, 0, "x"),
        Place("K1", "forward", 10, 0, "x"),
        Place("K1", "forward", WHOLE, 0, "row_noise"),
        Place("K1", "forward", 0, 0, "activation"),
        Place("K1", "forward", 1, 0, "activation"),
        Place("K1", "forward", 0, 0, "pooled"),
        Place("W2", "forward", 0, 0, "x"),
        Place("W3", "forward", 0, 0, "y"),
        Place("W3", "forward", WHOLE, 0, "logits"),
        Place("W3", "error", 0, 0, "softmax"),
        Place("W3", "error", WHOLE, 0, "exponent"),
        Place("W3", "error", 0, 0, "mantissa"),
        Place("W3", "error", 0, 0, "delta"),
        Place("W3", "backward", 0, 0, "delta"),
        Place("W3", "backward", 0, 0, "z"),
        Place("W3", "update", 0, 0, "column_probability"),
        Place("W3", "update", 0, 0, "row_pulses"),
        Place("W3", "update", 0, 0, "device"),
        Place("W3", "update", 0, 0, "weight"),
        Place("W3", "update", WHOLE, 0, "weights"),
        Place("W2", "error", 0, 0, "sums"),
        Place("W2", "update", 0, 0, "x"),
        Place("K1", "error", 0, 0, "sums"),
        Place("K1", "update", 0, 0, "weight"),
        Place("K1", "update", 1, 0, "x"),
    ]
    assert all(trace.order(one) < trace.order(other) for one, other in itertools.pairwise(order))
    for place in reversed(order):
        trace.record(place.layer, place.operation, place.item, [0], place.position, place.attempt)
    assert trace.ordered() == order


def test_indices_and_values_are_spelled() -> None:
    trace = Trace(CONFIG.stages)
    trace.record("K1", "update", "device", [3, 17], 5)
    weight = Place("K1", "update", 5, 0, "weight")
    assert trace.spell_index(weight, 1) == "row 1, column 7"
    assert trace.spell_index(weight, 2) == "element 2"  # of a record longer than that of the devices
    assert trace.spell_index(weight._replace(item="device"), 1) == "element 1"
    assert trace.spell_index(Place("K1", "update", WHOLE, 0, "weights"), 25) == "row 2, column 5"
    assert trace.spell_index(Place("K1", "backward", 0, 0, "dac"), 2) == "row 2"
    assert trace.spell_index(Place("K1", "backward", 0, 0, "adc"), 2) == "column 2"
    assert trace.spell_index(Place("K1", "forward", 0, 0, "dac"), 2) == "column 2"
    assert trace.spell_index(Place("K1", "update", WHOLE, 0, "row_pulse"), 2) == "generator 2"
    assert trace.spell_value(weight, np.int64(-5)) == "-5"
    assert trace.spell_value(weight._replace(item="device"), np.int64(17)) == "row 1, column 7"
    assert trace.spell_value(weight._replace(item="row_noise"), np.uint64(2**63 + 10)) == "0x800000000000000a"


def test_the_file_has_every_word(tmp_path: Path) -> None:
    machine = GoldenMachine(load("tiny", ["array.forward.bound=0.5"]))
    trace = machine.trace(np.arange(36, dtype=np.uint8).reshape(6, 6) * 7, 2)
    write_trace(tmp_path / "t.npz", trace)
    seen = ragged = 0
    with np.load(tmp_path / "t.npz", allow_pickle=False) as archive:
        names = [name for name in archive.files if not name.endswith(".places")]
        assert len(archive.files) == 2 * len(names)
        for name in names:
            layer, operation, item = name.split(".")
            values, places = archive[name], archive[f"{name}.places"]
            if values.ndim == 2:
                vectors = list(values)
            else:
                vectors = np.split(values, np.cumsum(places[:, 2])[:-1])
                ragged += 1
            for (position, attempt, length), vector in zip(places.tolist(), vectors, strict=True):
                kept = trace.records[Place(layer, operation, position, attempt, item)]
                assert len(vector) == length
                assert vector.dtype == kept.dtype
                np.testing.assert_array_equal(vector, kept)
                seen += 1
    assert seen == len(trace.records)
    assert ragged > 0


def test_the_page_names_every_item() -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    for step in (*FORWARD_STEPS, *BACKWARD_STEPS):
        for item in itertools.chain(*step.parts):
            assert f"`{item}`" in page, f"{step.operation} {item}"
            assert elements_of(step.operation, item)
