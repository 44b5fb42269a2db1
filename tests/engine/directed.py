"""Small networks whose vectors a test chooses, run on the golden model and on the engine: what the tests of rounding and of
limits share.

An input is one row of pixels, and every array of the defaults below passes its sums on exactly: no noise, no bound, and one
LSB of 2**-12 for weights, ADC codes and activations. So the weights of a first layer on one white pixel are the inputs of
the second, and the weights of the second are the errors of the first (`errors_of`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emulator.config import Config
from emulator.engine.machine import FastMachine
from emulator.network.network import GoldenMachine
from emulator.trace import Trace, Vector
from tests.engine.test_equality import assert_same
from tests.engine.test_records import LEFT_OUT

Weights = Mapping[str, NDArray[np.integer]]

WHITE = 255
BLACK = 0
#: Fraction bits of weights, ADC codes and activations below.
FRACTION = 12
ONE = 1 << FRACTION

QUIET: dict[str, Any] = {"noise": 0.0, "bound": "off"}
STILL: dict[str, Any] = {"dw_min_std": 0.0, "dw_min_dtod": 0.0, "up_down_dtod": 0.0, "w_max": "off"}


def array(**changes: Any) -> dict[str, Any]:
    """An array of a config that passes sums on exactly; tables given in ``changes`` extend its tables."""
    tree: dict[str, Any] = {
        "forward": QUIET,
        "backward": QUIET,
        "update": {"desired_bl": 1},
        "converters": {"dac_fraction_bits": FRACTION, "adc_fraction_bits": FRACTION},
        "weight": {"bits": 20, "fraction_bits": FRACTION},
        "device": STILL,
    }
    return tree | {
        name: {**tree.get(name, {}), **value} if isinstance(value, dict) else value for name, value in changes.items()
    }


def network(
    outputs: Sequence[int], arrays: Mapping[str, Any], pixels: int = 1, activation: str = "identity", **further: Any
) -> Config:
    """Fully connected layers L0, L1 ... without bias and with these numbers of outputs, on one row of pixels."""
    layers = {
        f"L{index}": {
            "type": "fully_connected",
            "outputs": count,
            "bias": False,
            "activation": activation if index < len(outputs) - 1 else "softmax",
            "array": arrays,
        }
        for index, count in enumerate(outputs)
    }
    tree = {"classes": outputs[-1], "input": {"height": 1, "width": pixels}, "layers": layers}
    return Config.model_validate(tree | further)


def with_array(config: Config, layer: str, tree: Mapping[str, Any]) -> Config:
    """The config with another array in one layer."""
    layers = config.model_dump()["layers"]
    return Config.model_validate(config.model_dump() | {"layers": layers | {layer: layers[layer] | {"array": tree}}})


def column(*values: int) -> NDArray[np.int32]:
    """Weights of a layer with one input."""
    return np.array(values, dtype=np.int32).reshape(-1, 1)


def both_signs(*values: int) -> tuple[int, ...]:
    return (*values, *(-value for value in values))


def errors_of(*values: int) -> NDArray[np.int32]:
    """Weights of a last layer of two classes whose inputs are zeros: the softmax gives each class 1/2, so an image of
    class 0 has errors of +1/2 and -1/2, and the backward read returns ``values``."""
    return np.array([values, [-value for value in values]], dtype=np.int32)


def run(
    config: Config,
    weights: Weights,
    images: Sequence[Sequence[int]] = ((WHITE,),),
    labels: Sequence[int] = (0,),
    further: Mapping[str, np.ndarray] | None = None,
) -> list[Trace]:
    """The golden model's traces of rows of pixels, after the engine has given the same traces, the same inferences and the
    same state, from an initial state with these weights and these ``further`` arrays."""
    golden, fast = GoldenMachine(config), FastMachine(config)
    state = golden.state()
    for name, values in weights.items():
        assert state[f"{name}.weights"].shape == values.shape
        state[f"{name}.weights"] = values.astype(np.int32)
    state |= further or {}
    golden.load(state)
    fast.load(state)
    traces = []
    for pixels, label in zip(images, labels, strict=True):
        image = np.array(pixels, dtype=np.uint8).reshape(config.input.height, config.input.width)
        ours, theirs = golden.trace(image, label), fast.trace(image, label)
        for place, vector in ours.records.items():
            if (place.operation, place.item) not in LEFT_OUT:
                np.testing.assert_array_equal(theirs.records[place], vector, err_msg=str(place))
        assert_same(golden.state(), fast.state())
        np.testing.assert_array_equal(fast.infer(image[None]), golden.infer(image[None]))
        assert_same(golden.state(), fast.state())
        traces.append(ours)
    return traces


def vectors(traces: Sequence[Trace], layer: str, operation: str, item: str) -> Vector:
    """All records of an item, end to end."""
    found = [
        trace.records[place]
        for trace in traces
        for place in trace.ordered()
        if (place.layer, place.operation, place.item) == (layer, operation, item)
    ]
    return np.concatenate(found)


@contextmanager
def ties_of(*modules: ModuleType) -> Iterator[dict[int, int]]:
    """Within the context, how many values exactly between two integers these golden modules round, by the value's sign."""
    ties = {1: 0, -1: 0}
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            original = vars(module)["round_shift"]

            def counting(value: Any, shift: Any, original: Any = original) -> Any:
                for sign in ties:
                    ties[sign] += int(np.count_nonzero(is_tie(value, shift) & (np.sign(value) == sign)))
                return original(value, shift)

            patch.setattr(module, "round_shift", counting)
        yield ties


def is_tie(value: Any, shift: Any) -> NDArray[np.bool_]:
    """Whether ``value / 2**shift`` lies exactly between two integers."""
    shift = np.asarray(shift, dtype=np.int64)
    inside = (shift > 0) & (shift < 63)
    half = np.left_shift(np.int64(1), np.where(inside, shift - 1, 0))
    return inside & (np.asarray(value, dtype=np.int64) & (2 * half - 1) == half)
