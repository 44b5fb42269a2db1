"""The float64 reference against the equations written out, and its state."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from emulator.config import load
from emulator.errors import DivergenceError, MachineError, StateError
from emulator.machine import build_machine
from emulator.reference import ReferenceMachine

IDEAL = [
    "array.forward.noise=0",
    "array.backward.noise=0",
    "array.forward.bound=off",
    "array.backward.bound=off",
    "array.device.w_max=off",
    "array.update.mode=exact",
]


def images(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    return (
        random.integers(0, 256, (count, size, size), dtype=np.uint8),
        random.integers(0, 10, count).astype(np.uint8),
    )


def loss(machine: ReferenceMachine, image: np.ndarray, label: int) -> float:
    logits = machine.infer(image[None])[0]
    return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label])


@pytest.mark.parametrize("layer", ["K1", "W2", "W3"])
def test_ideal_update_is_gradient_descent(layer: str) -> None:
    """Without noise and bounds an exact update moves every weight by -eta times the loss's numerical derivative."""
    config = load("tiny", IDEAL)
    (image,), (label,) = images(1, 6)
    machine = ReferenceMachine(config)
    before = machine.state()
    machine.train(image[None], np.array([label]))
    change = machine.state()[f"{layer}.weights"] - before[f"{layer}.weights"]
    step = 1e-6
    for index in list(np.ndindex(change.shape))[::3]:
        losses = []
        for sign in (1, -1):
            moved = {name: values.copy() for name, values in before.items()}
            moved[f"{layer}.weights"][index] += sign * step
            machine.load(moved)
            losses.append(loss(machine, image, int(label)))
        derivative = (losses[0] - losses[1]) / (2 * step)
        assert change[index] == pytest.approx(-config.learning_rate * derivative, rel=1e-3, abs=1e-9)


def test_pulsed_update_has_the_mean_of_the_exact_one() -> None:
    """Over many repetitions from one state, the mean pulsed change is eta delta x^T within five standard errors."""
    device = ["array.device.dw_min_dtod=0", "array.device.up_down_dtod=0", "array.update.desired_bl=20"]
    exact, pulsed = (
        ReferenceMachine(load("tiny", [*IDEAL[:5], *device, f"array.update.mode={mode}"]))
        for mode in ("exact", "pulsed")
    )
    start = exact.state()
    image, label = images(1, 6)
    exact.train(image, label)
    expected = exact.state()["W2.weights"] - start["W2.weights"]
    changes = []
    for _ in range(400):
        state = pulsed.state()
        state.update({name: values for name, values in start.items() if name != "random"})
        pulsed.load(state)
        pulsed.train(image, label)
        changes.append(pulsed.state()["W2.weights"] - start["W2.weights"])
    # A weight too rarely moved to show a spread may be off by a few single steps.
    one_step = 0.001 / len(changes)
    error = np.std(changes, axis=0) / np.sqrt(len(changes)) + one_step
    assert np.all(np.abs(np.mean(changes, axis=0) - expected) < 5 * error)
    assert np.abs(expected).max() > 10 * np.median(error)


def test_bound_management_recovers_large_outputs() -> None:
    """Outputs beyond the bound come back scaled; without management they are cut at it."""
    for limit, largest in ((6, 6.0), (0, 0.01)):
        config = load(
            "tiny", ["array.forward.bound=0.01", "array.forward.noise=0", f"array.forward.bound_management={limit}"]
        )
        logits = ReferenceMachine(config).infer(images(4, 6)[0])
        assert np.abs(logits).max() <= largest
        assert (np.abs(logits).max() > 0.01) == (limit > 0)


def test_batching_and_resuming_change_nothing() -> None:
    config = load("tiny")
    pictures, labels = images(12, 6)
    whole, parts = build_machine("reference", config), build_machine("reference", config)
    whole.train(pictures, labels)
    parts.train(pictures[:5], labels[:5])
    resumed = build_machine("reference", config)
    resumed.load(parts.state())
    resumed.train(pictures[5:], labels[5:])
    for name, values in whole.state().items():
        assert np.array_equal(values, resumed.state()[name]), name


def test_foreign_state_is_refused() -> None:
    machine = build_machine("reference", load("tiny"))
    with pytest.raises(MachineError, match=r"K1\.weights"):
        machine.load({name: values for name, values in machine.state().items() if name != "K1.weights"})


def test_weights_that_are_no_longer_finite_are_told_with_the_image_and_without_a_warning() -> None:
    config = load("tiny", [*IDEAL, "learning_rate=1", "layers.K1.activation=identity", "layers.W2.activation=identity"])
    machine = ReferenceMachine(config)
    pictures, labels = images(3, 6)
    machine.train(pictures, labels)
    state = machine.state()
    state["W3.weights"] *= 1e200
    state["W2.weights"] *= 1e200
    machine.load(state)
    said = "weights are no longer finite after image 1 of this call: learning_rate = 1; accepted: a smaller one"
    with warnings.catch_warnings(), pytest.raises(DivergenceError, match=said) as caught:
        warnings.simplefilter("error")
        machine.infer(pictures)
        machine.train(pictures, labels)
    assert caught.value.image == 0 and caught.value.layer in {"K1", "W2", "W3"}


@pytest.mark.parametrize(
    ("name", "index", "value", "said"),
    [
        ("K1.weights", 0, np.nan, "= nan: accepted: -"),
        ("K1.weights", 0, np.inf, "= inf: accepted: -"),
        ("K1.weights", 0, 50.0, "= 50.0: accepted: -"),
        ("random", 3, 2, "= 2: accepted: an odd number"),
        ("random", 4, 2, "= 2: accepted: 0 to 1"),
        ("random", 5, 1 << 32, "= 4294967296: accepted: 0 to 4294967295"),
    ],
)
def test_a_state_that_no_training_leads_to_is_refused(name: str, index: int, value: Any, said: str) -> None:
    machine = ReferenceMachine(load("tiny"))
    before = machine.state()
    state = {**before, name: before[name].copy()}
    state[name].flat[index] = value
    with pytest.raises(StateError, match=said):
        machine.load(state)
    assert all(np.array_equal(values, before[name]) for name, values in machine.state().items())


def test_weights_without_bounds_may_be_anything_finite() -> None:
    machine = ReferenceMachine(load("tiny", IDEAL))
    state = machine.state()
    state["K1.weights"][0, 0] = np.finfo(np.float64).max
    machine.load(state)
    state["K1.weights"][0, 0] = -np.inf
    with pytest.raises(StateError, match=r"'K1.weights'\[0, 0\] = -inf"):
        machine.load(state)
