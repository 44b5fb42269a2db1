"""The emulated array: reading with noise and bounds, and moving devices by pulses."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.array.crossbar import Crossbar, PulseTrains
from emulator.array.noise import gaussian, mix
from emulator.config import Config, Stage
from emulator.periphery.lfsr import Lfsr
from emulator.periphery.pulse_generator import pulse_trains
from emulator.streams import Purpose, keys

PROBABILITY_BITS = 24
ONE = 1 << PROBABILITY_BITS
HALF = Fraction(1, 2)
SIGMAS = 4

QUIET: dict[str, Any] = {"noise": 0, "bound": "off"}
UNIFORM: dict[str, Any] = {"dw_min_dtod": 0, "up_down_dtod": 0, "w_max": "off", "w_max_dtod": 0}


def array_stage(rows: int, columns: int, width: int = 64, **array: Any) -> Stage:
    """A single array of that shape."""
    layer = {"type": "fully_connected", "outputs": rows, "bias": False, "activation": "softmax", "array": array}
    tree = {
        "classes": rows,
        "input": {"height": 1, "width": columns},
        "generator": {"width": width},
        "layers": {"W": layer},
    }
    return Config.model_validate(tree).stages[0]


def rounded(value: Fraction) -> int:
    """Nearest integer, halves away from zero."""
    magnitude = math.floor(abs(value) + HALF)
    return magnitude if value >= 0 else -magnitude


def trains(
    lines: int, purpose: Purpose, probability: float, cycles: int, slots: int, width: int = 64, seed: int = 1
) -> np.ndarray:
    """Pulses ``(cycles, slots, lines)`` of one side's generators, all at one probability."""
    generator = Lfsr(width)
    states = generator.seed(keys(seed, 0, purpose, count=lines))
    words = np.full((cycles, lines), round(probability * ONE))
    return pulse_trains(generator, states, words, slots, PROBABILITY_BITS, 1)[0]


def with_signs(pulses: np.ndarray, negative: bool = False) -> PulseTrains:
    return PulseTrains(pulses, np.full((pulses.shape[0], pulses.shape[2]), negative))


# --- initial state --------------------------------------------------------------------------------------------------


def test_initial_weights_are_uniform_in_the_range() -> None:
    """Within +- 1 / sqrt(columns), of that mean and deviation within four standard errors."""
    crossbar = Crossbar(array_stage(100, 200, device=UNIFORM), seed=1)
    weights = crossbar.weights / 2**17
    reach = 1 / math.sqrt(200)
    assert np.abs(weights).max() == pytest.approx(reach, rel=0.001)
    assert abs(weights.mean()) < SIGMAS * reach / math.sqrt(3 * weights.size)
    assert weights.std() == pytest.approx(reach / math.sqrt(3), rel=0.01)


@pytest.mark.parametrize(("rows", "columns", "axis"), ((5, 9, 0), (9, 5, 1), (7, 7, 0)))
def test_replicas_lie_along_the_short_side_and_start_alike(rows: int, columns: int, axis: int) -> None:
    single = Crossbar(array_stage(rows, columns, device=UNIFORM), seed=1).weights
    replicated = Crossbar(array_stage(rows, columns, device=UNIFORM, replication=3), seed=1).weights
    np.testing.assert_array_equal(replicated, np.concatenate([single] * 3, axis=axis))


def test_weights_depend_on_the_seed() -> None:
    one, other = (Crossbar(array_stage(9, 9), seed).weights for seed in (1, 2))
    assert (one != other).mean() > 0.99


# --- reading --------------------------------------------------------------------------------------------------------


