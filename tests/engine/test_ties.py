"""Every rounding of the engine at exact ties, of both signs where values have both: the golden model's bits.

Each test first makes sure that the golden model did round ties there.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from emulator.array import crossbar, noise
from emulator.array.devices import DEVICE_MODELS
from emulator.config import Config
from emulator.config.tables import FINE_FRACTION_BITS, exponential_tables
from emulator.fixed import CYCLE_FRACTION_BITS, DRAW_FRACTION_BITS, RECIPROCAL_GUARD_BITS
from emulator.network import layers, tile
from emulator.network.network import pixels_to_activations
from emulator.periphery import activation, average, block_exponent, scaler, softmax, update_management
from tests.engine.directed import (
    FRACTION,
    ONE,
    WHITE,
    array,
    both_signs,
    column,
    errors_of,
    is_tie,
    network,
    run,
    ties_of,
    vectors,
    with_array,
)


def assert_both(ties: dict[int, int], least: int = 4) -> None:
    assert min(ties.values()) >= least, ties


# --- reading ----------------------------------------------------------------------------------------------------------


def test_adc() -> None:
    """Sums with one bit more than the code, so that every odd sum is a tie, forward and backward."""
    values = both_signs(*range(1, 9))
    arrays = array(converters={"adc_fraction_bits": FRACTION - 1}, weight={"fraction_bits": FRACTION - 2})
    arrays["converters"]["dac_fraction_bits"] = 2
    assert network([len(values), 2], arrays).stages[0].adc_shift == 1
    for pixels in (64, 191):  # DAC codes 1 and 3
        with ties_of(crossbar) as ties:
            traces = run(network([len(values), 2], arrays), {"L0": column(*values)}, [[pixels]])
        assert_both(ties)
        assert (vectors(traces, "L0", "forward", "adc") != 0).all()


@pytest.mark.parametrize("mode", ("none", "power_of_two", "exact", "constant"))
@pytest.mark.parametrize("halvings", (0, 2))
def test_dac(mode: str, halvings: int) -> None:
    """Inputs of the second layer at ties of every scaling; at a power of two as the largest, the reciprocal of `exact` is
    one too. With a bound, the halved inputs of repeated reads are driven as well."""
    values = both_signs(*(1 << k for k in range(FRACTION)), *(3 << k for k in range(FRACTION - 2)), ONE)
    second = array(
        converters={"dac_fraction_bits": 9},
        forward={"noise_management": mode, "bound_management": halvings, "constant_exponent": 1},
        backward={"noise_management": mode},
    )
    if halvings:
        second["forward"]["bound"] = 0.25
    config = with_array(network([len(values), 2], array()), "L1", second)
    weights = np.zeros((2, len(values)), dtype=np.int32)
    weights[0, len(values) // 2 - 1] = ONE if halvings else 0
    with ties_of(scaler) as ties:
        traces = run(config, {"L0": column(*values), "L1": weights})
    assert_both(ties, least=2)
    assert max(place.attempt for trace in traces for place in trace.records if place.layer == "L1") == halvings


@pytest.mark.parametrize("replication", (3, 5, 6, 7))
@pytest.mark.parametrize("pixels", (1, 40))
def test_mean_over_replicas(replication: int, pixels: int) -> None:
    """Totals of ADC codes at ties of the multiplication by the reciprocal; with one pixel columns are replicated, and
    with 40, rows."""
    fraction = 14
    arrays = array(
        replication=replication,
        converters={"dac_fraction_bits": fraction, "adc_fraction_bits": fraction},
        weight={"bits": 20, "fraction_bits": fraction},
    )
    outputs = 12
    config = network([outputs, 2], arrays, pixels)
    stage = config.stages[0]
    assert stage.replicate_rows == (pixels > 1)
    even = stage.average_reciprocal & -stage.average_reciprocal  # its factors of two
    half = (1 << (15 - stage.average_guard_bits)) // even
    totals = half * (2 * np.arange(outputs) - outputs + 1)
    assert is_tie(totals * stage.average_reciprocal, 16 - stage.average_guard_bits).all()
    weights = np.zeros((stage.physical_rows, stage.physical_columns), dtype=np.int32)
    weights[:outputs, 0] = totals  # of the first replica
    image = [WHITE] + [0] * (pixels - 1)
    with ties_of(average) as ties:
        run(config, {"L0": weights}, [image])
    assert_both(ties)


@pytest.mark.parametrize("pixels", (1, 40))
def test_pre_activation(pixels: int) -> None:
    """Two replicas leave half a code, which goes when pre-activations return to the LSB of the ADC."""
    outputs = 12
    config = network([outputs, 2], array(replication=2), pixels)
    stage = config.stages[0]
    weights = np.zeros((stage.physical_rows, stage.physical_columns), dtype=np.int32)
    weights[:outputs, 0] = 2 * np.arange(outputs) - outputs + 1
    with ties_of(tile) as ties:
        run(config, {"L0": weights}, [[WHITE] + [0] * (pixels - 1)])
    assert_both(ties)


def test_scaled_pre_activation() -> None:
    """Noise management multiplies by the largest input, here 0.5 and 1 at once, and its fraction bits go again."""
    arrays = array(forward={"noise_management": "exact"})
    values = both_signs(1, 3, 5, 7, 9)
    with ties_of(tile) as ties:
        run(network([len(values), 2], arrays), {"L0": column(*values)}, [[128]])
    assert ties[1] == ties[-1] == 0  # 2056 / 4096 is no half
    halves = np.zeros((2, len(values)), dtype=np.int32)
    halves[:, 0] = 1, -1
    with ties_of(tile) as ties:
        run(network([len(values), 2], arrays), {"L0": column(ONE // 2, *values[1:]), "L1": halves})
    assert_both(ties, least=1)


# --- activations ------------------------------------------------------------------------------------------------------


def test_pixels_have_no_ties_and_are_the_same() -> None:
    """pixel * 2**fraction / 255 never lies between two integers, because 2 * pixel * 2**fraction is even and 255 odd. All
    pixels at once, at both ends of the format."""
    image = np.arange(256, dtype=np.uint8)
    for fraction in (2, 14):
        assert ((image.astype(np.int64) << (fraction + 1)) % 510 != 255).all()
        formats = {"activation_bits": 16, "activation_fraction_bits": fraction}
        traces = run(network([2], array(), 256, formats=formats), {}, [image.tolist()])
        expected = pixels_to_activations(image[None], fraction)[0, :, 0]
        np.testing.assert_array_equal(vectors(traces, "L0", "forward", "x"), expected)


def test_identity() -> None:
    """Activations of one bit less than the ADC's codes."""
    values = both_signs(1, 2, 3, 5, 7)
    formats = {"activation_fraction_bits": FRACTION - 1}
    with ties_of(activation) as ties:
        run(network([len(values), 2], array(), formats=formats), {"L0": column(*values)})
    assert_both(ties)


