"""Cases of every block of the digital periphery: drawn stimulus, and the response of the block's model.

The widths are those that the paper's network needs (preset ``lenet``). The first axis counts the cases. The first cases
are corners throughout (0, 1, -1, the largest, the smallest word), the others have words of every length, with corners in
between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.config import Config, Stage, load
from emulator.errors import CrosspointError
from emulator.fixed import (
    GAIN_BITS,
    LARGEST_EXPONENT,
    PATH_BITS,
    RECIPROCAL_GUARD_BITS,
    SOFTMAX_FRACTION_BITS,
    TAPS,
    WORD_BITS,
    Integers,
)
from emulator.periphery.activation import activation, derivative
from emulator.periphery.average import average
from emulator.periphery.block_exponent import block_exponent
from emulator.periphery.bound_management import bound_management
from emulator.periphery.divider import divide
from emulator.periphery.im2col import col2im, im2col
from emulator.periphery.lfsr import Lfsr
from emulator.periphery.max_search import max_search
from emulator.periphery.noise_management import noise_management
from emulator.periphery.pooling import pool, unpool
from emulator.periphery.pulse_generator import pulse_trains
from emulator.periphery.replicate import replicate
from emulator.periphery.scaler import scale
from emulator.periphery.softmax import softmax_error
from emulator.periphery.square_root import square_root
from emulator.periphery.update_management import probability_words, update_management

#: Elements of a vector, where a block takes vectors of any length: two beats of eight lanes and a part of a third.
VECTOR_LENGTH = 19
#: Signed width of shifts.
SHIFT_BITS = 8
EXPONENT_BITS = LARGEST_EXPONENT.bit_length()
#: As many cases at most are corners throughout: 0, 1, -1, the largest, the smallest and their neighbours.
CORNERS = 7
#: One element in so many of the other cases is a corner.
CORNER_INTERVAL = 8
#: A volume with an odd side, small enough for thousands of cases.
VOLUME_SHAPE = (6, 5, 3)
KERNEL = 3
NOISE_MODES = ("none", "constant", "power_of_two", "exact")
UPDATE_MODES = ("none", "power_of_two", "exact")
CONSTANT_EXPONENT = 10

Parameters = dict[str, int | str | list[int]]


@dataclass(frozen=True)
class Port:
    """The words of a port, one case after another, and their width in bits, sign included."""

    values: NDArray[Any]
    width: int
    signed: bool = False


@dataclass(frozen=True)
class Vectors:
    """What goes into a block with these parameters, and what must come out."""

    parameters: Parameters
    stimulus: dict[str, Port]
    response: dict[str, Port]


# --- drawing --------------------------------------------------------------------------------------------------------


def _draw(generator: np.random.Generator, shape: tuple[int, ...], low: int, high: int) -> Integers:
    """Integers of ``low .. high``, corners first and in between, the others of every length of word."""
    corners = np.array([corner for corner in (0, 1, -1, high, low, high - 1, low + 1) if low <= corner <= high])
    largest = max(abs(low), abs(high))
    reach = np.left_shift(np.int64(1), generator.integers(0, largest.bit_length(), shape, endpoint=True))
    values = np.clip(generator.integers(np.maximum(-reach, low), np.minimum(reach, high), endpoint=True), low, high)
    at_corner = generator.integers(0, CORNER_INTERVAL, shape) == 0
    values = np.where(at_corner, generator.choice(corners, shape), values)
    for case, corner in zip(range(shape[0]), corners, strict=False):
        values[case] = corner
    return values


def _signed(generator: np.random.Generator, shape: tuple[int, ...], magnitude_bits: int) -> Integers:
    """Signed words without the most negative code, which no block's input holds."""
    limit = (1 << magnitude_bits) - 1
    return _draw(generator, shape, -limit, limit)


def _shrink(generator: np.random.Generator, vectors: Integers, magnitude_bits: int) -> Integers:
    """The corners as they are, the other vectors shifted down by any number of places: else the maximum of a vector
    were near full scale almost always."""
    places = generator.integers(0, magnitude_bits, (len(vectors), 1), endpoint=True)
    places[:CORNERS] = 0
    return vectors >> places