def test_reads_round_halves_away_from_zero() -> None:
    """Sums with one bit more than the ADC, of both signs, forward and backward; the last ones round up to the bound."""
    read = {"noise": 0, "bound": 2.0}
    converters = {"dac_fraction_bits": 2, "adc_fraction_bits": 4}
    weight = {"bits": 8, "fraction_bits": 3}
    rows = 66
    device = {**UNIFORM, "dw_min": 0.1}
    stage = array_stage(rows, 1, forward=read, backward=read, converters=converters, weight=weight, device=device)
    assert stage.adc_shift == 1 and stage.forward.limit == stage.backward.limit == 32
    crossbar = Crossbar(stage, seed=1)
    crossbar.weights = np.arange(1 - rows, rows, 2).reshape(rows, 1)
    expected = [(abs(value) + 1) // 2 * (1 if value > 0 else -1) for value in range(1 - rows, rows, 2)]
    expected = [min(max(value, -32), 32) for value in expected]
    forward, flags = crossbar.read_forward(np.array([[1]]))
    assert forward[0].tolist() == expected
    assert flags[0].tolist() == [abs(value) == 32 for value in expected]
    for row, value in enumerate(expected):
        backward, flags = crossbar.read_backward(np.eye(rows, dtype=np.int64)[row : row + 1])
        assert backward[0].tolist() == [value] and flags[0].tolist() == [abs(value) == 32]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(2, 7),
    columns=st.integers(1, 7),
    bound=st.sampled_from((0.1, 1.0, 12.0, "off")),
    dac=st.integers(1, 14),
    adc=st.integers(1, 14),
    seed=st.integers(0, 2**32),
)
def test_reads_are_rounded_sums_within_the_bound(
    rows: int, columns: int, bound: float | str, dac: int, adc: int, seed: int
) -> None:
    """Without noise, forward and backward: sum of code times weight, to the ADC's LSB, limited to +-bound. The flag is
    set where the code reaches the bound."""
    read = {"noise": 0, "bound": bound}
    converters = {"dac_fraction_bits": dac, "adc_fraction_bits": adc}
    stage = array_stage(rows, columns, forward=read, backward=read, converters=converters, weight={"initial_range": 8})
    crossbar = Crossbar(stage, seed=seed)
    generator = np.random.default_rng(seed)
    limit = 2 ** (adc + 12) if bound == "off" else max(1, round(bound * 2**adc))
    sides = ((crossbar.read_forward, crossbar.weights.T), (crossbar.read_backward, crossbar.weights))
    for read_array, weights in sides:
        codes = generator.integers(-(1 << dac), 1 << dac, weights.shape[0], endpoint=True)
        sensed, saturated = read_array(codes[None, :])
        sums = [sum(int(c) * int(w) for c, w in zip(codes, line, strict=True)) for line in weights.T]
        ideal = [rounded(Fraction(total) / Fraction(2) ** (dac + 17 - adc)) for total in sums]
        assert sensed[0].tolist() == [min(max(code, -limit), limit) for code in ideal]
        assert saturated[0].tolist() == [abs(code) >= limit for code in ideal]


@pytest.mark.parametrize("direction", ("forward", "backward"))
@pytest.mark.parametrize(("sigma", "width"), ((0.06, 32), (0.06, 48), (0.06, 64), (0.5, 64)))
def test_read_noise_is_white_and_of_its_deviation(direction: str, sigma: float, width: int) -> None:
    """Mean 0 within four standard errors and deviation within four of its own; no correlation between lines, nor
    between a line's successive reads at any lag up to 40, beyond four standard errors over all lines."""
    lines, reads = 48, 3000
    read = {"noise": sigma, "bound": "off"}
    stage = array_stage(
        lines,
        lines,
        width,
        forward=read,
        backward=read,
        converters={"adc_fraction_bits": "off"},
        weight={"initial_range": 0},
    )
    crossbar = Crossbar(stage, seed=1)
    read_array = crossbar.read_forward if direction == "forward" else crossbar.read_backward
    codes, saturated = read_array(np.zeros((reads, lines), dtype=np.int64))
    assert not saturated.any()
    noise = codes / 2**14
    count = noise.size
    assert abs(noise.mean()) < SIGMAS * sigma / math.sqrt(count)
    assert noise.std() == pytest.approx(sigma, rel=SIGMAS / math.sqrt(2 * count))
    units = noise / sigma
    for lag in range(1, 41):
        products = units[lag:] * units[:-lag]
        assert abs(products.mean()) < SIGMAS / math.sqrt(products.size), lag
    pairs = np.corrcoef(units.T)[np.triu_indices(lines, 1)] * math.sqrt(reads)
    assert np.abs(pairs).max() < math.sqrt(2 * math.log(len(pairs))) + 1
    assert pairs.std() == pytest.approx(1, abs=0.1)