def test_derivative_and_errors() -> None:
    """Activations of three fraction bits, whose squares of 4 modulo 8 are ties; and mantissas times such derivatives.
    Squares have one sign, the products both."""
    fraction = 3
    formats = {"activation_bits": 8, "activation_fraction_bits": fraction, "error_bits": 6}
    eighths = np.array([2, -6, 1, -3])
    errors = np.array([4, 12, 20, 28, 31, 7])
    activations, mantissas = (grid.ravel() for grid in np.meshgrid(eighths, errors))
    pre_activations = np.round(np.arctanh(activations / 8) * ONE).astype(np.int64)
    # Each activation has errors of both signs, so that the logits cancel and the classes stay at 1/2.
    weights = {"L0": column(*pre_activations, *pre_activations), "L1": errors_of(*both_signs(*mantissas))}
    config = network([2 * len(mantissas), 2], array(), activation="tanh", formats=formats)
    with ties_of(activation) as squares, ties_of(layers) as products:
        traces = run(config, weights)
    assert vectors(traces, "L0", "forward", "activation").tolist() == [*activations, *activations]
    assert vectors(traces, "L0", "error", "mantissa").tolist() == [*mantissas, *-mantissas]
    assert squares[1] >= 4 and squares[-1] == 0
    assert_both(products)


def test_shared_exponent() -> None:
    """Errors of four bits, mantissas of three: every odd error is a tie, and the largest rounds past the mantissa."""
    values = range(-15, 16)
    with ties_of(block_exponent) as ties:
        traces = run(
            network([len(values), 2], array(), formats={"error_bits": 4}),
            {"L0": np.zeros((len(values), 1)), "L1": errors_of(*values)},
        )
    assert_both(ties)
    assert vectors(traces, "L0", "error", "sums").tolist() == list(values)
    delta = vectors(traces, "L0", "error", "delta")
    assert delta.min() == -7 and delta.max() == 7


