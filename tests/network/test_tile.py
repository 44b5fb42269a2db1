"""A tile: what management is worth, and its three cycles against float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.config import Config
from emulator.fixed import RECIPROCAL_GUARD_BITS
from emulator.machine import COUNTERS
from emulator.network.tile import Errors, Tile
from emulator.periphery.block_exponent import block_exponent

ACTIVATION_FRACTION = 12
ERROR_BITS = 15
SIGMA = 0.06
QUIET: dict[str, Any] = {"noise": 0, "bound": "off"}
UNIFORM: dict[str, Any] = {"dw_min_dtod": 0, "up_down_dtod": 0, "w_max": "off", "w_max_dtod": 0}
IDEAL: dict[str, Any] = {"forward": QUIET, "backward": QUIET, "device": UNIFORM}


def make_tile(rows: int, columns: int, **array: Any) -> Tile:
    """The tile of a single array."""
    layer = {"type": "fully_connected", "outputs": rows, "bias": False, "activation": "softmax", "array": array}
    tree = {"classes": rows, "input": {"height": 1, "width": columns}, "layers": {"W": layer}}
    return Tile(Config.model_validate(tree).stages[0], seed=1)


def errors_of(delta: np.ndarray) -> Errors:
    """Errors as the layers make them: one exponent, the largest mantissa with all its bits."""
    mantissas, exponent = block_exponent(np.round(np.ldexp(delta, 48)).astype(np.int64), 48, ERROR_BITS)
    return Errors(mantissas, exponent)


def real(errors: Errors) -> np.ndarray:
    return np.ldexp(errors.mantissas.astype(np.float64), -errors.exponent)


def real_weights(tile: Tile) -> np.ndarray:
    """What the logical array holds: the mean over the devices of a weight."""
    stage = tile.stage
    weights = np.ldexp(tile.crossbar.weights.astype(np.float64), -stage.array.weight.fraction_bits)
    copies = stage.array.replication
    if stage.replicate_rows:
        return weights.reshape(copies, stage.rows, stage.columns).mean(axis=0)
    return weights.reshape(stage.rows, copies, stage.columns).mean(axis=1)


# --- noise management -----------------------------------------------------------------------------------------------


def backward_error(mode: str, size: float, spread: float = 1.0) -> float:
    """Deviation of the error of backward reads of many vectors with largest element ``size``, relative to ``size``.

    ``spread`` less than 1 makes a tensor whose first vector is larger than all others by that factor, so that those
    others do not use all bits of their mantissas.
    """
    tile = make_tile(32, 40, backward={"noise": SIGMA, "noise_management": mode}, device=UNIFORM)
    generator = np.random.default_rng(1)
    delta = generator.uniform(-1, 1, (100, 32))
    delta *= size / np.abs(delta).max(axis=1, keepdims=True)
    delta[0] /= spread
    errors = errors_of(delta)
    sums, fraction = tile.backward(errors)
    error = np.ldexp(sums.astype(np.float64), -fraction) - real(errors) @ real_weights(tile)
    return float(error[1:].std() / size)


@pytest.mark.parametrize("decade", range(7))
def test_noise_management_keeps_signal_to_noise(decade: int) -> None:
    """Over six decades of delta, the error of a backward read stays the read noise times the largest element: exactly
    that (within 6 %: quantisation, and the sample) for exact, up to twice that for power_of_two, which may drive half
    of full range. Without management the noise does not shrink with the errors."""
    size = 0.9 * 10.0**-decade
    assert backward_error("exact", size) == pytest.approx(SIGMA, rel=0.06)
    assert 0.94 * SIGMA < backward_error("power_of_two", size) < 2.06 * SIGMA
    assert backward_error("none", size) == pytest.approx(SIGMA / size, rel=0.06)


@pytest.mark.parametrize("mode", ("exact", "power_of_two"))
def test_noise_management_serves_the_small_vectors_of_a_tensor(mode: str) -> None:
    """Vectors a hundred times smaller than the one that sets the exponent are read with their own scale."""
    largest = 1.06 * SIGMA if mode == "exact" else 2.06 * SIGMA
    assert 0.94 * SIGMA < backward_error(mode, 0.001, spread=0.01) < largest


def test_constant_noise_management_is_as_good_as_its_exponent() -> None:
    """Divided by 2**-10, errors near that size are read with little noise; ten bits smaller ones are not."""
    read = {"noise": SIGMA, "noise_management": "constant", "constant_exponent": 10}
    tile = make_tile(32, 40, backward=read, device=UNIFORM)
    for size, expected in ((2.0**-10, SIGMA), (2.0**-20, SIGMA * 2**10)):
        delta = np.random.default_rng(1).uniform(-1, 1, (100, 32))
        errors = errors_of(delta * size / np.abs(delta).max(axis=1, keepdims=True))
        sums, fraction = tile.backward(errors)
        error = np.ldexp(sums.astype(np.float64), -fraction) - real(errors) @ real_weights(tile)
        assert error.std() / size == pytest.approx(expected, rel=0.06)


# --- bound management -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ("forward", "backward"))
@pytest.mark.parametrize("times", (0.5, 3, 10))
def test_bound_management_recovers_outputs_beyond_the_bound(direction: str, times: float) -> None:
    """An ideal output of 10 alpha = 120 is read at a sixteenth, 7.5, with sixteen times the noise. Without repeats it
    would be alpha."""
    alpha, lines, reads = 12.0, 250, 40
    output = times * alpha
    read = {"noise": SIGMA, "bound": alpha}
    managed = {**read, "bound_management": 6, "noise_management": "exact" if direction == "backward" else "none"}
    halvings = max(0, math.ceil(math.log2(times)))
    for settings_of_read, repeats in ((managed, halvings), ({**managed, "bound_management": 0}, 0)):
        shape = (3, lines) if direction == "forward" else (lines, 3)
        tile = make_tile(*shape, forward=settings_of_read, backward=settings_of_read, device=UNIFORM)
        tile.crossbar.weights[:] = round(output / lines * 2**17)
        if direction == "forward":
            ones = np.full((reads, lines), 1 << ACTIVATION_FRACTION)
            found = np.ldexp(tile.forward(ones).astype(np.float64), -tile.stage.adc_fraction)
        else:
            sums, fraction = tile.backward(errors_of(np.full((reads, lines), 0.75)))
            found = np.ldexp(sums.astype(np.float64), -fraction) / 0.75
        if repeats == halvings:
            noise = SIGMA * 2**halvings
            assert np.abs(found - output).max() < 4 * noise
            assert found.std() == pytest.approx(noise, rel=0.3)
        else:
            assert (found == alpha).all()
        assert tile.counters[f"{direction}_reads"] == reads * (1 + repeats)
        assert tile.counters[f"{direction}_repeats"] == reads * repeats
        assert tile.counters[f"{direction}_saturations"] == (0 if repeats == halvings else reads * 3)


def test_bound_management_gives_up_at_its_limit() -> None:
    """Two halvings of ten needed: the output is four times the bound, and counted as saturated."""
    read = {"noise": 0, "bound": 0.1, "bound_management": 2}
    tile = make_tile(2, 4, forward=read, device=UNIFORM)
    tile.crossbar.weights[:] = (1 << 17) - 1
    y = tile.forward(np.full((1, 4), 1 << ACTIVATION_FRACTION))
    assert y.tolist() == [[4 * round(0.1 * 2**7)] * 2]
    counts = {name: tile.counters[f"forward_{name}"] for name in ("reads", "repeats", "saturations")}
    assert counts == {"reads": 3, "repeats": 2, "saturations": 2}


def test_only_the_saturated_read_is_repeated() -> None:
    """One large vector among small ones, whose neighbours are read once and undisturbed."""
    read = {"noise": 0, "bound": 1.0, "bound_management": 12}
    tile = make_tile(2, 8, forward=read, device=UNIFORM)
    tile.crossbar.weights[:] = 1 << 16
    x = np.full((5, 8), 1 << 8)
    x[2] = 1 << ACTIVATION_FRACTION
    # 8 * 0.5 * 2**-4 = 0.25, and 4.0 with two halvings and one more, since 1.0 is the bound itself.
    assert tile.forward(x).tolist() == [[32, 32], [32, 32], [512, 512], [32, 32], [32, 32]]
    assert tile.counters["forward_reads"] == 8
    assert tile.counters["forward_repeats"] == 3


# --- the three cycles against float64 -------------------------------------------------------------------------------

MODES = ("none", "exact", "power_of_two", "constant")


def read_bound(tile: Tile, vectors: np.ndarray, mode: str, drive_replicated: bool, ideal: np.ndarray) -> np.ndarray:
    """How far a read without noise may be from the float64 product, for every output.

    The vector is scaled by a real number s, its largest element or the power of two above it or 1. In units of s:
    every DAC code is off by at most 1/2 LSB, and 2**-RECIPROCAL_GUARD_BITS more for exact; the ADC by 1/2 LSB;
    the mean by 1/2 of its LSB, and relatively by replication * 2**-17. Where replicated lines are driven, the sum of
    all replicas is converted once, so that a device's error counts 1 / replication.
    """
    stage = tile.stage
    copies = stage.array.replication
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    scale = {
        "exact": largest,
        "power_of_two": 2.0 ** np.floor(1 + np.log2(np.maximum(largest, 2.0**-60))),
    }.get(mode, np.ones_like(largest))
    weights = np.abs(real_weights(tile)).max() * vectors.shape[1]
    code_error = (0.5 + 2.0**-RECIPROCAL_GUARD_BITS) * 2.0**-stage.dac_fraction
    adc_error = 0.5 * 2.0**-stage.adc_fraction / (copies if drive_replicated else 1)
    mean_error = 0.5 * 2.0 ** -(stage.adc_fraction + stage.average_guard_bits)
    return scale * (weights * code_error + adc_error + mean_error) + copies * 2.0**-17 * np.abs(ideal)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.integers(2, 9),
    columns=st.integers(1, 12),
    mode=st.sampled_from(MODES),
    replication=st.integers(1, 5),
    converter_bits=st.integers(6, 14),
    seed=st.integers(0, 2**32),
)
def test_reads_equal_float64_products(
    rows: int, columns: int, mode: str, replication: int, converter_bits: int, seed: int
) -> None:
    """Without noise and bounds, forward and backward, tall and wide, replicated or not: W x and W^T delta within the
    errors of the converters. Replicas hold different weights."""
    read = {**QUIET, "noise_management": mode}
    converters = {"dac_fraction_bits": converter_bits, "adc_fraction_bits": converter_bits}
    tile = make_tile(
        rows, columns, forward=read, backward=read, converters=converters, device=UNIFORM, replication=replication
    )
    generator = np.random.default_rng(seed)
    tile.crossbar.weights = generator.integers(-(1 << 17), 1 << 17, tile.crossbar.weights.shape)
    weights = real_weights(tile)
    x = generator.integers(-(1 << ACTIVATION_FRACTION), 1 << ACTIVATION_FRACTION, (3, columns), endpoint=True)
    x[1] //= 50
    x[2] = 0
    y = np.ldexp(tile.forward(x).astype(np.float64), -tile.stage.adc_fraction)
    vectors = np.ldexp(x.astype(np.float64), -ACTIVATION_FRACTION)
    ideal = vectors @ weights.T
    final = 0.5 * 2.0**-tile.stage.adc_fraction  # y is rounded to the LSB of the ADC once more
    assert (np.abs(y - ideal) <= read_bound(tile, vectors, mode, not tile.stage.replicate_rows, ideal) + final).all()
    errors = errors_of(np.array([[1.0], [0.01], [0.0]]) * generator.uniform(-0.99, 0.99, (3, rows)))
    sums, fraction = tile.backward(errors)
    vectors = real(errors)
    ideal = vectors @ weights
    z = np.ldexp(sums.astype(np.float64), -fraction)
    assert (np.abs(z - ideal) <= read_bound(tile, vectors, mode, tile.stage.replicate_rows, ideal)).all()
    if mode in ("exact", "power_of_two"):
        assert not z[2].any()


@pytest.mark.parametrize("management", ("none", "exact", "power_of_two"))
@pytest.mark.parametrize(("rows", "columns", "replication"), ((6, 9, 1), (6, 9, 3), (9, 6, 2)))
def test_updates_descend_by_eta_delta_x_on_average(management: str, rows: int, columns: int, replication: int) -> None:
    """Every device, in sign and size: eta delta_i x_j a cycle while no probability saturates.

    By the sum over many cycles, of standard error dw sqrt(cycles BL q (1 - q + s^2)) with q = p_x p_delta: none of the
    devices is more than 4.5 of them off, and together they are off by about one.
    """
    cycles, slots, step, eta, deviation = 2000, 10, 0.0005, 0.01, 0.3
    tile = make_tile(
        rows,
        columns,
        replication=replication,
        device={**UNIFORM, "dw_min": step, "dw_min_std": deviation},
        update={"desired_bl": slots, "management": management},
        weight={"bits": 22, "fraction_bits": 17},
    )
    generator = np.random.default_rng(1)
    x = generator.integers(-2400, 2400, columns)
    x[0] = 0
    delta = generator.uniform(-0.3, 0.3, rows)
    delta[-1] = 0
    errors = errors_of(np.tile(delta, (cycles, 1)))
    before = tile.crossbar.weights.copy()
    tile.update(np.tile(x, (cycles, 1)), errors)
    change = np.ldexp((tile.crossbar.weights - before).astype(np.float64), -17)
    mean = eta * np.outer(real(errors)[0], x / 2**ACTIVATION_FRACTION)  # per cycle
    q = np.abs(mean) / (slots * step)
    assert q.max() < 0.5
    copies = (replication, 1) if tile.stage.replicate_rows else (1, replication)
    mean, q = np.tile(mean, copies), np.tile(q, copies)
    moving = q > 0
    assert (change[~moving] == 0).all()
    standard_error = step * np.sqrt(cycles * slots * q * (1 - q + deviation**2))[moving]
    off = (change - cycles * mean)[moving] / standard_error
    assert np.abs(off).max() < 4.5
    assert 0.6 < math.sqrt((off**2).mean()) < 1.6
    clear = np.abs(cycles * mean)[moving] > 5 * standard_error
    assert clear.sum() > clear.size / 2
    assert (np.sign(change[moving]) == np.sign(mean[moving]))[clear].all()


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(2, 7), columns=st.integers(1, 7), positions=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_the_exact_update_is_the_sum_of_outer_products(rows: int, columns: int, positions: int, seed: int) -> None:
    """eta sum_t delta_t x_t^T, within half an LSB of the weight and the resolution 2**-16 of eta."""
    tile = make_tile(rows, columns, update={"mode": "exact"}, device=UNIFORM)
    generator = np.random.default_rng(seed)
    x = generator.integers(-(1 << ACTIVATION_FRACTION), 1 << ACTIVATION_FRACTION, (positions, columns))
    errors = errors_of(generator.uniform(-0.5, 0.5, (positions, rows)))
    before = tile.crossbar.weights.copy()
    tile.update(x, errors)
    change = np.ldexp((tile.crossbar.weights - before).astype(np.float64), -17)
    ideal = 0.01 * real(errors).T @ np.ldexp(x.astype(np.float64), -ACTIVATION_FRACTION)
    assert (np.abs(change - ideal) <= 2.0**-18 + 2.0**-16 * np.abs(ideal)).all()


HALVES = np.arange(-15, 16, 2)
AWAY_FROM_ZERO = (np.abs(HALVES) + 1) // 2 * np.sign(HALVES)


@pytest.mark.parametrize("columns", (1, 20))
def test_forward_reads_round_halves_away_from_zero(columns: int) -> None:
    """Two replicas, along columns or rows, whose codes add up to odd numbers: means between two codes."""
    tile = make_tile(len(HALVES), columns, replication=2, **IDEAL, converters={"adc_fraction_bits": 9})
    assert tile.stage.replicate_rows == (columns > 1)
    tile.crossbar.weights[:] = 0
    code = 1 << 8  # LSBs of the weight in one of the ADC
    tile.crossbar.weights[: len(HALVES), 0] = HALVES * code
    x = np.zeros((1, columns), dtype=np.int64)
    x[0, 0] = 1 << ACTIVATION_FRACTION
    assert tile.forward(x)[0].tolist() == AWAY_FROM_ZERO.tolist()


def test_the_exact_update_rounds_halves_away_from_zero() -> None:
    """At a rate of 1/2, odd errors of 2**-17 change weights by halves of their LSB."""
    array = {"update": {"mode": "exact"}, "device": UNIFORM}
    layer = {"type": "fully_connected", "outputs": 16, "bias": False, "activation": "softmax", "array": array}
    tree = {"classes": 16, "learning_rate": 0.5, "input": {"height": 1, "width": 1}, "layers": {"W": layer}}
    tile = Tile(Config.model_validate(tree).stages[0], seed=1)
    before = tile.crossbar.weights.copy()
    tile.update(np.array([[1 << ACTIVATION_FRACTION]]), Errors(HALVES[None, :], exponent=17))
    assert (tile.crossbar.weights - before)[:, 0].tolist() == AWAY_FROM_ZERO.tolist()


# --- bookkeeping ----------------------------------------------------------------------------------------------------


def test_a_tile_counts_what_it_does() -> None:
    tile = make_tile(3, 4, update={"desired_bl": 5}, device={"dw_min": 1e-4})
    x = np.full((7, 4), 1 << ACTIVATION_FRACTION)
    errors = Errors(np.full((7, 3), (1 << ERROR_BITS) - 1), ERROR_BITS)
    tile.forward(x)
    tile.backward(errors)
    tile.update(x, errors)
    # eta / (BL dw_min) = 20: both probabilities are 1, every line fires in every slot.
    expected = {
        "forward_reads": 7,
        "backward_reads": 7,
        "update_cycles": 7,
        "row_pulses": 7 * 5 * 3,
        "column_pulses": 7 * 5 * 4,
        "coincidences": 7 * 5 * 3 * 4,
    }
    assert tile.counters == {name: expected.get(name, 0) for name in COUNTERS}


def test_state_goes_round() -> None:
    """A tile loaded with another's state goes on as that one does, and the state is a copy."""
    trained, fresh = (make_tile(5, 6, backward={"noise_management": "exact"}) for _ in range(2))
    generator = np.random.default_rng(1)

    def train(tile: Tile, x: np.ndarray, delta: np.ndarray) -> list[Any]:
        return [tile.forward(x).tolist(), tile.backward(errors_of(delta))[0].tolist(), tile.update(x, errors_of(delta))]

    first, second = ((generator.integers(-4096, 4096, (9, 6)), generator.uniform(-1, 1, (9, 5))) for _ in range(2))
    train(trained, *first)
    state = trained.state()
    kept = {name: values.copy() for name, values in state.items()}
    fresh.load(state)
    assert train(trained, *second) == train(fresh, *second)
    for name, values in trained.state().items():
        np.testing.assert_array_equal(values, fresh.state()[name])
        np.testing.assert_array_equal(state[name], kept[name])
        assert (values != kept[name]).any(), name
