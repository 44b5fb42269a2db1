"""Devices: how their parameters scatter over an array, and how coincidences move a weight."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.array.crossbar import Crossbar
from emulator.array.devices import DEVICE_MODELS, Device
from emulator.array.devices.constant_step import ConstantStep
from emulator.config import Stage, load
from emulator.fixed import (
    CYCLE_FRACTION_BITS,
    GAUSSIAN_DEVIATION,
    LARGEST_GAUSSIAN,
    RATIO_FRACTION_BITS,
    WORD_BITS,
    round_shift,
    round_stochastically,
    step_fraction_bits,
)

FRACTION_BITS = 17
WEIGHT_LIMIT = (1 << 17) - 1
HALF = Fraction(1, 2)
STEP_FRACTION = step_fraction_bits(FRACTION_BITS)
MOVE_SHIFT = CYCLE_FRACTION_BITS + STEP_FRACTION - FRACTION_BITS


def stage_named(name: str, *assignments: str) -> Stage:
    return next(stage for stage in load("lenet-baseline", assignments).stages if stage.name == name)


def square_array(index: int, seed: int) -> Crossbar:
    """One of two 20 x 20 arrays in a row."""
    layer = "{type='fully_connected', outputs=20, bias=false}"
    last = "{type='fully_connected', outputs=20, bias=false, activation='softmax'}"
    config = load("tiny", ["input.height=4", "input.width=5", "classes=20", f"layers={{A={layer}, B={last}}}"])
    return Crossbar(config.stages[index], seed)


def relative_deviations(crossbar: Crossbar) -> dict[str, np.ndarray]:
    """What every device drew, back in standard deviations: step, up/down ratio and both bounds."""
    device, parameters = crossbar.device, crossbar.parameters
    assert isinstance(device, ConstantStep) and device.w_max != "off"
    up, down = parameters["step_up"], parameters["step_down"]
    mean_step = math.ldexp(device.dw_min, STEP_FRACTION)
    mean_bound = math.ldexp(device.w_max, FRACTION_BITS)
    moving = up + down > 0
    return {
        "step": ((up + down) / 2 / mean_step - 1) / device.dw_min_dtod,
        "ratio": np.where(moving, (up - down) / np.maximum(up + down, 1) * 2 / device.up_down_dtod, 0),
        "high": (parameters["bound_high"] / mean_bound - 1) / device.w_max_dtod,
        "low": (-parameters["bound_low"] / mean_bound - 1) / device.w_max_dtod,
    }


@pytest.fixture(scope="module")
def large_array() -> Crossbar:
    """W3 of the paper's network: 128 x 513 devices. Bounds in the middle of the word, so that none is cut by it."""
    return Crossbar(stage_named("W3", "array.device.w_max=0.4"), seed=1)


@pytest.mark.parametrize("draw", ("step", "ratio", "high", "low"))
def test_parameters_scatter_like_a_normal(large_array: Crossbar, draw: str) -> None:
    """Mean and deviation of every drawn parameter are the config's; tails at 1 and 2 deviations are a normal's."""
    values = relative_deviations(large_array)[draw]
    count = values.size
    assert abs(values.mean()) < 4 / math.sqrt(count)
    assert values.std() == pytest.approx(1, rel=0.02)
    for sigmas, tolerance in ((1, 0.05), (2, 0.05)):
        assert np.mean(np.abs(values) > sigmas) == pytest.approx(math.erfc(sigmas / math.sqrt(2)), rel=tolerance)


def test_a_step_or_bound_that_would_be_negative_is_zero(large_array: Crossbar) -> None:
    """At 30 % deviation a few devices in ten thousand are stuck or bounded at zero on one side; none is negative."""
    parameters = large_array.parameters
    assert parameters["step_up"].min() == parameters["step_down"].min() == 0
    assert parameters["bound_high"].min() == 0 and parameters["bound_low"].max() == 0
    assert 0 < np.mean(parameters["step_up"] == 0) < 0.002


def test_parameters_of_a_device_are_independent(large_array: Crossbar) -> None:
    """Correlations of step, ratio and both bounds within four standard errors."""
    for one, other in itertools.combinations(relative_deviations(large_array).values(), 2):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / math.sqrt(one.size)


@pytest.mark.parametrize("draw", ("step", "ratio", "high", "low"))
def test_neighbours_are_independent(large_array: Crossbar, draw: str) -> None:
    """Correlations with the next device in the row, in the column and across within four standard errors."""
    values = relative_deviations(large_array)[draw]
    for row, column in ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0)):
        one = values[: values.shape[0] - row, : values.shape[1] - column]
        other = values[row:, column:]
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / math.sqrt(one.size)