def test_softmax() -> None:
    """Distances of logits at which the product of the two tables of the exponential is a tie. Only the finest converters
    have any."""
    fraction = 14
    coarse, fine = exponential_tables(fraction)
    products = coarse[:, None] * fine[None, :]
    distances = np.flatnonzero(is_tie(products, FINE_FRACTION_BITS))
    assert len(distances) == 12
    converters = {"dac_fraction_bits": fraction, "adc_fraction_bits": fraction}
    config = network([13], array(converters=converters, weight={"bits": 24, "fraction_bits": fraction}))
    with ties_of(softmax) as ties:
        run(config, {"L0": column(0, *(-distances))})
    assert ties == {1: 12, -1: 0}


def test_pooling() -> None:
    """Of equal values the first one wins; the last row and column of an odd number take no part, whatever they hold."""
    size, kernel = 4, 2
    convolution = {"type": "convolution", "kernel": kernel, "outputs": 2, "activation": "identity", "array": array()}
    last = {"type": "fully_connected", "outputs": 2, "activation": "softmax", "array": array()}
    config = Config.model_validate(
        {
            "classes": 2,
            "input": {"height": size, "width": size},
            "layers": {"L0": convolution, "P0": {"type": "max_pooling"}, "L1": last},
        }
    )
    assert config.stages[0].output_height == 3
    outputs = {"L0": np.array([[ONE, 0, 0, 0, 0], [-ONE, 0, 0, 0, 0]])}
    equal = [WHITE] * size * size
    edge = np.zeros((size, size), dtype=int)
    edge[2, :3] = edge[:3, 2] = WHITE  # the upper left pixels of the patches of the last row and column
    inner = np.zeros((size, size), dtype=int)
    inner[0, 1] = inner[1, 0] = WHITE
    traces = [run(config, outputs, [image])[0] for image in (equal, edge.ravel().tolist(), inner.ravel().tolist())]
    first, second, third = (vectors([trace], "L0", "forward", "argmax").tolist() for trace in traces)
    assert first == second == [0, 0]
    assert third == [1, 0]
    assert vectors(traces[1:2], "L0", "forward", "activation").any()
    assert not vectors(traces[1:2], "L0", "forward", "pooled").any()


# --- updates ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("desired_bl", "coincidences", "gain"),
    ((1, 1, 512), (5, 1, 512), (5, 2, 512), (63, 63, 1536)),
)
def test_cycle_noise(desired_bl: int, coincidences: int, gain: int) -> None:
    """A gain of half a unit on Gaussian words, which are odd: every coincidence of that number is a tie."""
    deviation = gain / _gain(1.0, coincidences)
    fires_always = coincidences == 63
    arrays = array(
        update={"desired_bl": desired_bl},
        device={"dw_min": 0.001 if fires_always else 0.02, "dw_min_std": deviation},
        weight={"bits": 24, "fraction_bits": 17},
    )
    config = network([10], arrays, 16, learning_rate=1.0 if fires_always else 0.015 * desired_bl)
    assert config.stages[0].cycle_gains[coincidences] == gain
    with ties_of(noise) as ties:
        traces = run(config, {}, [[WHITE] * 16] * 6, range(6))
    assert_both(ties)
    assert (vectors(traces, "L0", "update", "coincidences") == coincidences).any()


def _gain(deviation: float, coincidences: int) -> float:
    """What Stage.cycle_gains rounds."""
    unit = array(update={"desired_bl": 63}, device={"dw_min_std": 1.0})
    exact = network([2], unit).stages[0].cycle_gains[63] / math.sqrt(63)  # within 1e-4 of itself
    scale = 2.0 ** (CYCLE_FRACTION_BITS + DRAW_FRACTION_BITS)
    assert 0.9 < exact / (scale / 1034.6) < 1.1
    return deviation * math.sqrt(coincidences) * exact


@pytest.mark.parametrize("model", DEVICE_MODELS)
def test_move_of_a_device(model: str) -> None:
    """Devices of one and a half LSBs a step, without noise: a single coincidence, up or down, is a tie."""
    step = 1.5
    arrays = array(device={"model": model, "dw_min": math.ldexp(step, -FRACTION)}, weight={"rounding": "nearest"})
    config = network([2], arrays, 8, learning_rate=math.ldexp(step, -FRACTION))
    traces = run(config, {}, [[WHITE] * 8] * 8, [0, 1] * 4)
    assert (vectors(traces, "L0", "update", "coincidences") == 1).all()
    assert len(vectors(traces, "L0", "update", "coincidences")) > 10
    negative = vectors(traces, "L0", "update", "row_negative")
    pulses = vectors(traces, "L0", "update", "row_pulses")
    assert set(negative[pulses != 0]) == {0, 1}