def test_a_read_draws_for_the_lines_it_senses_only() -> None:
    """One draw per read of every sensed line, whatever is driven."""
    crossbar = Crossbar(array_stage(4, 6), seed=1)
    rows, columns = crossbar.row_noise.copy(), crossbar.column_noise.copy()
    crossbar.read_forward(np.zeros((5, 6), dtype=np.int64))
    assert crossbar.row_noise.tolist() == crossbar.generator.jump(rows, 5).tolist()
    assert crossbar.column_noise.tolist() == columns.tolist()
    crossbar.read_backward(np.zeros((3, 4), dtype=np.int64))
    assert crossbar.row_noise.tolist() == crossbar.generator.jump(rows, 5).tolist()
    assert crossbar.column_noise.tolist() == crossbar.generator.jump(columns, 3).tolist()


def test_reads_without_noise_draw_nothing() -> None:
    crossbar = Crossbar(array_stage(4, 6, forward=QUIET, backward=QUIET), seed=1)
    rows, columns = crossbar.row_noise.copy(), crossbar.column_noise.copy()
    crossbar.read_forward(np.ones((5, 6), dtype=np.int64))
    crossbar.read_backward(np.ones((5, 4), dtype=np.int64))
    assert crossbar.row_noise.tolist() == rows.tolist() and crossbar.column_noise.tolist() == columns.tolist()


@pytest.mark.parametrize("direction", ("forward", "backward"))
@pytest.mark.parametrize("bound", (0.12, 0.15, 0.2))
def test_reads_stop_after_the_first_that_saturates(direction: str, bound: float) -> None:
    """Codes, flags and generator states are those of reading one vector after another up to that one."""
    read = {"noise": 0.06, "bound": bound}
    stage = array_stage(6, 9, forward=read, backward=read)
    together, alone = Crossbar(stage, seed=5), Crossbar(stage, seed=5)
    lines = 9 if direction == "forward" else 6
    codes = np.random.default_rng(1).integers(-100, 101, (400, lines))
    first = 0
    stops = 0
    while first < len(codes):
        sensed, saturated = getattr(together, f"read_{direction}")(codes[first:])
        for k, (line, flags) in enumerate(zip(sensed, saturated, strict=True)):
            single, single_flags = getattr(alone, f"read_{direction}")(codes[first + k : first + k + 1])
            assert single[0].tolist() == line.tolist()
            assert single_flags[0].tolist() == flags.tolist()
            last = k == len(sensed) - 1
            assert flags.any() == last or (last and first + len(sensed) == len(codes))
        assert together.row_noise.tolist() == alone.row_noise.tolist()
        assert together.column_noise.tolist() == alone.column_noise.tolist()
        first += len(sensed)
        stops += 1
    assert 10 < stops < len(codes)


# --- pulses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", (32, 48, 64))
@pytest.mark.parametrize("slots", (1, 10, 40))
def test_coincidences_are_as_many_as_independent_pulses_give(slots: int, width: int) -> None:
    """BL p_x p_delta per device and cycle, over a grid of probabilities, within four standard errors.

    In a slot, R of m rows and C of n columns fire and R C devices see a coincidence. R and C are binomial and
    independent, so R C has mean m p_r n p_c and variance E[R^2] E[C^2] less the square of that, with
    E[R^2] = (m p)^2 + m p (1 - p); slots are independent.
    """
    lines, cycles = 40, 4000 // slots
    probabilities = (0.0005, 0.01, 0.1, 0.5, 0.95, 1.0)
    rows, columns = (
        {p: trains(lines, purpose, p, cycles, slots, width).sum(axis=2).ravel() for p in probabilities}
        for purpose in (Purpose.ROW_PULSE, Purpose.COLUMN_PULSE)
    )
    for row, column in itertools.product(probabilities, probabilities):
        found = int(rows[row] @ columns[column])
        mean_r, mean_c = lines * row, lines * column
        square_r, square_c = mean_r**2 + mean_r * (1 - row), mean_c**2 + mean_c * (1 - column)
        variance = square_r * square_c - (mean_r * mean_c) ** 2
        total = cycles * slots
        assert abs(found - total * mean_r * mean_c) <= SIGMAS * math.sqrt(total * variance) + 1e-6


