"""The golden machine's trace: what it holds follows from itself by the equations, and tracing changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emulator.config import Config, load
from emulator.errors import MachineError
from emulator.fixed import round_shift
from emulator.machine import Traceable
from emulator.network.network import GoldenMachine
from emulator.trace import BACKWARD_STEPS, FORWARD_STEPS, WHOLE, Place, Trace

SATURATING = ["array.forward.bound=0.15", "array.backward.bound=0.15", "array.update.desired_bl=10"]


def traced_image(config: Config, images: int = 3) -> tuple[GoldenMachine, Trace]:
    """The trace of the last of some images, and the machine after it."""
    generator = np.random.default_rng(1)
    machine = GoldenMachine(config)
    pixels = generator.integers(0, 256, (images, config.input.height, config.input.width)).astype(np.uint8)
    labels = generator.integers(0, config.classes, images).astype(np.uint8)
    machine.train(pixels[:-1], labels[:-1])
    return machine, machine.trace(pixels[-1], int(labels[-1]))


def vectors(trace: Trace, layer: str, operation: str, item: str) -> dict[tuple[int, int], Any]:
    """Records of an item by position and attempt."""
    return {
        (place.position, place.attempt): vector
        for place, vector in trace.records.items()
        if (place.layer, place.operation, place.item) == (layer, operation, item)
    }


@pytest.mark.parametrize(
    "assignments",
    [[], SATURATING, ["array.update.mode=exact"], [*SATURATING, "array.replication=3"]],
    ids=["default", "saturating", "exact", "replicated"],
)
def test_tracing_changes_no_bit_and_leaves_nothing_behind(assignments: list[str]) -> None:
    config = load("tiny", assignments)
    generator = np.random.default_rng(2)
    images = generator.integers(0, 256, (4, 6, 6)).astype(np.uint8)
    labels = generator.integers(0, 10, 4).astype(np.uint8)
    plain, machine = GoldenMachine(config), GoldenMachine(config)
    before = [
        vars(part).keys() for part in (machine.stages[0], machine.stages[0].tile, machine.stages[0].tile.crossbar)
    ]
    logits = plain.train(images, labels)
    for k in range(3):
        trace = machine.trace(images[k], int(labels[k]))
        np.testing.assert_array_equal(trace.records[Place("W3", "forward", WHOLE, 0, "logits")], logits[k])
    machine.train(images[3:], labels[3:])
    for name, values in plain.state().items():
        np.testing.assert_array_equal(machine.state()[name], values, err_msg=name)
    parts = (machine.stages[0], machine.stages[0].tile, machine.stages[0].tile.crossbar)
    assert [vars(part).keys() for part in parts] == before


def test_every_item_is_there() -> None:
    _, trace = traced_image(load("tiny", SATURATING))
    wanted = {
        (step.operation, item) for step in (*FORWARD_STEPS, *BACKWARD_STEPS) for part in step.parts for item in part
    }
    assert {(place.operation, place.item) for place in trace.records} == wanted
    assert isinstance(GoldenMachine(load("tiny")), Traceable)


def test_an_exact_update_has_operands_and_weights_alone() -> None:
    machine, trace = traced_image(load("tiny", ["array.update.mode=exact"]))
    items = {place.item for place in trace.records if place.operation == "update"}
    assert items == {"x", "delta", "weights", "row_pulse", "column_pulse", "row_noise", "column_noise"}
    for stage in machine.stages:
        name = stage.stage.name
        weights = trace.records[Place(name, "update", WHOLE, 0, "weights")]
        np.testing.assert_array_equal(weights, machine.state()[f"{name}.weights"].ravel())


@pytest.mark.parametrize("copies", (1, 3))
@pytest.mark.parametrize("layer", ("K1", "W2", "W3"))
def test_reads_follow_from_what_is_recorded(layer: str, copies: int) -> None:
    """DAC codes from vector, multiplier, shift and attempt; results from the accepted ADC codes and the scale."""
    machine, trace = traced_image(load("tiny", [*SATURATING, f"array.replication={copies}"]))
    stage = next(model.stage for model in machine.stages if model.stage.name == layer)
    repeats = 0
    for operation, source, result in (("forward", "x", "y"), ("backward", "delta", "z")):
        if (layer, operation) == ("K1", "backward"):
            assert not vectors(trace, layer, operation, "adc")
            continue
        given = {item: vectors(trace, layer, operation, item) for item in (source, "multiplier", "shift", "scale")}
        dac, adc, saturated = (vectors(trace, layer, operation, item) for item in ("dac", "adc", "saturated"))
        driven_copies = copies if stage.replicate_rows == (operation == "backward") else 1
        for position, attempt in dac:
            vector, multiplier, shift, scale = (given[item][position, 0] for item in given)
            code = np.clip(round_shift(vector * multiplier, shift + attempt), -512, 512)
            np.testing.assert_array_equal(dac[position, attempt], np.tile(code, driven_copies))
            limit = (stage.forward if operation == "forward" else stage.backward).limit
            np.testing.assert_array_equal(saturated[position, attempt], abs(adc[position, attempt]) == limit)
            if (position, attempt + 1) in dac:
                assert saturated[position, attempt].any()
                repeats += 1
            elif copies == 1:
                output = (adc[position, attempt] << attempt) * scale
                np.testing.assert_array_equal(vectors(trace, layer, operation, result)[position, 0], output)
        assert {position for position, _ in dac} == set(range(stage.positions))
    assert repeats > 0


@pytest.mark.parametrize("copies", (1, 3))
def test_updates_follow_from_what_is_recorded(copies: int) -> None:
    """Coincidences from the trains, and the last weight of every device from the cycles."""
    config = load("tiny", [*SATURATING, f"array.replication={copies}"])
    generator = np.random.default_rng(1)
    machine = GoldenMachine(config)
    before = machine.state()
    trace = machine.trace(generator.integers(0, 256, (6, 6)).astype(np.uint8), 3)
    after = machine.state()
    for stage in config.stages:
        name = stage.name
        rows, columns, devices, counts, values = (
            vectors(trace, name, "update", item)
            for item in ("row_pulses", "column_pulses", "device", "coincidences", "weight")
        )
        weights = before[f"{name}.weights"].ravel().copy()
        total = 0
        for cycle in range(stage.positions):
            expected = {
                row * stage.physical_columns + column: (int(one) & int(other)).bit_count()
                for row, one in enumerate(rows[cycle, 0])
                for column, other in enumerate(columns[cycle, 0])
                if int(one) & int(other)
            }
            assert dict(zip(devices[cycle, 0].tolist(), counts[cycle, 0].tolist(), strict=True)) == expected
            assert devices[cycle, 0].tolist() == sorted(expected)
            weights[devices[cycle, 0]] = values[cycle, 0]
            total += sum(expected.values())
        np.testing.assert_array_equal(weights, after[f"{name}.weights"].ravel())
        assert total == after[f"{name}.counters"][9] > 0


def test_an_image_of_another_shape_is_refused() -> None:
    with pytest.raises(MachineError, match="images are"):
        GoldenMachine(load("tiny")).trace(np.zeros((5, 6), dtype=np.uint8), 0)


def test_what_was_wrapped_before_stays_wrapped() -> None:
    machine = GoldenMachine(load("tiny"))
    tile = machine.stages[1].tile
    calls: list[int] = []

    def counted(x: Any) -> Any:
        calls.append(len(x))
        return type(tile).forward(tile, x)

    tile.forward = counted  # type: ignore[method-assign]
    for _ in range(2):
        machine.trace(np.zeros((6, 6), dtype=np.uint8), 0)
    assert calls == [1, 1]
    assert vars(tile)["forward"] is counted
