"""The golden machine: its gradients against float64 backpropagation, and the machine protocol."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emulator.config import Config, load
from emulator.errors import MachineError, StateError
from emulator.machine import COUNTERS, State
from emulator.network.network import GoldenMachine, pixels_to_activations

#: No noise, no bounds, the finest converters and words: what is left is rounding.
FINE = (
    "learning_rate=1",
    "formats.activation_fraction_bits=14",
    "array.converters.dac_fraction_bits=off",
    "array.converters.adc_fraction_bits=off",
    "array.weight.bits=27",
    "array.weight.fraction_bits=24",
    "array.forward.noise=0",
    "array.forward.bound=off",
    "array.backward.noise=0",
    "array.backward.bound=off",
    "array.update.mode=exact",
    "array.device.w_max=off",
)
LAYERS = ("K1", "W2", "W3")

Gradients = dict[str, NDArray[np.float64]]


def draw_images(config: Config, count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, config.input.height, config.input.width), dtype=np.uint8)
    return images, generator.integers(0, config.classes, count, dtype=np.uint8)


def real_weights(state: State) -> Gradients:
    return {name: state[f"{name}.weights"] * 2.0**-24 for name in LAYERS}


def backpropagate(weights: Gradients, image: NDArray[np.uint8], label: int) -> tuple[NDArray[np.float64], Gradients]:
    """The network of the preset ``tiny`` in plain float64: logits, and minus the gradient of the loss.

    3 x 3 convolution to 4 x 4 x 3, tanh, 2 x 2 maxima, 12 inputs to 5 outputs, tanh, 10 outputs, softmax.
    """
    pixels = image / 255.0
    patches = np.array([[*pixels[y : y + 3, x : x + 3].ravel(), 1.0] for y in range(4) for x in range(4)])
    hidden = np.tanh(patches @ weights["K1"].T).reshape(4, 4, 3)
    pooled = np.array([[hidden[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].max(axis=(0, 1)) for x in (0, 1)] for y in (0, 1)])
    first = np.append(pooled.ravel(), 1.0)
    second = np.append(np.tanh(weights["W2"] @ first), 1.0)
    logits = weights["W3"] @ second
    powers = np.exp(logits - logits.max())

    delta_3 = np.eye(10)[label] - powers / powers.sum()
    delta_2 = (weights["W3"].T @ delta_3)[:5] * (1 - second[:5] ** 2)
    error = (weights["W2"].T @ delta_2)[:12].reshape(2, 2, 3)
    delta_1 = np.zeros((4, 4, 3))
    for y, x, k in np.ndindex(4, 4, 3):
        if hidden[y, x, k] == pooled[y // 2, x // 2, k]:
            delta_1[y, x, k] = error[y // 2, x // 2, k] * (1 - hidden[y, x, k] ** 2)
    gradients = {
        "K1": delta_1.reshape(16, 3).T @ patches,
        "W2": np.outer(delta_2, first),
        "W3": np.outer(delta_3, second),
    }
    return logits, gradients


@pytest.mark.parametrize("mode", ("exact", "power_of_two"))
@pytest.mark.parametrize("seed", range(8))
def test_gradients_equal_float64_backpropagation(mode: str, seed: int) -> None:
    """Logits within 2**-12, and every change of a weight within 2**-10 of the largest of its layer.

    Every word on the way is rounded to 2**-15, absolutely (activations, outputs) or relative to the largest of its
    vector (errors, their backward sums). A logit sums 6 rounded activations with weights below 1, hence less than 8
    such errors; a change of K1 has come through two backward reads, three slopes and 4 positions: less than 32.
    """
    config = load("tiny", [*FINE, f"array.backward.noise_management={mode}"], seed=seed)
    machine = GoldenMachine(config)
    images, labels = draw_images(config, 1, seed)
    before = machine.state()
    logits = machine.train(images, labels)[0] * 2.0**-14
    weights, after = real_weights(before), real_weights(machine.state())
    expected, gradients = backpropagate(weights, images[0], int(labels[0]))
    assert np.abs(logits - expected).max() < 2.0**-12
    for name, gradient in gradients.items():
        largest = np.abs(gradient).max()
        assert np.abs(after[name] - weights[name] - gradient).max() < largest * 2.0**-10, name


def test_training_descends() -> None:
    """A hundred rounds of four images with exact updates: the loss falls and all four are learnt."""
    config = load("tiny", [*FINE, "learning_rate=0.1", "array.backward.noise_management=exact"])
    machine = GoldenMachine(config)
    images, _ = draw_images(config, 4, seed=1)
    labels = np.array([3, 1, 4, 5], dtype=np.uint8)
    first = machine.train(images, labels)
    for _ in range(100):
        machine.train(images, labels)
    last = machine.infer(images)
    assert last.argmax(axis=1).tolist() == labels.tolist()
    assert first.argmax(axis=1).tolist() != labels.tolist()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 255), st.integers(2, 14))
def test_pixels_become_activations(pixel: int, fraction: int) -> None:
    """pixel / 255, rounded."""
    activation = int(pixels_to_activations(np.array([[pixel]], dtype=np.uint8), fraction)[0, 0, 0])
    assert abs(activation - Fraction(pixel * 2**fraction, 255)) <= Fraction(1, 2)


def test_black_and_white_are_zero_and_one() -> None:
    volume = pixels_to_activations(np.array([[0, 255]], dtype=np.uint8), 12)
    assert volume.tolist() == [[[0], [1 << 12]]]


def assert_same(one: State, other: State) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 8), max_size=3).map(sorted))
def test_training_does_not_depend_on_how_calls_are_split(cuts: list[int]) -> None:
    config = load("tiny")
    images, labels = draw_images(config, 8, seed=2)
    together, apart = GoldenMachine(config), GoldenMachine(config)
    logits = [apart.train(images[a:b], labels[a:b]) for a, b in zip([0, *cuts], [*cuts, 8], strict=True)]
    np.testing.assert_array_equal(together.train(images, labels), np.concatenate(logits))
    assert_same(together.state(), apart.state())


def test_state_goes_round() -> None:
    """A machine loaded with a state goes on from it; the state is a copy, and loading it again goes back."""
    config = load("tiny")
    images, labels = draw_images(config, 6, seed=3)
    machine, other = GoldenMachine(config), GoldenMachine(config)
    machine.train(images[:3], labels[:3])
    state = machine.state()
    other.load(state)
    logits = machine.train(images[3:], labels[3:])
    np.testing.assert_array_equal(other.train(images[3:], labels[3:]), logits)
    assert_same(machine.state(), other.state())
    machine.load(state)
    np.testing.assert_array_equal(machine.train(images[3:], labels[3:]), logits)
    assert_same(machine.state(), other.state())


def test_a_state_holds_weights_generators_and_counters_of_every_layer() -> None:
    config = load("tiny", ["array.replication=2", "array.update.generator_sharing=3"])
    state = GoldenMachine(config).state()
    for stage in config.stages:
        shapes = {
            "weights": (np.int32, (stage.physical_rows, stage.physical_columns)),
            "row_pulse": (np.uint64, (-(-stage.physical_rows // 3),)),
            "column_pulse": (np.uint64, (-(-stage.physical_columns // 3),)),
            "row_noise": (np.uint64, (stage.physical_rows,)),
            "column_noise": (np.uint64, (stage.physical_columns,)),
            "counters": (np.int64, (len(COUNTERS),)),
        }
        for what, expected in shapes.items():
            values = state.pop(f"{stage.name}.{what}")
            assert (values.dtype, values.shape) == expected
    assert not state


def test_no_two_generators_start_alike() -> None:
    """Rows and columns, pulses and noise, all layers: equal seeds would make their streams equal."""
    state = GoldenMachine(load("lenet")).state()
    states = np.concatenate([values for name, values in state.items() if values.dtype == np.uint64])
    assert len(np.unique(states)) == len(states) > 2000


def test_seeds_give_different_machines() -> None:
    one, other = (GoldenMachine(load("tiny", seed=seed)).state() for seed in (1, 2))
    for name, values in one.items():
        if not name.endswith("counters"):
            assert (values != other[name]).mean() > 0.9, name


def test_inference_draws_noise_and_counts_but_learns_nothing() -> None:
    config = load("tiny")
    images, _ = draw_images(config, 2, seed=4)
    machine = GoldenMachine(config)
    before = machine.state()
    machine.infer(images)
    changed = {name for name, values in machine.state().items() if (values != before[name]).any()}
    assert changed == {f"{layer}.{what}" for layer in LAYERS for what in ("row_noise", "counters")}


def test_the_first_array_is_never_read_backward() -> None:
    config = load("tiny")
    machine = GoldenMachine(config)
    machine.train(*draw_images(config, 2, seed=5))
    backward = COUNTERS.index("backward_reads")
    assert machine.state()["K1.counters"][backward] == 0
    assert machine.state()["W2.counters"][backward] >= 2


def test_no_images_are_no_work() -> None:
    config = load("tiny")
    machine = GoldenMachine(config)
    before = machine.state()
    images, labels = draw_images(config, 0, seed=6)
    assert machine.train(images, labels).shape == machine.infer(images).shape == (0, 10)
    assert_same(before, machine.state())


def test_a_state_that_does_not_fit_is_refused() -> None:
    machine = GoldenMachine(load("tiny"))
    state = machine.state()
    without = {name: values for name, values in state.items() if name != "W2.weights"}
    for wrong, message in (
        (without, "'W2.weights': missing"),
        ({**state, "W9.weights": state["W2.weights"]}, "'W9.weights': foreign"),
        ({**state, "W2.weights": state["W2.weights"].astype(np.int64)}, "int64"),
        ({**state, "W2.weights": state["W2.weights"][:-1]}, r"\[4, 13\]"),
    ):
        with pytest.raises(MachineError, match=message):
            machine.load(wrong)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("K1.weights", 1 << 17, "'K1.weights'[0, 0] = 131072: accepted: -"),
        ("W2.weights", -(1 << 31), "'W2.weights'[0, 0] = -2147483648: accepted: -"),
        ("K1.row_pulse", 0, "'K1.row_pulse'[0] = 0: accepted: 1 to 18446744073709551615"),
        ("W3.column_noise", 0, "'W3.column_noise'[0] = 0: accepted: 1 to"),
        ("W3.counters", -1, "'W3.counters'[0] = -1: accepted: 0 to 9223372036854775807"),
    ],
)
def test_a_state_that_no_training_leads_to_is_refused(name: str, value: int, said: str) -> None:
    machine = GoldenMachine(load("tiny"))
    before = machine.state()
    state = {**before, name: before[name].copy()}
    state[name].flat[0] = value
    with pytest.raises(StateError, match=f"state {re.escape(said)}"):
        machine.load(state)
    assert_same(before, machine.state())


def test_a_generator_is_no_wider_than_its_register() -> None:
    machine = GoldenMachine(load("tiny", ["generator.width=32"]))
    state = machine.state()
    state["K1.row_pulse"][0] = 1 << 32
    with pytest.raises(StateError, match=r"= 4294967296: accepted: 1 to 4294967295"):
        machine.load(state)


def test_images_and_labels_that_do_not_fit_are_refused() -> None:
    config = load("tiny")
    machine = GoldenMachine(config)
    images, labels = draw_images(config, 2, seed=7)
    for wrong_images, wrong_labels, message in (
        (images[:, :5], labels, r"\[2, 5, 6\].*accepted: uint8\[n, 6, 6\]"),
        (images.astype(np.float64), labels, "float64"),
        (images[0], labels, r"uint8\[6, 6\]"),
        (images, labels[:1], r"labels are uint8\[1\]: accepted: uint8\[2\]"),
        (images, labels.astype(np.int64), "int64"),
        (images, np.array([3, 10], dtype=np.uint8), "label 10: accepted: 0 .. 9"),
    ):
        with pytest.raises(MachineError, match=message):
            machine.train(wrong_images, wrong_labels)
