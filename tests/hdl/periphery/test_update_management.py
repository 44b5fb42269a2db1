"""Gains of update cycles, against the model."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from emulator.config import load
from hdl.export import describe
from hdl.periphery.noise_management import Mode
from hdl.periphery.update_management import UpdateManagement, UpdateManagementParameters
from sim.pysim import Outcome, run
from sim.transactions import transactions_of
from sim.transactions.base import Transactions
from sim.transactions.update_management import Constants, update_management_transactions, update_management_words

MODES = ("none", "power_of_two", "exact")
MIXED = (MODES, ("none", "exact"), ("power_of_two", "exact"), ("none", "power_of_two"))
#: Bits of x and delta, fraction of x, probability bits: the default, narrow words, extremes of the config.
FORMATS: tuple[dict[str, int], ...] = (
    {},
    {"x_magnitude_bits": 3, "delta_magnitude_bits": 4, "x_fraction": 2, "probability_bits": 2},
    {"x_magnitude_bits": 11, "x_fraction": 7},
    {"delta_magnitude_bits": 3, "x_fraction": 13, "probability_bits": 9},
)
#: C and C^2 with each of them.
GAINS = (
    {"power": (40960, 13), "gain": (36636, 14)},
    {"power": (1 << 15, 15), "gain": (1 << 15, 15)},
    {"power": (65535, -17), "gain": (65535, -1)},
    {"power": (32768, 60), "gain": (32769, 37)},
)


def managed(*modes: str, **others: int) -> UpdateManagement:
    return UpdateManagement(UpdateManagementParameters(modes=modes, **others))


def transactions_with(block: UpdateManagement, seed: int, vectors: int, mode: str, formats: int) -> Transactions:
    constants = Constants(mode, **GAINS[formats])
    return update_management_transactions(block.parameters, np.random.default_rng(seed), vectors, constants)


def assert_timing(block: UpdateManagement, work: Transactions, outcome: Outcome) -> None:
    """Every cycle after the latency of its mode; the next one in the cycle after, or without root in every cycle."""
    taken, given = outcome.cycles["i"], outcome.cycles["o"]
    latencies = [block.latency_of(Mode(word["mode"]).name.lower()) for word in work.inputs["i"]]
    assert [after - before for before, after in zip(taken, given, strict=True)] == latencies
    assert block.latency == max(map(block.latency_of, block.parameters.modes))
    assert np.diff(taken).tolist() == [latency + 1 if block.exact else 1 for latency in latencies[:-1]]


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("formats", range(len(FORMATS)))
@pytest.mark.parametrize("mode", MODES)
def test_equals_the_model(mode: str, formats: int, stall: float) -> None:
    block = managed(mode, **FORMATS[formats])
    work = transactions_with(block, formats, 25, mode, formats)
    outcome = run(block, work, stall=stall)
    if not stall:
        assert_timing(block, work, outcome)


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("modes", MIXED, ids="-".join)
def test_modes_together(modes: tuple[str, ...], stall: float) -> None:
    """Mode and constants differ from cycle to cycle."""
    block = managed(*modes, radix=4)
    work = transactions_of(block, np.random.default_rng(len(modes)), 40)
    assert {Mode(word["mode"]).name.lower() for word in work.inputs["i"]} == set(modes)
    outcome = run(block, work, stall=stall)
    if not stall:
        assert_timing(block, work, outcome)


@pytest.mark.parametrize("mode", MODES)
def test_corners(mode: str) -> None:
    """Maxima of 0, 1, powers of two and full scale, with exponents of either parity and at both ends."""
    maxima = (0, 1, 1 << 14, (1 << 15) - 1)
    words = list(itertools.product(maxima, maxima, (0, 1, 40), (Constants(mode, **GAINS[0]),)))
    for modes in ((mode,), MODES):
        block = managed(*modes, radix=4)
        run(block, update_management_words(block.parameters, words))


def test_products_of_every_length() -> None:
    """The alignment at every shift, with both parities of the exponent."""
    block, constants = managed("exact", radix=4), Constants("exact", **GAINS[0])
    cycles = [((1 << k) - 1, (1 << (k + more)) - 1, k % 2 + more, constants) for k in range(1, 15) for more in (0, 1)]
    run(block, update_management_words(block.parameters, cycles))


@pytest.mark.parametrize("radix", (2, 4))
@pytest.mark.parametrize("formats", range(len(FORMATS)))
def test_latency_of_exact(formats: int, radix: int) -> None:
    """Registers up to the root, the root, and two divisions."""
    block = managed("exact", radix=radix, **FORMATS[formats])
    parameters = block.parameters
    product_bits = max(32, parameters.x_magnitude_bits + parameters.delta_magnitude_bits + 16)
    alignment = math.ceil(math.ceil(math.log2(product_bits)) / 2)
    digit = int(math.log2(radix))
    assert block.latency == 5 + alignment + (1 + 16 // digit) + 2 * (1 + 32 // digit) + 1
    work = transactions_with(block, radix, 4, "exact", formats)
    assert_timing(block, work, run(block, work))


@pytest.mark.parametrize("modes", (*((mode,) for mode in MODES), MODES), ids="-".join)
@pytest.mark.parametrize("cycles", (1, 3, 12, 30, 60, 75))
def test_reset_in_mid_work(cycles: int, modes: tuple[str, ...]) -> None:
    """Before the root, in it, in both divisions, and with a result that waits."""
    block = managed(*modes)
    run(block, transactions_of(block, np.random.default_rng(cycles), 3), reset_after=cycles)


def test_reset_between_the_divisions() -> None:
    for cycles in range(58, 64):
        block = managed("exact")
        run(block, transactions_of(block, np.random.default_rng(cycles), 2), reset_after=cycles)


def test_all_modes_have_the_same_ports() -> None:
    ports = []
    for modes in (*((mode,) for mode in MODES), MODES):
        block = managed(*modes)
        ports.append(describe("update_management", block)["streams"])
        run(block, transactions_of(block, np.random.default_rng(1), 1))
    assert all(port == ports[0] for port in ports)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("preset", ("lenet", "lenet-bl1-um", "tiny"))
def test_stages_of_presets(preset: str, mode: str) -> None:
    stage = load(preset, [f"array.update.management={mode}"]).stages[-1]
    parameters = UpdateManagementParameters.of(stage, 8)
    assert parameters.modes == (mode,)
    block = UpdateManagement(parameters)
    constants = Constants(mode, stage.pulse_gain, stage.pulse_power)
    run(block, update_management_transactions(parameters, np.random.default_rng(7), 5, constants))


@pytest.mark.parametrize(
    ("refused", "message"),
    (
        ({"mode": "exact", "power": (32767, 3)}, "power mantissa = 32767"),
        ({"mode": "none", "gain": (1 << 16, 3)}, "gain mantissa = 65536"),
        ({"mode": "none", "gain": (32768, 200)}, "gain shift = 200"),
        ({"mode": "exact", "power": (32768, -300)}, "power shift = -300"),
    ),
)
def test_refused_constants(refused: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UpdateManagementParameters().shift_range(**{"gain": (1 << 15, 15), "power": (1 << 15, 15), **refused})


@pytest.mark.parametrize("formats", range(len(FORMATS)))
@pytest.mark.parametrize("mode", MODES)
def test_shifts_are_within_their_range(mode: str, formats: int) -> None:
    parameters = UpdateManagementParameters(modes=(mode,), **FORMATS[formats])
    low, high = parameters.shift_range(mode, **GAINS[formats])
    maxima = [[0, 1, (1 << bits) - 1] for bits in (parameters.x_magnitude_bits, parameters.delta_magnitude_bits)]
    cycles = list(itertools.product(*maxima, (0, 40), (Constants(mode, **GAINS[formats]),)))
    for word in update_management_words(parameters, cycles).outputs["o"]:
        assert low <= min(word["x_shift"], word["delta_shift"]) <= max(word["x_shift"], word["delta_shift"]) <= high


@pytest.mark.parametrize(("refused", "message"), (({"radix": 8}, "radix"), ({"modes": ("constant",)}, "modes")))
def test_refused_parameters(refused: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        UpdateManagementParameters(**refused)