def _unsigned(generator: np.random.Generator, shape: tuple[int, ...], bits: int) -> Integers:
    return _draw(generator, shape, 0, (1 << bits) - 1)


@cache
def _config() -> Config:
    return load("lenet")


def _stage() -> Stage:
    """K2 of the paper's network: the convolution with the replicated array."""
    return _config().stages[1]


def _reading_bits() -> int:
    """Magnitude bits of an ADC code with bound management's halvings taken back."""
    read = _stage().forward
    return (read.limit << read.bound_management).bit_length()


# --- the blocks -----------------------------------------------------------------------------------------------------


def _activation(count: int, generator: np.random.Generator) -> Vectors:
    stage = _stage()
    fraction, bits = stage.activation_fraction, stage.activation_magnitude_bits
    y = _signed(generator, (count,), _reading_bits())
    tanh, identity = (activation(y, kind, stage.adc_fraction, fraction, bits) for kind in ("tanh", "identity"))
    return Vectors(
        {"input_fraction": stage.adc_fraction, "output_fraction": fraction, "magnitude_bits": bits},
        {"pre_activation": Port(y, _reading_bits() + 1, signed=True)},
        {
            "tanh": Port(tanh, bits + 1, signed=True),
            "tanh_derivative": Port(derivative(tanh, "tanh", fraction), bits),
            "identity": Port(identity, bits + 1, signed=True),
        },
    )


def _average(count: int, generator: np.random.Generator) -> Vectors:
    stage = _stage()
    copies, guard_bits = stage.array.replication, stage.average_guard_bits
    limit = copies * (stage.forward.limit << stage.forward.bound_management)
    total = _draw(generator, (count,), -limit, limit)
    return Vectors(
        {"replication": copies, "reciprocal": stage.average_reciprocal, "guard_bits": guard_bits},
        {"total": Port(total, limit.bit_length() + 1, signed=True)},
        {"mean": Port(average(total, stage.average_reciprocal, guard_bits), _reading_bits() + guard_bits + 1, True)},
    )


def _block_exponent(count: int, generator: np.random.Generator) -> Vectors:
    bits = _stage().error_magnitude_bits
    values = _shrink(generator, _signed(generator, (count, VECTOR_LENGTH), PATH_BITS - 1), PATH_BITS - 1)
    fraction = _draw(generator, (count,), 0, LARGEST_EXPONENT + 20)
    results = [block_exponent(tensor, int(places), bits) for tensor, places in zip(values, fraction, strict=True)]
    return Vectors(
        {"length": VECTOR_LENGTH, "magnitude_bits": bits, "largest_exponent": LARGEST_EXPONENT},
        {"values": Port(values, PATH_BITS, signed=True), "fraction": Port(fraction, SHIFT_BITS, signed=True)},
        {
            "mantissas": Port(np.array([mantissas for mantissas, _ in results]), bits + 1, signed=True),
            "exponent": Port(np.array([exponent for _, exponent in results]), EXPONENT_BITS),
        },
    )


def _bound_management(count: int, generator: np.random.Generator) -> Vectors:
    largest = 12
    saturated = generator.integers(0, 2, count)
    limit = _draw(generator, (count,), 0, largest)
    halvings = generator.integers(0, limit, endpoint=True)
    results = [
        bound_management(bool(flag), int(done), int(most))
        for flag, done, most in zip(saturated, halvings, limit, strict=True)
    ]
    width = largest.bit_length()
    return Vectors(
        {"largest_limit": largest},
        {"saturated": Port(saturated, 1), "halvings": Port(halvings, width), "limit": Port(limit, width)},
        {
            "repeat": Port(np.array([int(repeat) for repeat, _ in results]), 1),
            "next_halvings": Port(np.array([following for _, following in results]), width),
        },
    )


def _divider(count: int, generator: np.random.Generator) -> Vectors:
    """The widest division there is: softmax's quotient of an exponential and the sum over classes."""
    numerator_bits = 2 * SOFTMAX_FRACTION_BITS + 1
    denominator_bits = (_config().classes << SOFTMAX_FRACTION_BITS).bit_length()
    numerator = _unsigned(generator, (count,), numerator_bits)
    denominator = generator.permutation(_unsigned(generator, (count,), denominator_bits))
    quotient, remainder = divide(numerator, denominator)
    return Vectors(
        {"numerator_bits": numerator_bits, "denominator_bits": denominator_bits},
        {"numerator": Port(numerator, numerator_bits), "denominator": Port(denominator, denominator_bits)},
        {"quotient": Port(quotient, numerator_bits), "remainder": Port(remainder, numerator_bits)},
    )


