"""The engine's trace: equal to the golden model's in every record, and without effect on what is computed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from emulator.config import Config, load
from emulator.engine import records
from emulator.engine.build import SOURCE
from emulator.engine.machine import FastMachine
from emulator.network.network import GoldenMachine
from tests.engine.test_equality import assert_same, config_trees, random_images

#: What the engine has no word of its own for.
LEFT_OUT = {
    *((operation, item) for operation in ("forward", "backward") for item in ("multiplier", "shift")),
    ("error", "mantissa"),
    *(("update", f"{side}_{item}") for side in ("row", "column") for item in ("multiplier", "shift")),
}


def assert_equal_traces(config: Config, images: int, seed: int) -> set[tuple[str, str]]:
    """Trace images on both machines, and train them on a third without; returns operations and items seen."""
    golden, fast, plain = GoldenMachine(config), FastMachine(config), FastMachine(config)
    seen: set[tuple[str, str]] = set()
    for image, label in zip(*random_images(config, images, seed), strict=True):
        ours, theirs = golden.trace(image, int(label)), fast.trace(image, int(label))
        wanted = {place for place in ours.records if (place.operation, place.item) not in LEFT_OUT}
        assert theirs.records.keys() == wanted
        for place, vector in theirs.records.items():
            assert vector.dtype == ours.records[place].dtype
            np.testing.assert_array_equal(vector, ours.records[place], err_msg=str(place))
        seen |= {(place.operation, place.item) for place in wanted}
        logits = plain.train(image[None], np.array([label], dtype=np.uint8))
        last = theirs.records[next(place for place in wanted if place.item == "logits")]
        np.testing.assert_array_equal(last, logits[0])
        assert_same(plain.state(), fast.state())
    assert_same(golden.state(), fast.state())
    return seen


def test_traces_are_equal_over_drawn_configs() -> None:
    seen: set[tuple[str, str]] = set()

    @settings(max_examples=60, deadline=None)
    @given(tree=config_trees(), seed=st.integers(0, 2**32 - 1))
    def check(tree: dict[str, Any], seed: int) -> None:
        try:
            config = Config.model_validate(tree)
        except ValidationError as error:
            note(str(error))
            return
        seen.update(assert_equal_traces(config, 2, seed))

    check()
    assert {item for _, item in seen} == set(records.ITEMS)


@pytest.mark.parametrize("preset", ("tiny", "small", "lenet-bl1-um", "lenet-fp", "lenet-k2x4"))
def test_traces_are_equal_on_presets(preset: str) -> None:
    assert_equal_traces(load(preset), 1, seed=len(preset))


def test_numbers_of_operations_and_items_are_those_of_the_source() -> None:
    source = (SOURCE / "recorder.hpp").read_text(encoding="utf-8")
    for name, expected in (("Operation", records.OPERATIONS), ("Item", records.ITEMS)):
        body = re.search(rf"enum class {name} : std::int64_t {{([^}}]*)}}", source)
        assert body is not None
        assert tuple(re.findall(r"\w+", body[1])) == expected


def test_after_a_trace_nothing_is_recorded() -> None:
    """Training between two traces leaves no records in the second."""
    config = load("tiny")
    images, labels = random_images(config, 3, seed=1)
    between, straight = FastMachine(config), GoldenMachine(config)
    between.trace(images[0], int(labels[0]))
    between.train(images[1:2], labels[1:2])
    straight.train(images[:2], labels[:2])
    ours, theirs = straight.trace(images[2], int(labels[2])), between.trace(images[2], int(labels[2]))
    assert all(np.array_equal(vector, ours.records[place]) for place, vector in theirs.records.items())
