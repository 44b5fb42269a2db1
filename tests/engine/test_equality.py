"""The compiled engine returns the golden model's bits: every weight, generator state, counter and logit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from emulator.array.devices import DEVICE_MODELS
from emulator.config import Config, load, preset_names
from emulator.engine.machine import FastMachine
from emulator.fixed import STEP_BITS, step_fraction_bits
from emulator.machine import COUNTERS, State
from emulator.network.network import GoldenMachine

Images = NDArray[np.uint8]

MANAGEMENT = ("none", "exact", "power_of_two")
#: Of the drawn configs, at least this part must pass the schema's cross-field validation.
VALID_SHARE = 0.8


def converter_bits() -> st.SearchStrategy[int | str]:
    return st.one_of(st.integers(1, 14), st.just("off"), st.sampled_from((7, 9)))


@st.composite
def read_trees(draw: st.DrawFn) -> dict[str, Any]:
    """One direction of reading. Small bounds saturate often, so that bound management repeats in earnest."""
    return {
        "noise": draw(st.sampled_from((0.0, 0.06, 0.5, 4.0))),
        "bound": draw(st.sampled_from(("off", 12.0, 1024.0, 1.0, 0.3, 0.05, 0.001))),
        "noise_management": draw(st.sampled_from((*MANAGEMENT, "constant"))),
        "constant_exponent": draw(st.integers(-8, 24)),
        "bound_management": draw(st.integers(0, 12)),
    }


@st.composite
def array_trees(draw: st.DrawFn) -> dict[str, Any]:
    bits = draw(st.integers(4, 30))
    fraction_bits = draw(st.integers(max(2, bits - 4), min(28, bits + 2)))
    mode = draw(st.sampled_from(("pulsed", "pulsed", "pulsed", "exact")))
    if mode == "exact":
        fraction_bits = min(fraction_bits, 17)  # what the largest learning rate drawn here allows
    # Rounded to nearest, a step below half an LSB is refused.
    rounding = draw(st.sampled_from(("stochastic", "nearest"))) if fraction_bits > 4 else "stochastic"
    finest_step = 2.0 ** -(step_fraction_bits(fraction_bits) if rounding == "stochastic" else fraction_bits + 1)
    return {
        "replication": draw(st.sampled_from((1, 1, 2, 3, 4, 7))),
        "forward": draw(read_trees()),
        "backward": draw(read_trees()),
        "update": {
            "mode": mode,
            "desired_bl": draw(st.one_of(st.sampled_from((1, 1, 2, 3, 10, 63)), st.integers(1, 63))),
            "management": draw(st.sampled_from(MANAGEMENT)),
            "probability_bits": draw(st.integers(2, 24)),
            "generator_sharing": draw(st.sampled_from((1, 1, 2, 3, 5, 24))),
        },
        "converters": {"dac_fraction_bits": draw(converter_bits()), "adc_fraction_bits": draw(converter_bits())},
        "weight": {
            "bits": bits,
            "fraction_bits": fraction_bits,
            "initial_range": draw(st.sampled_from((0.0, 1.0, 8.0))),
            "rounding": rounding,
        },
        "device": {
            "dw_min": draw(st.floats(finest_step, max(finest_step, min(0.05, finest_step * 2**STEP_BITS)))),
            "dw_min_std": draw(st.sampled_from((0.0, 0.3, 2.0))),
            "dw_min_dtod": draw(st.sampled_from((0.0, 0.3, 1.0))),
            "up_down_dtod": draw(st.sampled_from((0.0, 0.02, 0.5))),
            "w_max": draw(st.sampled_from(("off", 0.6, 0.05, 8.0))),
            "w_max_dtod": draw(st.sampled_from((0.0, 0.3, 1.0))),
        },
    }


@st.composite
def config_trees(draw: st.DrawFn) -> dict[str, Any]:
    """A network of up to two convolutions, with or without pooling, and up to three fully connected layers."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    activation_bits = draw(st.integers(4, 16))
    classes = draw(st.integers(2, 12))
    common = draw(array_trees())
    arrays = st.one_of(st.just(common), array_trees())
    layers: dict[str, Any] = {}
    rest = (height, width)
    for index in range(draw(st.integers(0, 2))):
        kernel = draw(st.integers(1, min(4, *rest)))
        layers[f"K{index}"] = {
            "type": "convolution",
            "kernel": kernel,
            "outputs": draw(st.integers(1, 9)),
            "bias": draw(st.booleans()),
            "activation": draw(st.sampled_from(("tanh", "identity"))),
            "array": draw(arrays),
        }
        rest = (rest[0] - kernel + 1, rest[1] - kernel + 1)
        if min(rest) >= 2 and draw(st.booleans()):
            layers[f"P{index}"] = {"type": "max_pooling"}
            rest = (rest[0] // 2, rest[1] // 2)
    for index in range(draw(st.integers(0, 2))):
        layers[f"H{index}"] = {
            "type": "fully_connected",
            "outputs": draw(st.one_of(st.integers(1, 20), st.sampled_from((33, 70)))),
            "bias": draw(st.booleans()),
            "activation": draw(st.sampled_from(("tanh", "identity"))),
            "array": draw(arrays),
        }
    layers["W"] = {
        "type": "fully_connected",
        "outputs": classes,
        "bias": draw(st.booleans()),
        "activation": "softmax",
        "array": draw(arrays),
    }
    return {
        "seed": draw(st.integers(0, 2**63 - 1)),
        "learning_rate": draw(st.sampled_from((0.001, 0.01, 0.1, 1.0))),
        "classes": classes,
        "input": {"height": height, "width": width},
        "formats": {
            "activation_bits": activation_bits,
            "activation_fraction_bits": draw(st.integers(2, activation_bits - 2)),
            "error_bits": draw(st.integers(4, 16)),
        },
        "generator": {"width": draw(st.sampled_from((32, 48, 64)))},
        "layers": layers,
    }


def random_images(config: Config, count: int, seed: int) -> tuple[Images, NDArray[np.uint8]]:
    """Images like digits (mostly black, some strokes at full white), and labels."""
    generator = np.random.default_rng(seed)
    shape = (count, config.input.height, config.input.width)
    images = generator.integers(0, 256, shape) * (generator.random(shape) < 0.4)
    images = np.where(generator.random(shape) < 0.1, 255, images)
    return images.astype(np.uint8), generator.integers(0, config.classes, count).astype(np.uint8)


def assert_same(golden: State, fast: State) -> None:
    """Equal names, types and bits."""
    assert golden.keys() == fast.keys()
    for name, values in golden.items():
        assert values.dtype == fast[name].dtype, name
        np.testing.assert_array_equal(fast[name], values, err_msg=name)


def assert_equal_machines(config: Config, images: Images, labels: NDArray[np.uint8], swap_after: int) -> State:
    """Both machines train the images; after ``swap_after`` of them each goes on from the other's state, and at last
    both run the images through without training. Returns the final state."""
    golden, fast = GoldenMachine(config), FastMachine(config)
    assert_same(golden.state(), fast.state())
    for part in (slice(0, swap_after), slice(swap_after, len(images))):
        logits = golden.train(images[part], labels[part])
        np.testing.assert_array_equal(fast.train(images[part], labels[part]), logits, err_msg="logits of training")
        state, other = golden.state(), fast.state()
        assert_same(state, other)
        golden.load(other)
        fast.load(state)
    np.testing.assert_array_equal(fast.infer(images), golden.infer(images), err_msg="logits of inference")
    assert_same(golden.state(), fast.state())
    return golden.state()


def test_golden_equals_fast_over_drawn_configs() -> None:
    """Over drawn networks and arrays, of which most must be valid and which together must count everything."""
    drawn = valid = 0
    totals = np.zeros(len(COUNTERS), dtype=np.int64)

    @settings(max_examples=250, deadline=None)
    @given(tree=config_trees(), count=st.integers(2, 3), seed=st.integers(0, 2**32 - 1))
    def check(tree: dict[str, Any], count: int, seed: int) -> None:
        nonlocal drawn, valid, totals
        drawn += 1
        try:
            config = Config.model_validate(tree)
        except ValidationError as error:
            note(str(error))
            return
        valid += 1
        state = assert_equal_machines(config, *random_images(config, count, seed), swap_after=1)
        totals += sum(values for name, values in state.items() if name.endswith(".counters"))

    check()
    assert valid > VALID_SHARE * drawn
    assert (totals > 0).all(), dict(zip(COUNTERS, totals, strict=True))


@pytest.mark.parametrize("preset", preset_names())
def test_golden_equals_fast_on_presets(preset: str) -> None:
    config = load(preset)
    images, labels = random_images(config, 1, seed=len(preset))
    assert_equal_machines(config, images, labels, swap_after=1)


@pytest.mark.parametrize("model", DEVICE_MODELS)
def test_golden_equals_fast_with_every_device_model(model: str) -> None:
    """The model's NumPy and its C++, where weights reach their bounds within a few images."""
    device = ("model=" + model, "dw_min=0.1", "dw_min_std=1")
    assignments = [f"array.device.{assignment}" for assignment in device]
    config = load("tiny", [*assignments, "array.update.desired_bl=10", "learning_rate=1"])
    assert_equal_machines(config, *random_images(config, 8, seed=1), swap_after=4)


def assert_equal_from(config: Config, weights: dict[str, NDArray[np.int32]], labels: list[int]) -> State:
    """Both machines train white images from an initial state with these weights. Returns the final state."""
    golden, fast = GoldenMachine(config), FastMachine(config)
    state = golden.state() | {f"{name}.weights": values for name, values in weights.items()}
    golden.load(state)
    fast.load(state)
    images = np.full((len(labels), config.input.height, config.input.width), 255, dtype=np.uint8)
    classes = np.array(labels, dtype=np.uint8)
    np.testing.assert_array_equal(fast.train(images, classes), golden.train(images, classes))
    assert_same(golden.state(), fast.state())
    return golden.state()


NOISELESS: dict[str, Any] = {"noise": 0.0, "bound": "off", "noise_management": "exact"}


@pytest.mark.parametrize("fraction", (4, 7, 14))
def test_golden_equals_fast_at_the_ends_of_the_exponential(fraction: int) -> None:
    """Logits at every distance around the range of 16, chosen through the weights of the bias line. The label's is the
    largest, so that the errors are those few LSBs, which an exact update at a rate of 1 shows in the weights."""
    array = {
        "forward": NOISELESS,
        "update": {"mode": "exact"},
        "converters": {"adc_fraction_bits": fraction},
        "weight": {"bits": 30, "fraction_bits": 24},
        "device": {"w_max": "off"},
    }
    distances = np.array([0, *range((16 << fraction) - 50, (16 << fraction) + 50)])
    layer = {"type": "fully_connected", "outputs": len(distances), "activation": "softmax", "array": array}
    tree = {"classes": len(distances), "input": {"height": 1, "width": 1}, "learning_rate": 1.0, "layers": {"W": layer}}
    weights = np.zeros((len(distances), 2), dtype=np.int32)
    weights[:, 1] = -distances << (24 - fraction)
    state = assert_equal_from(Config.model_validate(tree), {"W": weights}, [0])
    moved = (state["W.weights"] != weights).any(axis=1)
    assert moved[distances < 16 << fraction].all()
    assert not moved[distances >= 16 << fraction].any()


def test_golden_equals_fast_on_vanishing_errors() -> None:
    """Errors of a hidden layer of a few 2**-40, the LSB at the largest shared exponent, so that their rounding decides
    how often rows fire. Each backward read ends at 2**-14 of its largest input: errors of 2**-23 become 2**-37 through
    the weights of the last layer, which are as small, and then 2**-40 through ordinary ones."""
    array = {
        "forward": NOISELESS,
        "backward": NOISELESS,
        "update": {"desired_bl": 10, "management": "exact"},
        "converters": {"adc_fraction_bits": "off"},
        "weight": {"bits": 30, "fraction_bits": 24},
        "device": {"dw_min": 2.0**-28, "w_max": "off"},
    }
    hidden, classes = 70, 2
    full = {"type": "fully_connected", "activation": "identity", "bias": False, "array": array}
    tree = {
        "classes": classes,
        "learning_rate": 1.0,
        "input": {"height": 1, "width": 1},
        "layers": {
            "H": {**full, "outputs": hidden},
            "I": {**full, "outputs": 5},
            "W": {**full, "outputs": classes, "activation": "softmax", "bias": True},
        },
    }
    generator = np.random.default_rng(1)
    weights = {
        "H": np.zeros((hidden, 1), dtype=np.int32),
        "I": generator.integers(-(1 << 22), 1 << 22, (5, hidden)).astype(np.int32),
        "W": generator.integers(-(1 << 11), 1 << 11, (classes, 6)).astype(np.int32),
    }
    weights["W"][:, -1] = [0, -16 << 24]
    weights["W"][1, -1] += 1 << 21  # the second logit is 15.875 below the first: an error of 2**-23
    state = assert_equal_from(Config.model_validate(tree), weights, [0] * 60)
    assert state["H.counters"][COUNTERS.index("row_pulses")] > 100