def _im2col(count: int, generator: np.random.Generator) -> Vectors:
    height, width, channels = VOLUME_SHAPE
    bits = _stage().activation_magnitude_bits
    volume = _signed(generator, (count, *VOLUME_SHAPE), bits)
    patches = np.array([im2col(one, KERNEL) for one in volume])
    back_bits = bits + (KERNEL**2 - 1).bit_length()  # a pixel is in KERNEL**2 patches at most
    errors = _signed(generator, patches.shape, bits)
    back = np.array([col2im(one, KERNEL, height, width, channels) for one in errors])
    return Vectors(
        {"kernel": KERNEL, "height": height, "width": width, "channels": channels},
        {"volume": Port(volume, bits + 1, signed=True), "patch_errors": Port(errors, bits + 1, signed=True)},
        {"patches": Port(patches, bits + 1, signed=True), "volume_errors": Port(back, back_bits + 1, signed=True)},
    )


def _lfsr(count: int, generator: np.random.Generator) -> Vectors:
    width = _stage().generator_width
    states = generator.integers(1, (1 << width) - 1, count, dtype=np.uint64, endpoint=True)
    corners = [1, 1 << (width - 1), (1 << width) - 1, *(1 << (tap - 1) for tap in TAPS[width][1:])][:count]
    states[: len(corners)] = np.array(corners, dtype=np.uint64)
    lfsr = Lfsr(width)
    following = lfsr.advance(states)
    return Vectors(
        {"width": width, "word_bits": WORD_BITS, "taps": list(TAPS[width])},
        {"state": Port(states, width)},
        {"next_state": Port(following, width), "word": Port(lfsr.word(following), WORD_BITS)},
    )


def _max_search(count: int, generator: np.random.Generator) -> Vectors:
    bits = _stage().error_magnitude_bits
    vector = _signed(generator, (count, VECTOR_LENGTH), bits)
    return Vectors(
        {"length": VECTOR_LENGTH},
        {"vector": Port(vector, bits + 1, signed=True)},
        {"maximum": Port(max_search(vector), bits)},
    )


def _noise_management(count: int, generator: np.random.Generator) -> Vectors:
    """Backward: mantissas with an exponent."""
    stage = _stage()
    bits = stage.error_magnitude_bits
    maximum = _unsigned(generator, (count,), bits)
    fraction = generator.permutation(_draw(generator, (count,), 0, LARGEST_EXPONENT))
    response = {}
    for mode in NOISE_MODES:
        scalings = [
            noise_management(
                largest,
                mode=mode,
                constant_exponent=CONSTANT_EXPONENT if mode == "constant" else 0,
                fraction=int(places),
                magnitude_bits=bits,
                dac_fraction=stage.dac_fraction,
            )
            for largest, places in zip(maximum, fraction, strict=True)
        ]
        multiplier_bits = stage.dac_fraction + RECIPROCAL_GUARD_BITS + 2
        multiplier, shift, scale_back, places_back = (
            np.array([int(getattr(scaling, field)) for scaling in scalings])
            for field in ("multiplier", "shift", "scale", "fraction")
        )
        response[f"{mode}_multiplier"] = Port(multiplier, multiplier_bits)
        response[f"{mode}_shift"] = Port(shift, SHIFT_BITS, signed=True)
        response[f"{mode}_scale"] = Port(scale_back, bits + 1)
        response[f"{mode}_fraction"] = Port(places_back, EXPONENT_BITS)
    return Vectors(
        {"magnitude_bits": bits, "dac_fraction": stage.dac_fraction, "constant_exponent": CONSTANT_EXPONENT},
        {"maximum": Port(maximum, bits), "fraction": Port(fraction, EXPONENT_BITS)},
        response,
    )


