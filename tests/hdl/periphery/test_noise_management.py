"""Scalings of reads, against the model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from emulator.config import load
from emulator.fixed import RECIPROCAL_GUARD_BITS
from emulator.periphery.noise_management import noise_management
from hdl.export import describe
from hdl.periphery.noise_management import NoiseManagement, NoiseManagementParameters
from sim.pysim import Outcome, run
from sim.transactions import transactions_of
from sim.transactions.base import Transactions

MODES = ("none", "constant", "power_of_two", "exact")
WIDTHS = ((3, 1), (8, 5), (15, 9), (15, 14))


def managed(mode: str, **others: int) -> NoiseManagement:
    exponent = {"constant_exponent": 5} if mode == "constant" else {}
    return NoiseManagement(NoiseManagementParameters(mode=mode, **{**exponent, **others}))


def assert_timing(block: NoiseManagement, outcome: Outcome) -> None:
    taken, given = outcome.cycles["i"], outcome.cycles["o"]
    assert [after - before for before, after in zip(taken, given, strict=True)] == [block.latency] * len(taken)
    assert set(np.diff(taken)) == {block.cycles_per_beat}


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("mode", MODES)
def test_equals_the_model(mode: str, widths: tuple[int, int], stall: float) -> None:
    block = managed(mode, magnitude_bits=widths[0], dac_fraction=widths[1])
    outcome = run(block, transactions_of(block, np.random.default_rng(sum(widths)), 30), stall=stall)
    if not stall:
        assert_timing(block, outcome)


@pytest.mark.parametrize("radix", (2, 4, 8, 16))
def test_latency_of_exact(radix: int) -> None:
    block = managed("exact", magnitude_bits=15, dac_fraction=9, radix=radix)
    numerator_bits = 15 + 9 + RECIPROCAL_GUARD_BITS + 1
    assert block.latency == 2 + math.ceil(numerator_bits / math.log2(radix))
    assert_timing(block, run(block, transactions_of(block, np.random.default_rng(radix), 10)))


@pytest.mark.parametrize("exponent", (-8, 0, 24))
def test_constant_exponents(exponent: int) -> None:
    block = managed("constant", constant_exponent=exponent, dac_fraction=14)
    run(block, transactions_of(block, np.random.default_rng(30 + exponent), 20))


@pytest.mark.parametrize("mode", MODES)
def test_every_maximum_of_a_narrow_word(mode: str) -> None:
    """0, 1, full scale and all between."""
    fraction, formats = 17, {"magnitude_bits": 6, "dac_fraction": 7}
    block = managed(mode, **formats)
    maxima = np.arange(64)
    exponent = block.parameters.constant_exponent
    scaling = noise_management(maxima, mode=mode, constant_exponent=exponent, fraction=fraction, **formats)
    columns = zip(scaling.multiplier.tolist(), scaling.shift.tolist(), scaling.scale.tolist(), strict=True)
    outputs = [
        {"multiplier": multiplier, "shift": shift, "scale": scale, "fraction": scaling.fraction}
        for multiplier, shift, scale in columns
    ]
    run(block, Transactions({"i": [{"maximum": int(mx), "fraction": fraction} for mx in maxima]}, {"o": outputs}))


def test_zeros() -> None:
    """A vector of zeros: neither multiplier nor scale with exact, no scale with power_of_two."""
    for mode, multiplier, shift in (("exact", 0, RECIPROCAL_GUARD_BITS), ("power_of_two", 1, -9)):
        words = {"multiplier": multiplier, "shift": shift, "scale": 0, "fraction": 12}
        run(managed(mode), Transactions({"i": [{"maximum": 0, "fraction": 12}]}, {"o": [words]}))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cycles", (1, 2, 5, 35))
def test_reset_in_mid_work(cycles: int, mode: str) -> None:
    block = managed(mode)
    run(block, transactions_of(block, np.random.default_rng(cycles), 5), reset_after=cycles)


def test_all_modes_have_the_same_ports() -> None:
    ports = []
    for mode in MODES:
        block = managed(mode)
        ports.append(describe(mode, block)["streams"])
        run(block, transactions_of(block, np.random.default_rng(1), 1))
    assert all(port == ports[0] for port in ports)


def test_parameters_of_both_directions() -> None:
    settings = [
        "array.forward.noise_management=constant",
        "array.forward.constant_exponent=2",
        "array.backward.noise_management=exact",
        "formats.error_bits=12",
        "array.converters.dac_fraction_bits=off",
    ]
    stage = load("tiny", settings).stages[0]
    forward = NoiseManagementParameters.of_read(stage, "forward")
    assert (forward.mode, forward.constant_exponent, forward.magnitude_bits) == ("constant", 2, 15)
    backward = NoiseManagementParameters.of_read(stage, "backward", radix=4)
    assert (backward.mode, backward.constant_exponent, backward.magnitude_bits) == ("exact", 0, 11)
    assert (backward.dac_fraction, backward.radix) == (14, 4)
    assert NoiseManagementParameters.of(stage, 8) == NoiseManagementParameters.of_read(stage, "backward")


def test_refused_parameters() -> None:
    with pytest.raises(ValidationError, match="constant_exponent = 3: accepted: 0 with mode exact"):
        NoiseManagementParameters(mode="exact", constant_exponent=3)
    with pytest.raises(ValidationError, match="dac_fraction"):
        NoiseManagementParameters(dac_fraction=15)
