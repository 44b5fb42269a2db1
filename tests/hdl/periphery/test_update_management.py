"""Gains of update cycles, against the model."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from pydantic import ValidationError

from emulator.config import load
from hdl.export import describe
from hdl.periphery.update_management import UpdateManagement, UpdateManagementParameters
from sim.pysim import Outcome, run
from sim.transactions import transactions_of
from sim.transactions.update_management import update_management_words

MODES = ("none", "power_of_two", "exact")
#: Bits of x and delta, fraction of x, C and C^2, probability bits: the default, narrow words, extremes of the config.
FORMATS = (
    {"power": (40960, 13), "gain": (36636, 14)},
    {"x_magnitude_bits": 3, "delta_magnitude_bits": 4, "x_fraction": 2, "probability_bits": 2},
    {"x_magnitude_bits": 11, "x_fraction": 7, "power": (65535, -17), "gain": (65535, -1)},
    {"delta_magnitude_bits": 3, "x_fraction": 13, "power": (32768, 60), "gain": (32769, 37), "probability_bits": 9},
)


def managed(mode: str, **others: object) -> UpdateManagement:
    return UpdateManagement(UpdateManagementParameters(mode=mode, **others))


def assert_timing(block: UpdateManagement, outcome: Outcome) -> None:
    taken, given = outcome.cycles["i"], outcome.cycles["o"]
    assert [after - before for before, after in zip(taken, given, strict=True)] == [block.latency] * len(taken)
    assert set(np.diff(taken)) == {block.cycles_per_beat}


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("formats", range(len(FORMATS)))
@pytest.mark.parametrize("mode", MODES)
def test_equals_the_model(mode: str, formats: int, stall: float) -> None:
    block = managed(mode, **FORMATS[formats])
    outcome = run(block, transactions_of(block, np.random.default_rng(formats), 25), stall=stall)
    if not stall:
        assert_timing(block, outcome)


@pytest.mark.parametrize("mode", MODES)
def test_corners(mode: str) -> None:
    """Maxima of 0, 1, powers of two and full scale, with exponents of either parity and at both ends."""
    block = managed(mode, radix=4, **FORMATS[0])
    maxima = (0, 1, 1 << 14, (1 << 15) - 1)
    run(block, update_management_words(block.parameters, list(itertools.product(maxima, maxima, (0, 1, 40)))))


def test_products_of_every_length() -> None:
    """The alignment at every shift, with both parities of the exponent."""
    block = managed("exact", radix=4, **FORMATS[0])
    cycles = [((1 << k) - 1, (1 << (k + more)) - 1, k % 2 + more) for k in range(1, 15) for more in (0, 1)]
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
    assert_timing(block, run(block, transactions_of(block, np.random.default_rng(radix), 4)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cycles", (1, 3, 12, 30, 60, 75))
def test_reset_in_mid_work(cycles: int, mode: str) -> None:
    """Before the root, in it, in both divisions, and with a result that waits."""
    block = managed(mode)
    run(block, transactions_of(block, np.random.default_rng(cycles), 3), reset_after=cycles)


def test_reset_between_the_divisions() -> None:
    for cycles in range(58, 64):
        block = managed("exact")
        run(block, transactions_of(block, np.random.default_rng(cycles), 2), reset_after=cycles)


def test_all_modes_have_the_same_ports() -> None:
    ports = []
    for mode in MODES:
        block = managed(mode)
        ports.append(describe(mode, block)["streams"])
        run(block, transactions_of(block, np.random.default_rng(1), 1))
    assert all(port == ports[0] for port in ports)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("preset", ("lenet", "lenet-bl1-um", "tiny"))
def test_stages_of_presets(preset: str, mode: str) -> None:
    stage = load(preset, [f"array.update.management={mode}"]).stages[-1]
    parameters = UpdateManagementParameters.of(stage, 8)
    assert (parameters.mode, parameters.gain, parameters.power) == (mode, stage.pulse_gain, stage.pulse_power)
    block = UpdateManagement(parameters)
    run(block, transactions_of(block, np.random.default_rng(7), 5))


@pytest.mark.parametrize(
    ("refused", "message"),
    (
        ({"mode": "exact", "power": (32767, 3)}, "power mantissa = 32767"),
        ({"mode": "none", "gain": (1 << 16, 3)}, "gain mantissa = 65536"),
        ({"mode": "none", "gain": (32768, 200)}, "gain shift = 200"),
        ({"mode": "exact", "power": (32768, -300)}, "power shift = -300"),
        ({"radix": 8}, "radix"),
    ),
)
def test_refused_parameters(refused: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        UpdateManagementParameters(**refused)