@pytest.mark.parametrize("width", (32, 48, 64))
@pytest.mark.parametrize("probability", (0.01, 0.1, 0.5, 0.9))
@pytest.mark.parametrize("slots", (10, 40))
def test_pulses_are_uncorrelated(slots: int, probability: float, width: int) -> None:
    """Between a row and a column, neighbouring lines and successive slots, at every lag within a train, the mean of
    (a - p) (b - p) is 0 within four standard errors p (1 - p) / sqrt(count)."""
    lines, cycles = 64, 2000 // slots
    rows, columns = (
        trains(lines, purpose, probability, cycles, slots, width) - round(probability * ONE) / ONE
        for purpose in (Purpose.ROW_PULSE, Purpose.COLUMN_PULSE)
    )
    deviation = probability * (1 - probability)

    def in_standard_errors(one: np.ndarray, other: np.ndarray) -> float:
        return float((one * other).mean() / deviation * math.sqrt(one.size))

    assert abs(in_standard_errors(rows, columns)) < SIGMAS
    assert abs(in_standard_errors(rows, np.roll(columns, 1, axis=2))) < SIGMAS
    for side in (rows, columns):
        for distance in (1, 2, 3):
            assert abs(in_standard_errors(side[..., distance:], side[..., :-distance])) < SIGMAS
        for lag in range(1, slots):
            assert abs(in_standard_errors(side[:, lag:], side[:, :-lag])) < SIGMAS, lag
    # Every row with every column, over all slots: no pair stands out.
    flat_rows, flat_columns = rows.reshape(-1, lines), columns.reshape(-1, lines)
    pairs = flat_rows.T @ flat_columns / deviation / math.sqrt(len(flat_rows))
    assert pairs.std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("slots", (1, 10))
def test_updates_have_the_mean_and_variance_of_the_paper(slots: int) -> None:
    """A cycle's change is dw (c + s sqrt(c) xi), c coincidences and s the cycle-to-cycle deviation.

    c is binomial over BL slots with q = p_x p_delta: mean BL q, variance BL q (1 - q). So the change has mean
    dw BL q = eta x delta, and variance dw^2 (Var(c) + s^2 E[c]) = dw^2 BL q (1 - q + s^2), since xi is independent of
    c, with mean 0 and variance 1. Devices of one cycle share their lines' pulses, so that the mean over a cycle has a
    larger standard error than independent ones would: that of R C, see above.
    """
    lines, cycles = 16, 2000
    p_row, p_column, step, deviation = 0.3, 0.4, 0.001, 0.3
    device = {**UNIFORM, "dw_min": step, "dw_min_std": deviation}
    stage = array_stage(lines, lines, device=device, update={"desired_bl": slots}, weight={"initial_range": 0})
    crossbar = Crossbar(stage, seed=1)
    rows = trains(lines, Purpose.ROW_PULSE, p_row, cycles, slots)
    columns = trains(lines, Purpose.COLUMN_PULSE, p_column, cycles, slots)
    changes = np.empty((cycles, lines, lines))
    for cycle in range(cycles):
        crossbar.weights[:] = 0
        one = slice(cycle, cycle + 1)
        crossbar.pulse(with_signs(rows[one]), with_signs(columns[one]))
        changes[cycle] = crossbar.weights / 2**17 / step
    q = p_row * p_column
    mean_r, mean_c = lines * p_row, lines * p_column
    square_r, square_c = mean_r**2 + mean_r * (1 - p_row), mean_c**2 + mean_c * (1 - p_column)
    variance_of_cycle = slots * (
        (square_r * square_c - (mean_r * mean_c) ** 2) / lines**4 + deviation**2 * q / lines**2
    )
    assert abs(changes.mean() - slots * q) < SIGMAS * math.sqrt(variance_of_cycle / cycles)
    assert changes.var() == pytest.approx(slots * q * (1 - q + deviation**2), rel=0.02)


@pytest.mark.parametrize("count", (1, 4, 25))
def test_noise_of_c_coincidences_grows_with_their_root(count: int) -> None:
    """With every line firing in every slot: c dw on average, deviation 0.3 sqrt(c) dw."""
    lines, cycles, step = 64, 20, 0.001
    device = {**UNIFORM, "dw_min": step, "dw_min_std": 0.3}
    stage = array_stage(lines, lines, device=device, update={"desired_bl": count}, weight={"initial_range": 0})
    crossbar = Crossbar(stage, seed=1)
    fires = with_signs(np.ones((1, count, lines), dtype=bool))
    changes = []
    for _ in range(cycles):
        crossbar.weights[:] = 0
        assert crossbar.pulse(fires, fires) == count * lines**2
        changes.append(crossbar.weights / 2**17 / step)
    expected = 0.3 * math.sqrt(count)
    total = cycles * lines**2
    assert abs(np.mean(changes) - count) < SIGMAS * expected / math.sqrt(total) + 0.001 * count
    assert np.std(changes) == pytest.approx(expected, rel=0.02)
    # Successive cycles draw anew: their changes of one device are uncorrelated.
    first, second = (np.ravel(part) - count for part in (changes[:-1], changes[1:]))
    assert abs((first * second).mean()) < SIGMAS * expected**2 / math.sqrt(first.size)