def test_replicas_differ() -> None:
    """The devices of a weight share nothing but its initial value."""
    crossbar = Crossbar(stage_named("K2", "array.replication=4", "array.device.w_max=0.4"), seed=1)
    for values in relative_deviations(crossbar).values():
        replicas = values.reshape(4, 32, 401).reshape(4, -1)
        correlations = np.corrcoef(replicas)[np.triu_indices(4, 1)]
        assert np.abs(correlations).max() < 4 / math.sqrt(replicas.shape[1])


@pytest.mark.parametrize(("first", "second"), (((0, 1), (0, 2)), ((0, 1), (1, 1))))
def test_devices_depend_on_seed_and_array(first: tuple[int, int], second: tuple[int, int]) -> None:
    """Arrays of one shape, at (place in the network, seed), have nothing in common."""
    one, other = (square_array(*place) for place in (first, second))
    for name, values in one.parameters.items():
        assert abs(np.corrcoef(values.ravel(), other.parameters[name].ravel())[0, 1]) < 4 / math.sqrt(values.size)


def test_a_device_without_variation_is_its_mean() -> None:
    stage = stage_named(
        "K1", *(f"array.device.{name}=0" for name in ("dw_min_dtod", "up_down_dtod", "w_max_dtod", "dw_min_std"))
    )
    parameters = Crossbar(stage, seed=3).parameters
    step = round(math.ldexp(0.001, STEP_FRACTION))
    bound = round(math.ldexp(0.6, FRACTION_BITS))
    for name, expected in (("step_up", step), ("step_down", step), ("bound_high", bound), ("bound_low", -bound)):
        assert (parameters[name] == expected).all(), name


def test_without_bounds_a_weight_ends_with_its_word() -> None:
    crossbar = Crossbar(stage_named("K1", "array.device.w_max=off"), seed=3)
    assert (crossbar.parameters["bound_high"] == WEIGHT_LIMIT).all()
    assert (crossbar.parameters["bound_low"] == -WEIGHT_LIMIT).all()


devices = st.builds(
    ConstantStep,
    model=st.just("constant_step"),
    dw_min=st.floats(0.00005, 0.1),
    dw_min_dtod=st.floats(0, 1),
    up_down_dtod=st.floats(0, 0.5),
    w_max=st.one_of(st.just("off"), st.floats(0.001, 2)),
    w_max_dtod=st.floats(0, 1),
)
draws = st.lists(st.integers(-LARGEST_GAUSSIAN, LARGEST_GAUSSIAN), min_size=4, max_size=4)


@settings(max_examples=300, deadline=None)
@given(device=devices, xi=draws)
def test_draws_equal_the_formula(device: ConstantStep, xi: list[int]) -> None:
    """step (1 + dtod xi), times 1 +- up_down_dtod xi / 2, and w_max (1 + dtod xi), from below limited at 0.

    Rounding: half an LSB of the mean, of the product and, since a gain on xi is rounded to 2**-10, of that times
    4351: 3.2 LSBs together; of the ratio, whose mean is exact, 2.7 LSBs of 2**-16.
    """
    parameters = device.draw(lambda k: np.array([[xi[k]]]), FRACTION_BITS, WEIGHT_LIMIT)
    found = {name: int(values[0, 0]) for name, values in parameters.items()}
    sigmas = [value / GAUSSIAN_DEVIATION for value in xi]
    step = max(0.0, math.ldexp(device.dw_min, STEP_FRACTION) * (1 + device.dw_min_dtod * sigmas[0]))
    for name, sign in (("step_up", 1), ("step_down", -1)):
        factor = 1 + sign * device.up_down_dtod / 2 * sigmas[1]
        assert abs(found[name] - max(0.0, step * factor)) <= 3.2 * abs(factor) + (step + 3.2) * 2.7 / 2**16 + 0.5
    for name, sign, sigma in (("bound_high", 1, sigmas[2]), ("bound_low", -1, sigmas[3])):
        if device.w_max == "off":
            assert found[name] == sign * WEIGHT_LIMIT
        else:
            bound = math.ldexp(device.w_max, FRACTION_BITS) * (1 + device.w_max_dtod * sigma)
            assert abs(sign * found[name] - min(max(bound, 0.0), WEIGHT_LIMIT)) <= 3.2


def away_from_zero(numerator: int, denominator: int) -> int:
    """The quotient rounded to nearest, halves away from zero."""
    magnitude = math.floor(abs(Fraction(numerator, denominator)) + HALF)
    return magnitude if numerator >= 0 else -magnitude


