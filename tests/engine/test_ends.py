"""The ends of every range in the engine, reached on purpose: limits of words and converters, the longest pulse trains, the
widest shifts and counters, and arrays of every size around the machine's vectors.

Each test first makes sure that the golden model did reach the end.
"""

from __future__ import annotations

import numpy as np
import pytest

from emulator.array.crossbar import Crossbar
from emulator.config import Config
from emulator.fixed import LARGEST_EXPONENT, WORD_BITS
from emulator.machine import COUNTERS
from emulator.network.network import GoldenMachine
from emulator.periphery.lfsr import Lfsr
from emulator.trace import Trace
from tests.engine.directed import (
    BLACK,
    FRACTION,
    ONE,
    WHITE,
    array,
    both_signs,
    column,
    errors_of,
    network,
    run,
    vectors,
    with_array,
)

#: More lanes than any machine's vectors have: arrays of 1 line up to one more than that cover every tail.
WIDEST_VECTOR = 8
HALF_WEIGHT = 1 << 18


def reads_and_repeats(traces: list[Trace], layer: str, direction: str) -> tuple[int, int]:
    """How many reads of a layer the traces have, and how many of them are repeats."""
    attempts = [
        place.attempt
        for trace in traces
        for place in trace.records
        if (place.layer, place.operation, place.item) == (layer, direction, "adc")
    ]
    return len(attempts), sum(attempt > 0 for attempt in attempts)


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("halvings", (0, 1))
def test_adc_limit(halvings: int) -> None:
    """Sums around the limit in quarters of a code, of both signs: from the last code below it to far beyond. A code that
    rounds up to the limit saturates too."""
    limit = 128  # a bound of 1 at a code of 2**-7
    quarters = 4 * limit
    sums = both_signs(*range(quarters - 8, quarters + 9), 2 * quarters, HALF_WEIGHT)
    arrays = array(
        forward={"bound": 1.0, "bound_management": halvings},
        converters={"dac_fraction_bits": 7, "adc_fraction_bits": 7},
        weight={"fraction_bits": 9},
    )
    traces = run(network([len(sums), 2], arrays), {"L0": column(*sums)})
    first = traces[0].records[next(place for place in traces[0].ordered() if place.item == "adc")]
    expected = [min((abs(value) + 2) // 4, limit) * (1 if value > 0 else -1) for value in sums]
    assert first.tolist() == expected
    assert {limit - 2, limit - 1, limit, -limit} <= set(expected)
    assert reads_and_repeats(traces, "L0", "forward") == (1 + halvings, halvings)


@pytest.mark.parametrize("noise", (0.0, 4.0))
@pytest.mark.parametrize("direction", ("forward", "backward"))
def test_most_halvings(direction: str, noise: float) -> None:
    """A bound of one code saturates at every halving: by the sums alone, or by the noise alone."""
    most = 12
    read = {"bound": 0.0001, "noise": noise, "bound_management": most}
    weights = {"forward": np.array([[HALF_WEIGHT], [-HALF_WEIGHT]]), "backward": errors_of(HALF_WEIGHT)}[direction]
    driven = {"forward": ONE, "backward": 0}[direction]
    config = with_array(network([1, 2], array()), "L1", array(**{direction: read}))
    traces = run(config, {"L0": column(driven), "L1": 0 * weights if noise else weights})
    assert reads_and_repeats(traces, "L1", direction) == (most + 1, most)


def test_dac_full_range() -> None:
    """Inputs of the second layer beyond 1, which the DAC does not reach."""
    values = both_signs(ONE - 1, ONE, ONE + 1, 2 * ONE, 5 * ONE)
    arrays = array(converters={"dac_fraction_bits": 9})
    traces = run(network([len(values), 2], arrays), {"L0": column(*values)})
    codes = vectors(traces, "L1", "forward", "dac")
    assert codes.max() == 512 and codes.min() == -512
    assert (np.abs(codes) == 512).sum() == len(values)


@pytest.mark.parametrize("mode", ("none", "power_of_two", "exact", "constant"))
def test_vectors_of_zeros(mode: str) -> None:
    """No input and no error: an image of black pixels, and logits so far apart that the softmax is certain."""
    read = {"noise": 0.06, "noise_management": mode}
    arrays = array(forward=read, backward=read, update={"management": mode if mode != "constant" else "exact"})
    certain = {"L0": column(ONE, ONE, ONE), "L1": np.array([[8 * ONE] * 3, [-8 * ONE] * 3])}
    traces = run(network([3, 2], arrays), certain, [[WHITE], [BLACK]], [0, 1])
    assert not vectors(traces[:1], "L1", "update", "delta").any()
    assert not vectors(traces[1:], "L0", "update", "x").any()


def test_amplified_codes() -> None:
    """Converters so much finer than the weights that sums are shifted to the left to become codes."""
    arrays = array(
        converters={"dac_fraction_bits": 1, "adc_fraction_bits": 14},
        weight={"bits": 5, "fraction_bits": 3},
        update={"mode": "exact"},
    )
    config = network([6, 3], arrays)
    assert config.stages[0].adc_shift < 0
    traces = run(config, {"L0": column(*both_signs(1, 7, 15))})
    assert vectors(traces, "L0", "forward", "adc").tolist() == [value << 11 for value in both_signs(1, 7, 15)]


# --- activations and errors -------------------------------------------------------------------------------------------


def test_largest_activations() -> None:
    """`identity` ends with its word, `tanh` with its table."""
    values = both_signs(8 * ONE - 2, 8 * ONE - 1, 8 * ONE, 8 * ONE + 1, 16 * ONE)
    formats = {"activation_bits": 14}
    limit = (1 << 13) - 1
    traces = run(network([len(values), 2], array(), formats=formats), {"L0": column(*values)})
    activations = vectors(traces, "L0", "forward", "activation")
    assert activations.tolist() == [limit if value > 0 else -limit for value in values]
    traces = run(network([len(values), 2], array(), activation="tanh"), {"L0": column(*values)})
    assert (np.abs(vectors(traces, "L0", "forward", "activation")) == ONE).all()


def test_smallest_activations() -> None:
    """Codes around 0 have the sign they have, and 0 none."""
    values = (-1, 0, 1)
    for activation in ("identity", "tanh"):
        traces = run(network([3, 2], array(), activation=activation), {"L0": column(*values)})
        assert vectors(traces, "L0", "forward", "activation").tolist() == list(values)


@pytest.mark.parametrize("error_bits", (4, 16))
def test_ends_of_the_shared_exponent(error_bits: int) -> None:
    """Errors so large that the exponent stays at 0 and mantissas saturate, and so small that it stays at its largest."""
    arrays = array(
        backward={"noise_management": "constant", "constant_exponent": -8},
        converters={"adc_fraction_bits": 1},
        weight={"bits": 22, "fraction_bits": 2},
        update={"mode": "exact"},
    )
    limit = (1 << (error_bits - 1)) - 1
    values = both_signs(1 << 13, 1 << 20, 1 << 9, 4)
    formats = {"error_bits": error_bits}
    config = network([len(values), 2], arrays, formats=formats)
    traces = run(config, {"L0": np.zeros((len(values), 1)), "L1": errors_of(*values)})
    assert vectors(traces, "L0", "error", "exponent").tolist() == [0]
    assert np.abs(vectors(traces, "L0", "error", "delta")).max() == limit
    # Errors of +-1/2, divided by 2**-24, drive the full range and come back as sums with 24 further fraction bits.
    arrays = array(backward={"noise_management": "constant", "constant_exponent": 24})
    values = both_signs(0, 1, 2, 3)
    config = network([len(values), 2], arrays, formats=formats)
    traces = run(config, {"L0": np.zeros((len(values), 1)), "L1": errors_of(*values)})
    assert vectors(traces, "L0", "error", "fraction")[0] == 24 + FRACTION
    assert vectors(traces, "L0", "error", "sums").max() == 6
    wanted = 24 + FRACTION + (error_bits - 1) - 3  # so that 6, of 3 bits, becomes a whole mantissa
    assert vectors(traces, "L0", "error", "exponent").tolist() == [min(wanted, LARGEST_EXPONENT)]
    assert (wanted > LARGEST_EXPONENT) == (error_bits == 16)


# --- updates ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("management", ("none", "power_of_two", "exact"))
@pytest.mark.parametrize("probability_bits", (2, 24))
@pytest.mark.parametrize("sharing", (1, 5))
def test_longest_trains(management: str, probability_bits: int, sharing: int) -> None:
    """Probability 1 on every line: all 63 slots of all lines fire, and every device coincides 63 times."""
    arrays = array(
        update={
            "desired_bl": 63,
            "management": management,
            "probability_bits": probability_bits,
            "generator_sharing": sharing,
        },
        device={"dw_min": 2.0**-12, "dw_min_std": 2.0},
    )
    pixels = 9
    traces = run(network([2], arrays, pixels, learning_rate=1.0), {"L0": np.zeros((2, pixels))}, [[WHITE] * pixels])
    for side, lines in (("row", 2), ("column", pixels)):
        assert vectors(traces, "L0", "update", f"{side}_probability").tolist() == [1 << probability_bits] * lines
        assert vectors(traces, "L0", "update", f"{side}_pulses").tolist() == [(1 << 63) - 1] * lines
    assert vectors(traces, "L0", "update", "coincidences").tolist() == [63] * (2 * pixels)


@pytest.mark.parametrize("management", ("none", "power_of_two", "exact"))
@pytest.mark.parametrize("rate", (1e-60, 1e-12))
def test_probabilities_that_vanish(management: str, rate: float) -> None:
    """Gains whose shifts are wider than a word: no line fires, though inputs and errors are large."""
    arrays = array(update={"management": management, "desired_bl": 63}, device={"dw_min": 0.1})
    arrays["weight"]["fraction_bits"] = 17
    traces = run(network([2], arrays, learning_rate=rate), {"L0": np.zeros((2, 1))}, [[WHITE]] * 2, [0, 1])
    assert np.abs(vectors(traces, "L0", "update", "delta")).min() > 0
    widest = max(vectors(traces, "L0", "update", f"{side}_shift").max() for side in ("row", "column"))
    assert widest > 63 or rate > 1e-60
    if rate < 1e-12:
        assert not vectors(traces, "L0", "update", "row_pulses").any()


def state_drawing(word: int, width: int, newest: int = 0) -> int:
    """A state of a generator whose next word is this one, and whose newest bits are these. The oldest bits of the state
    reach the word one by one."""
    generator, state = Lfsr(width), newest
    for bit in range(WORD_BITS):
        drawn = int(generator.advance(np.array([state], dtype=np.uint64))[0])
        state |= ((drawn ^ word) >> bit & 1) << (width - WORD_BITS + bit)
    return state


@pytest.mark.parametrize("width", (32, 48, 64))
@pytest.mark.parametrize("probability_bits", (2, 24))
def test_words_at_the_threshold(width: int, probability_bits: int) -> None:
    """Words around a probability of 1/2: a line fires below it, and not at it."""
    half = 1 << (WORD_BITS - 1)
    words = (half - 1, half, half + 1)
    arrays = array(update={"probability_bits": probability_bits}, device={"dw_min": 2.0**-8})
    config = network([3, 2], arrays, learning_rate=2.0**-8, generator={"width": width})
    weights = {"L0": column(ONE // 2, ONE // 2, ONE // 2), "L1": np.zeros((2, 3))}
    states = np.array([state_drawing(word, width) for word in words], dtype=np.uint64)
    traces = run(config, weights, further={"L1.column_pulse": states})
    assert vectors(traces, "L1", "update", "column_probability").tolist() == [1 << (probability_bits - 1)] * 3
    assert vectors(traces, "L1", "update", "column_pulses").tolist() == [1, 0, 0]


@pytest.mark.parametrize("sharing", (1, 2))
def test_words_of_zero(sharing: int) -> None:
    """Generators that draw 0: a line of probability 0 does not fire, and any other does, however it rotates the word."""
    arrays = array(update={"generator_sharing": sharing}, device={"dw_min": 2.0**-8})
    pixels = [BLACK, WHITE, BLACK, 1, 1, BLACK]
    config = network([2], arrays, len(pixels), learning_rate=2.0**-8)
    states = {
        f"L0.{side}_pulse": np.full(
            count // sharing, state_drawing(0, config.generator.width, newest=1), dtype=np.uint64
        )
        for side, count in (("row", 2), ("column", 6))
    }
    traces = run(config, {"L0": np.zeros((2, len(pixels)))}, [pixels], further=states)
    assert vectors(traces, "L0", "update", "column_pulses").tolist() == [int(pixel > 0) for pixel in pixels]
    assert vectors(traces, "L0", "update", "row_pulses").tolist() == [1, 1]


def test_one_side_silent() -> None:
    """Black pixels and certain errors: rows fire and columns do not, so that the rows alone draw."""
    arrays = array(device={"dw_min_std": 0.3, "dw_min": 2.0**-12})
    traces = run(network([2], arrays, 3, learning_rate=1.0), {}, [[BLACK] * 3] * 2, [0, 1])
    assert vectors(traces, "L0", "update", "row_pulses").all()
    assert not vectors(traces, "L0", "update", "column_pulses").any()
    assert len(np.unique(vectors(traces, "L0", "update", "row_noise"))) == 4
    assert len(np.unique(vectors(traces, "L0", "update", "column_noise"))) == 3


@pytest.mark.parametrize("mode", ("pulsed", "exact"))
@pytest.mark.parametrize("w_max", ("off", 0.05))
def test_bounds_of_weights(mode: str, w_max: float | str) -> None:
    """Errors of +-1/2 push weights of both ends, on them and within a step, past their bounds, and of both replicas."""
    arrays = array(
        update={"mode": mode},
        replication=2,
        device={"w_max": w_max, "dw_min": 0.01},
        weight={"bits": 14, "fraction_bits": 13},
    )
    config = network([2], arrays, 8, learning_rate=0.5)
    crossbar = Crossbar(config.stages[0], config.seed)
    low, high = (bounds.ravel() for bounds in crossbar.device.bounds(crossbar.parameters))
    inside = np.arange(len(high)) % 3
    weights = {"L0": np.where(np.arange(len(high)) % 2, high - inside, low + inside).reshape(4, 8)}
    traces = run(config, weights, [[WHITE] * 8] * 4, [0, 1, 0, 1])
    for trace in traces:
        ends = vectors([trace], "L0", "update", "weights")
        assert (ends == high).sum() >= 2 and (ends == low).sum() >= 2


def test_widest_shift_of_the_exact_update() -> None:
    """A rate so small that changes are shifted by more than the 64 bits of a word: nothing moves."""
    rate = 1e-14
    arrays = array(update={"mode": "exact"})
    config = network([2], arrays, learning_rate=rate)
    stage = config.stages[0]
    weights = np.array([[1], [-1]])
    traces = run(config, {"L0": weights})
    shift = vectors(traces, "L0", "error", "exponent")[0] + FRACTION + stage.rate_gain[1] - FRACTION
    assert shift > 64
    assert vectors(traces, "L0", "update", "delta").all()
    assert vectors(traces, "L0", "update", "weights").tolist() == [1, -1]


def test_counters_beyond_32_bits() -> None:
    """Counters go on from values around 2**31, 2**32 and 2**53."""
    config = network([3, 2], array(forward={"bound": 0.1, "noise": 1.0, "bound_management": 2}), learning_rate=1.0)
    for start in ((1 << 31) - 1, (1 << 32) - 1, (1 << 53) + 1):
        further = {f"L{layer}.counters": np.full(len(COUNTERS), start, dtype=np.int64) for layer in (0, 1)}
        traces = run(config, {}, [[WHITE]] * 3, [0, 1, 0], further)
        assert len(traces) == 3
        golden = GoldenMachine(config)
        golden.load(golden.state() | further)
        golden.train(np.full((3, 1, 1), WHITE, dtype=np.uint8), np.array([0, 1, 0], dtype=np.uint8))
        assert (golden.state()["L1.counters"][[0, 1, 3, 6, 7]] > start).all()


# --- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", (32, 48, 64))
@pytest.mark.parametrize("replication", (1, 3))
@pytest.mark.parametrize("sharing", (1, 5))
@pytest.mark.parametrize("first", (1, 2))
def test_every_size_of_array(width: int, replication: int, sharing: int, first: int) -> None:
    """Layers of 1, 3, 5 ... or 2, 4, 6 ... outputs up to past two vectors, and down again: every tail of a vector on both
    sides, arrays of one row or one column, and replicas along either side. The noise saturates now and then where there
    are lines, and always where there are none, because a generator at 0 gives the largest Gaussian word."""
    read = {"noise": 4.0, "bound": 8.0, "bound_management": 2}
    arrays = {
        "replication": replication,
        "forward": read,
        "backward": {**read, "noise_management": "exact"},
        "update": {"desired_bl": 3, "generator_sharing": sharing},
        "device": {"dw_min": 0.02},
    }
    sizes = [*range(first, 2 * WIDEST_VECTOR + 2, 2)]
    config = network([*sizes, *reversed(sizes), 2], arrays, generator={"width": width}, learning_rate=1.0)
    stages = config.stages
    assert {stage.replicate_rows for stage in stages} == {False, True}
    shapes = {(stage.rows, stage.columns) for stage in stages}
    assert (first, 1) in shapes and (1 in {columns for _, columns in shapes})
    traces = run(config, {}, [[WHITE]] * 2, [0, 1])
    saturated = np.concatenate([vectors(traces, stage.name, "forward", "saturated") for stage in stages])
    assert 0 < saturated.mean() < 0.5


@pytest.mark.parametrize("mode", ("pulsed", "exact"))
def test_convolutions_of_odd_sizes(mode: str) -> None:
    """Two convolutions with pooling, of which an odd row or column takes no part, over images whose maxima lie elsewhere
    each time: patches of the second overlap, so that errors of its input add up."""
    arrays = array(update={"mode": mode}, device={"dw_min": 0.02}, weight={"initial_range": 4.0})
    layers = {
        "L0": {"type": "convolution", "kernel": 2, "outputs": 3, "activation": "tanh", "array": arrays},
        "P0": {"type": "max_pooling"},
        "L1": {"type": "convolution", "kernel": 2, "outputs": 5, "activation": "tanh", "array": arrays},
        "P1": {"type": "max_pooling"},
        "L2": {"type": "fully_connected", "outputs": 3, "activation": "softmax", "array": arrays},
    }
    tree = {"classes": 3, "input": {"height": 8, "width": 10}, "learning_rate": 0.1, "layers": layers}
    config = Config.model_validate(tree)
    assert [(stage.output_height, stage.output_width) for stage in config.stages] == [(7, 9), (2, 3), (1, 1)]
    images = np.random.default_rng(1).integers(0, 256, (4, 80))
    traces = run(config, {}, images.tolist(), [0, 1, 2, 0])
    for layer in ("L0", "L1"):
        first, second = (vectors([trace], layer, "update", "delta") for trace in traces[:2])
        assert ((first != 0) & (second == 0)).any()
    # Inner elements of the second array's input belong to two patches.
    sums = vectors(traces[:1], "L0", "error", "sums").reshape(3, 4, 3)
    parts = vectors(traces[:1], "L1", "backward", "z").reshape(2, 3, -1)[:, :, :12].reshape(2, 3, 2, 2, 3)
    both = (parts[:, :-1, :, 1] != 0) & (parts[:, 1:, :, 0] != 0)
    assert both.any()
    np.testing.assert_array_equal(sums[0, 1], parts[0, 0, 0, 1] + parts[0, 1, 0, 0])