@pytest.mark.parametrize("fraction_bits", (2, 4, 7, 9, 17))
@pytest.mark.parametrize(("slots", "deviation"), ((1, 0.3), (1, 0), (10, 0.3)))
@pytest.mark.parametrize("up", (True, False))
def test_moves_keep_their_mean_at_any_lsb(fraction_bits: int, slots: int, deviation: float, up: bool) -> None:
    """With every line firing in every slot, a device moves by BL dw on average, within four standard errors, be an LSB a
    250th of its step or 250 steps. Rounding adds at most f (1 - f) LSB^2 to the variance, f the fraction of a move."""
    lines, cycles, step = 64, 20, 0.001
    device = {**UNIFORM, "dw_min": step, "dw_min_std": deviation, "w_max": "off"}
    weight = {"bits": 18, "fraction_bits": fraction_bits, "initial_range": 0}
    stage = array_stage(lines, lines, device=device, update={"desired_bl": slots}, weight=weight)
    crossbar = Crossbar(stage, seed=1)
    fires = np.ones((1, slots, lines), dtype=bool)
    rows = PulseTrains(fires, np.full((1, lines), not up))
    changes = []
    for _ in range(cycles):
        crossbar.weights[:] = 0
        crossbar.pulse(rows, with_signs(fires))
        changes.append(crossbar.weights * (1 if up else -1))
    move = slots * math.ldexp(step, fraction_bits)  # in LSBs
    largest_variance = slots * (deviation * move / slots) ** 2 + 0.25
    variance = slots * (deviation * move / slots) ** 2 + min(0.25, move)
    assert abs(np.mean(changes) - move) < 4 * math.sqrt(variance / np.size(changes)) + 2e-4 * move
    assert np.var(changes) < largest_variance * 1.05


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(2, 5),
    columns=st.integers(1, 5),
    cycles=st.integers(1, 4),
    slots=st.integers(1, 8),
    deviation=st.sampled_from((0.0, 0.3, 2.0)),
    w_max=st.sampled_from((0.005, 0.6, "off")),
    weight=st.one_of(
        st.builds(
            lambda fraction: {"bits": fraction + 1, "fraction_bits": fraction, "rounding": "stochastic"},
            st.sampled_from((17, 7, 3, 21)),
        ),
        st.just({"rounding": "nearest"}),
    ),
    seed=st.integers(0, 2**32),
)
def test_pulses_move_every_device_as_stated(
    rows: int,
    columns: int,
    cycles: int,
    slots: int,
    deviation: float,
    w_max: float | str,
    weight: dict[str, Any],
    seed: int,
) -> None:
    """Device by device and cycle by cycle in Python's integers: count, noise, step, rounding, clip."""
    device = {"dw_min_std": deviation, "w_max": w_max}
    stage = array_stage(rows, columns, device=device, update={"desired_bl": slots}, weight=weight)
    crossbar = Crossbar(stage, seed=seed)
    stochastic = weight["rounding"] == "stochastic"
    fraction = stage.array.weight.fraction_bits
    shift = 10 + max(21, fraction + 4) - fraction
    generator = np.random.default_rng(seed)
    sides = [
        PulseTrains(generator.random((cycles, slots, lines)) < 0.4, generator.random((cycles, lines)) < 0.5)
        for lines in (rows, columns)
    ]
    weights, parameters = crossbar.weights.tolist(), crossbar.parameters
    row_states, column_states = crossbar.row_noise, crossbar.column_noise
    coincidences = 0
    for cycle in range(cycles):
        if deviation or stochastic:
            fires = [side.pulses[cycle].any(axis=0) for side in sides]
            row_states = np.where(fires[0], crossbar.generator.advance(row_states), row_states)
            column_states = np.where(fires[1], crossbar.generator.advance(column_states), column_states)
        for i, j in itertools.product(range(rows), range(columns)):
            together = sides[0].pulses[cycle, :, i] & sides[1].pulses[cycle, :, j]
            count = int(together.sum())
            coincidences += count
            word = int(crossbar.generator.word(row_states)[i]) ^ int(crossbar.generator.word(column_states)[j])
            mixed = mix(np.array(word))
            xi = int(gaussian(mixed))
            factor = (count << 10) + rounded(Fraction(xi * crossbar.stage.cycle_gains[count], 1 << 10))
            up = sides[0].negative[cycle, i] == sides[1].negative[cycle, j]
            change = Fraction(int(parameters["step_up" if up else "step_down"][i, j]) * factor, 1 << shift)
            if stochastic:
                change = math.floor(change + Fraction(int(mix(mixed, 3)), 1 << 24))
            else:
                change = rounded(change)
            moved = weights[i][j] + (change if up else -change)
            low, high = int(parameters["bound_low"][i, j]), int(parameters["bound_high"][i, j])
            weights[i][j] = min(max(moved, low), high)
    assert crossbar.pulse(*sides) == coincidences
    assert crossbar.weights.tolist() == weights
    assert crossbar.row_noise.tolist() == row_states.tolist()
    assert crossbar.column_noise.tolist() == column_states.tolist()