def _pooling(count: int, generator: np.random.Generator) -> Vectors:
    height, width, channels = VOLUME_SHAPE
    bits = _stage().activation_magnitude_bits
    volume = _signed(generator, (count, *VOLUME_SHAPE), bits)
    pairs = [pool(one) for one in volume]
    maxima, where = (np.array(side) for side in zip(*pairs, strict=True))
    errors = _signed(generator, maxima.shape, bits)
    back = np.array([unpool(one, place, height, width) for one, place in zip(errors, where, strict=True)])
    return Vectors(
        {"height": height, "width": width, "channels": channels},
        {"volume": Port(volume, bits + 1, signed=True), "errors": Port(errors, bits + 1, signed=True)},
        {
            "maxima": Port(maxima, bits + 1, signed=True),
            "where": Port(where, 2),
            "volume_errors": Port(back, bits + 1, signed=True),
        },
    )


def _pulse_generator(count: int, generator: np.random.Generator) -> Vectors:
    """Cases are successive update cycles of the same lines; bit s of a train is slot s."""
    stage = _stage()
    width, update = stage.generator_width, stage.array.update
    slots, bits = 10, update.probability_bits
    states = generator.integers(1, (1 << width) - 1, VECTOR_LENGTH, dtype=np.uint64, endpoint=True)
    probabilities = _draw(generator, (count, VECTOR_LENGTH), 0, 1 << bits)
    lfsr = Lfsr(width)
    pulses, after = pulse_trains(lfsr, states, probabilities, slots, bits, update.generator_sharing)
    trains = (pulses << np.arange(slots)[:, None]).sum(axis=1)
    return Vectors(
        {
            "lines": VECTOR_LENGTH,
            "slots": slots,
            "probability_bits": bits,
            "generator_sharing": update.generator_sharing,
            "generator_width": width,
        },
        {"state": Port(states, width), "probability": Port(probabilities, bits + 1)},
        {"train": Port(trains, slots), "state_after": Port(after, width)},
    )


def _replicate(count: int, generator: np.random.Generator) -> Vectors:
    stage = _stage()
    width = stage.dac_fraction + 2
    vector = _draw(generator, (count, VECTOR_LENGTH), -(1 << stage.dac_fraction), 1 << stage.dac_fraction)
    copies = stage.array.replication
    return Vectors(
        {"length": VECTOR_LENGTH, "copies": copies},
        {"vector": Port(vector, width, signed=True)},
        {"lines": Port(replicate(vector, copies), width, signed=True)},
    )


def _scaler(count: int, generator: np.random.Generator) -> Vectors:
    """In front of the DAC, with the multipliers of exact noise management."""
    stage = _stage()
    full_range = 1 << stage.dac_fraction
    multiplier_bits = stage.dac_fraction + RECIPROCAL_GUARD_BITS + 2
    bits = stage.error_magnitude_bits
    vector = _signed(generator, (count, VECTOR_LENGTH), bits)
    multiplier = generator.permutation(_unsigned(generator, (count,), multiplier_bits))
    shift = generator.permutation(_draw(generator, (count,), -8, 70))
    codes = scale(vector, multiplier[:, None], shift[:, None], -full_range, full_range)
    return Vectors(
        {"length": VECTOR_LENGTH, "low": -full_range, "high": full_range},
        {
            "vector": Port(vector, bits + 1, signed=True),
            "multiplier": Port(multiplier, multiplier_bits),
            "shift": Port(shift, SHIFT_BITS, signed=True),
        },
        {"codes": Port(codes, stage.dac_fraction + 2, signed=True)},
    )


def _softmax(count: int, generator: np.random.Generator) -> Vectors:
    classes, fraction = _config().classes, _config().stages[-1].adc_fraction
    logits = _signed(generator, (count, classes), _reading_bits())
    near = generator.random((count, 1)) < 0.5  # half of them as near to each other as in training
    near[:CORNERS] = False
    logits = np.where(near, logits >> (_reading_bits() - fraction - 3), logits)
    label = generator.integers(0, classes, count)
    errors = [softmax_error(case, int(which), fraction) for case, which in zip(logits, label, strict=True)]
    return Vectors(
        {"classes": classes, "fraction": fraction, "error_fraction": SOFTMAX_FRACTION_BITS},
        {
            "logits": Port(logits, _reading_bits() + 1, signed=True),
            "label": Port(label, (classes - 1).bit_length()),
        },
        {"errors": Port(np.array(errors), SOFTMAX_FRACTION_BITS + 2, signed=True)},
    )