def test_draws_round_halves_away_from_zero() -> None:
    """Deviations that are half an LSB for a Gaussian word of 1. Words are odd, so that every spread is a tie, of both
    signs; and where the half ratio is odd, its product with a mean step of 2**15 is one."""
    mean = 1 << 15
    xi = np.arange(-LARGEST_GAUSSIAN, LARGEST_GAUSSIAN + 1, 2)
    half_ratio = [away_from_zero(value, 2) for value in xi.tolist()]
    half = 0.5 * GAUSSIAN_DEVIATION

    def drawn(**deviations: float) -> dict[str, list[int]]:
        device = ConstantStep(
            model="constant_step",
            dw_min=math.ldexp(mean, -STEP_FRACTION),
            w_max=math.ldexp(mean, -FRACTION_BITS),
            **{"dw_min_dtod": 0.0, "up_down_dtod": 0.0, "w_max_dtod": 0.0, **deviations},
        )
        parameters = device.draw(lambda _: xi, FRACTION_BITS, WEIGHT_LIMIT)
        return {name: values.tolist() for name, values in parameters.items()}

    spread = [mean + ratio for ratio in half_ratio]
    steps = drawn(dw_min_dtod=half / mean)
    assert steps["step_up"] == steps["step_down"] == spread
    bounds = drawn(w_max_dtod=half / mean)
    assert bounds["bound_high"] == [-low for low in bounds["bound_low"]] == spread
    ratios = drawn(up_down_dtod=2 * half / (1 << RATIO_FRACTION_BITS))
    assert ratios["step_up"] == [away_from_zero((1 << RATIO_FRACTION_BITS) + ratio, 2) for ratio in half_ratio]
    assert ratios["step_down"] == [away_from_zero((1 << RATIO_FRACTION_BITS) - ratio, 2) for ratio in half_ratio]


@settings(max_examples=300, deadline=None)
@given(
    weight=st.integers(-WEIGHT_LIMIT, WEIGHT_LIMIT),
    step_up=st.integers(0, 1 << 20),
    step_down=st.integers(0, 1 << 20),
    bounds=st.tuples(st.integers(-WEIGHT_LIMIT, 0), st.integers(0, WEIGHT_LIMIT)),
    factor=st.one_of(st.integers(-(1 << 17), 1 << 17), st.sampled_from((0, 1 << 10, -(1 << 10)))),
    up=st.booleans(),
    word=st.one_of(st.none(), st.integers(0, (1 << WORD_BITS) - 1)),
)
def test_move_equals_the_formula(
    weight: int, step_up: int, step_down: int, bounds: tuple[int, int], factor: int, up: bool, word: int | None
) -> None:
    """clip(w +- step * factor): the product rounded to the LSB of the weight, halves away from zero, or with a word up
    where it reaches what lacks. A factor may be negative, when noise outweighs its coincidences."""
    low, high = bounds
    values = {"step_up": step_up, "step_down": step_down, "bound_high": high, "bound_low": low}
    moved = ConstantStep(model="constant_step").move(
        np.array([weight]),
        {name: np.array([value]) for name, value in values.items()},
        np.array([factor]),
        np.array([up]),
        partial(round_shift, shift=MOVE_SHIFT)
        if word is None
        else partial(round_stochastically, shift=MOVE_SHIFT, words=np.array([word])),
    )
    exact = Fraction((step_up if up else step_down) * factor, 1 << MOVE_SHIFT)
    if word is None:
        change = math.floor(abs(exact) + HALF) * (1 if exact > 0 else -1)
    else:
        change = math.floor(exact + Fraction(word, 1 << WORD_BITS))
    assert moved.tolist() == [min(max(weight + (change if up else -change), low), high)]


@pytest.mark.parametrize("model", DEVICE_MODELS.values(), ids=DEVICE_MODELS.keys())
def test_no_coincidence_changes_nothing(model: type[Device]) -> None:
    """In any model: a factor of 0 leaves every weight within its bounds where it is, whatever the word of its rounding."""
    generator = np.random.default_rng(1)
    device = model()
    shape = (20, 30)
    draws = [generator.integers(-LARGEST_GAUSSIAN, LARGEST_GAUSSIAN, shape) for _ in range(model.DRAWS)]
    parameters = device.draw(lambda k: draws[k], FRACTION_BITS, WEIGHT_LIMIT)
    assert tuple(parameters) == model.PARAMETERS
    low, high = device.bounds(parameters)
    assert (low <= high).all()
    weights = generator.integers(low, high, endpoint=True)
    rounding = partial(round_stochastically, shift=MOVE_SHIFT, words=generator.integers(0, 1 << WORD_BITS, shape))
    moved = device.move(weights, parameters, np.zeros(shape, dtype=np.int64), generator.random(shape) < 0.5, rounding)
    np.testing.assert_array_equal(moved, weights)


@pytest.mark.parametrize("model", DEVICE_MODELS.values(), ids=DEVICE_MODELS.keys())
def test_weights_start_within_their_bounds(model: type[Device]) -> None:
    """In any model, with initial weights spread wider than the bounds."""
    name = model.model_fields["model"].default
    crossbar = Crossbar(stage_named("K2", "array.weight.initial_range=8", f"array.device.model={name}"), seed=1)
    low, high = crossbar.device.bounds(crossbar.parameters)
    assert (low <= crossbar.weights).all() and (crossbar.weights <= high).all()