@pytest.mark.parametrize("mode", ("none", "power_of_two", "exact"))
def test_probabilities(mode: str) -> None:
    """Probabilities of two bits, and vectors in which every power of two occurs, of both signs: on the rows of the first
    layer as errors, on the columns of the second as activations."""
    values = both_signs(*(1 << k for k in range(FRACTION + 1)), *(3 << k for k in range(FRACTION - 1)))
    arrays = array(
        update={"management": mode, "probability_bits": 2},
        device={"dw_min": 2.0**-8},
        weight={"bits": 20},
    )
    rows, columns = np.zeros((len(values), 1), dtype=np.int32), np.zeros((2, len(values)), dtype=np.int32)
    # C**2 = 1; and 2 where errors of 1/2 meet inputs of 1, so that the root in `exact` is 1 in both cases.
    for rate, weights, driven in (
        (2.0**-8, {"L0": rows, "L1": errors_of(*values)}, ("L0", "update", "delta")),
        (2.0**-7 if mode == "exact" else 2.0**-8, {"L0": column(*values), "L1": columns}, ("L1", "update", "x")),
    ):
        config = network([len(values), 2], arrays, learning_rate=rate)
        with ties_of(update_management) as ties:
            traces = run(config, weights)
        assert ties[1] >= 2 and ties[-1] == 0
        assert vectors(traces, *driven).min() < 0 < vectors(traces, *driven).max()


def test_quotients_are_cut() -> None:
    """Reciprocals and multipliers of a hundred maxima, in the finest words: a quotient beyond a half is not rounded up."""
    converters = {"dac_fraction_bits": 14, "adc_fraction_bits": FRACTION}
    scaled = array(
        forward={"noise_management": "exact"}, update={"management": "exact", "desired_bl": 10}, converters=converters
    )
    full = {"bias": False, "outputs": 2}
    convolution = {**full, "type": "convolution", "kernel": 2, "activation": "identity", "array": scaled}
    last = {**full, "type": "fully_connected", "activation": "softmax", "array": array()}
    tree = {"classes": 2, "input": {"height": 11, "width": 11}, "layers": {"L0": convolution, "L1": last}}
    config = Config.model_validate(tree)
    stage = config.stages[0]
    pixels = np.random.default_rng(1).integers(0, 120, 121)
    traces = run(config, {}, [pixels.tolist()])
    largest = vectors(traces, "L0", "forward", "scale").tolist()
    assert len(set(largest)) > 30
    bits = stage.activation_magnitude_bits
    remainders = [
        (1 << (bits + stage.dac_fraction + RECIPROCAL_GUARD_BITS)) / (value << (bits - value.bit_length())) % 1
        for value in largest
    ]
    assert sum(remainder > 0.5 for remainder in remainders) > 10
    assert len(set(vectors(traces, "L0", "update", "column_multiplier").tolist())) > 30


@pytest.mark.parametrize("power", (0, 1, 2, 3, 4, 5))
def test_halves_of_the_ratio_of_maxima(power: int) -> None:
    """`power_of_two` halves the difference of two lengths, odd or even, negative or not."""
    arrays = array(update={"management": "power_of_two", "desired_bl": 10}, device={"dw_min": 2.0**-10})
    traces = run(
        network([4, 2], arrays, formats={"error_bits": 8}),
        {"L0": np.zeros((4, 1), dtype=np.int32), "L1": errors_of(1 << power, -(2 << power), 3, 1)},
        [[WHITE], [128], [60]],
        [0, 0, 0],
    )
    exponents = vectors(traces, "L0", "error", "exponent")
    delta = np.abs(vectors(traces, "L0", "update", "delta").reshape(3, 4)).max(axis=1)
    x = vectors(traces, "L0", "update", "x")
    differences = [
        int(d).bit_length() - int(e) - int(v).bit_length() + FRACTION
        for d, e, v in zip(delta, exponents, x, strict=True)
    ]
    assert min(differences) < 0
    assert {difference % 2 for difference in differences} == {0, 1}


@pytest.mark.parametrize("pixels", (1, 40))
def test_exact_update(pixels: int) -> None:
    """Products of errors and inputs at ties of the shift to the weight's LSB."""
    values = both_signs(*range(1, 16))
    arrays = array(update={"mode": "exact"}, replication=2)
    config = network([len(values), 2], arrays, pixels, learning_rate=0.5, formats={"error_bits": 12})
    stages = config.stages
    last = np.tile(errors_of(*values), (2, 1))
    first = np.zeros((stages[0].physical_rows, stages[0].physical_columns), dtype=np.int32)
    with ties_of(tile) as ties:
        run(config, {"L0": first, "L1": last}, [[WHITE] + [0] * (pixels - 1)])
    assert_both(ties)