def _square_root(count: int, generator: np.random.Generator) -> Vectors:
    bits = 2 * GAIN_BITS
    value = _unsigned(generator, (count,), bits)
    squares = generator.random(count) < 0.25  # perfect squares, and one less
    squares[:CORNERS] = False
    near = generator.integers(1, 1 << GAIN_BITS, count) ** 2 - generator.integers(0, 2, count)
    value = np.where(squares, near, value)
    root, rest = square_root(value, bits)
    return Vectors(
        {"bits": bits},
        {"value": Port(value, bits)},
        {"root": Port(root, GAIN_BITS), "rest": Port(rest, GAIN_BITS + 1)},
    )


def _update_management(count: int, generator: np.random.Generator) -> Vectors:
    stage = _stage()
    probability_bits = stage.array.update.probability_bits
    x_bits, delta_bits = stage.activation_magnitude_bits, stage.error_magnitude_bits
    x = _shrink(generator, _signed(generator, (count, VECTOR_LENGTH), x_bits), x_bits)
    delta = _shrink(generator, _signed(generator, (count, VECTOR_LENGTH), delta_bits), delta_bits)
    delta[:CORNERS] = np.roll(delta[:CORNERS], 1, axis=0)  # every corner meets another
    delta_fraction = generator.permutation(_draw(generator, (count,), 0, LARGEST_EXPONENT))
    response = {}
    for mode in UPDATE_MODES:
        words: dict[str, list[Integers]] = {"x": [], "delta": []}
        for case in range(count):
            gains = update_management(
                max_search(x[case : case + 1]),
                max_search(delta[case : case + 1]),
                mode=mode,
                x_fraction=stage.activation_fraction,
                delta_fraction=int(delta_fraction[case]),
                gain=stage.pulse_gain,
                power=stage.pulse_power,
                probability_bits=probability_bits,
            )
            for side, vectors, gain in zip(("x", "delta"), (x, delta), gains, strict=True):
                words[side].append(probability_words(vectors[case : case + 1], gain, probability_bits)[0])
        for side, rows in words.items():
            response[f"{mode}_{side}_probability"] = Port(np.array(rows), probability_bits + 1)
    return Vectors(
        {
            "length": VECTOR_LENGTH,
            "x_fraction": stage.activation_fraction,
            "gain_mantissa": stage.pulse_gain[0],
            "gain_shift": stage.pulse_gain[1],
            "power_mantissa": stage.pulse_power[0],
            "power_shift": stage.pulse_power[1],
            "probability_bits": probability_bits,
        },
        {
            "x": Port(x, x_bits + 1, signed=True),
            "delta": Port(delta, delta_bits + 1, signed=True),
            "delta_fraction": Port(delta_fraction, EXPONENT_BITS),
        },
        response,
    )


_CASES: dict[str, Callable[[int, np.random.Generator], Vectors]] = {
    "activation": _activation,
    "average": _average,
    "block_exponent": _block_exponent,
    "bound_management": _bound_management,
    "divider": _divider,
    "im2col": _im2col,
    "lfsr": _lfsr,
    "max_search": _max_search,
    "noise_management": _noise_management,
    "pooling": _pooling,
    "pulse_generator": _pulse_generator,
    "replicate": _replicate,
    "scaler": _scaler,
    "softmax": _softmax,
    "square_root": _square_root,
    "update_management": _update_management,
}

#: Blocks that there are vectors for: one for every file in emulator/periphery.
BLOCKS: tuple[str, ...] = tuple(_CASES)


def draw_cases(block: str, count: int, seed: int) -> Vectors:
    """``count`` cases of ``block``, drawn from ``seed``. Raises CrosspointError for an unknown block or a count or seed out of
    range."""
    if block not in BLOCKS:
        raise CrosspointError(f"block {block!r}: unknown; accepted: {', '.join(BLOCKS)}")
    if count < 1:
        raise CrosspointError(f"count = {count}: accepted: at least 1")
    if seed < 0:
        raise CrosspointError(f"seed = {seed}: accepted: at least 0")
    return _CASES[block](count, np.random.default_rng(seed))