def test_every_cycle_clips() -> None:
    """At its bound, a weight that is moved up in one cycle and down in the next ends below the bound, because the first
    cycle is lost; summed over both, nothing would have moved. Down and then up again, it ends where it was."""
    slots = 5
    device = {**UNIFORM, "dw_min_std": 0, "w_max": 0.1}
    stage = array_stage(2, 1, device=device, update={"desired_bl": slots}, weight={"rounding": "nearest"})
    step, bound = round(0.001 * 2**17 * 16) * slots / 16, round(0.1 * 2**17)
    crossbar = Crossbar(stage, seed=1)
    crossbar.weights[:] = bound
    fires = np.ones((2, slots, 1), dtype=bool)
    up_then_down = PulseTrains(np.ones((2, slots, 2), dtype=bool), np.array([[False, True], [True, False]]))
    crossbar.pulse(up_then_down, PulseTrains(fires, np.zeros((2, 1), dtype=bool)))
    assert crossbar.weights.ravel().tolist() == [bound - round(step), bound]


@pytest.mark.parametrize(("deviation", "rounding"), ((0.3, "nearest"), (0, "stochastic"), (0, "nearest")))
def test_a_line_draws_in_the_cycles_in_which_it_fires(deviation: float, rounding: str) -> None:
    """Once a cycle, however many its pulses, also where the other side is silent; and not at all where no move needs a
    word: without cycle-to-cycle deviation, rounded to nearest."""
    stage = array_stage(3, 4, device={"dw_min_std": deviation}, weight={"rounding": rounding})
    crossbar = Crossbar(stage, seed=1)
    rows, columns = (np.zeros((7, 10, lines), dtype=bool) for lines in (3, 4))
    rows[2, :, 0] = rows[4, 3, 0] = rows[2, 9, 1] = True  # lines 0, 1 and 2 fire in 2, 1 and no cycles
    columns[5:, 1, 0] = columns[:, :, 3] = True  # columns 0 and 3 in 2 and 7
    before = crossbar.row_noise.copy(), crossbar.column_noise.copy()
    assert crossbar.pulse(with_signs(rows), with_signs(columns)) == 10 + 1 + 1
    draws = ([2, 1, 0], [2, 0, 0, 7]) if crossbar.stage.cycle_noise else ([0] * 3, [0] * 4)
    for states, began, counts in zip((crossbar.row_noise, crossbar.column_noise), before, draws, strict=True):
        expected = [crossbar.generator.jump(began[k : k + 1], count)[0] for k, count in enumerate(counts)]
        assert states.tolist() == expected


def test_an_ideal_change_is_clipped_to_every_devices_bounds() -> None:
    crossbar = Crossbar(array_stage(30, 40), seed=1)
    before = crossbar.weights.copy()
    change = np.random.default_rng(1).integers(-(1 << 17), 1 << 17, before.shape)
    crossbar.add(change)
    low, high = crossbar.parameters["bound_low"], crossbar.parameters["bound_high"]
    np.testing.assert_array_equal(crossbar.weights, np.minimum(np.maximum(before + change, low), high))
    assert (crossbar.weights == low).any() and (crossbar.weights == high).any()
