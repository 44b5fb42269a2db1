"""Scalings of reads, against the model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from emulator.config import load
from emulator.fixed import LARGEST_EXPONENT, RECIPROCAL_GUARD_BITS
from hdl.export import describe
from hdl.periphery.noise_management import Mode, NoiseManagement, NoiseManagementParameters, mode_of
from sim.pysim import Outcome, run
from sim.transactions import transactions_of
from sim.transactions.base import Transactions, draw
from sim.transactions.noise_management import noise_management_words

MODES = ("none", "constant", "power_of_two", "exact")
WIDTHS = ((3, 1), (8, 5), (15, 9), (15, 14))


#: Sets of modes in one hardware: with and without the divider.
MIXED = (MODES, ("none", "exact"), ("power_of_two", "exact"), ("none", "constant"), MODES[:3])


def managed(*modes: str, **others: int) -> NoiseManagement:
    return NoiseManagement(NoiseManagementParameters(modes=modes, **others))


def assert_timing(block: NoiseManagement, work: Transactions, outcome: Outcome) -> None:
    """Every word after the latency of its mode; the next one in the cycle after, or without divider in every cycle."""
    taken, given = outcome.cycles["i"], outcome.cycles["o"]
    latencies = [block.latency_of(Mode(word["mode"]).name.lower()) for word in work.inputs["i"]]
    assert [after - before for before, after in zip(taken, given, strict=True)] == latencies
    assert block.latency == max(map(block.latency_of, block.parameters.modes))
    divides = "exact" in block.parameters.modes
    assert np.diff(taken).tolist() == [latency + 1 if divides else block.cycles_per_beat for latency in latencies[:-1]]


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("mode", MODES)
def test_equals_the_model(mode: str, widths: tuple[int, int], stall: float) -> None:
    block = managed(mode, magnitude_bits=widths[0], dac_fraction=widths[1])
    work = transactions_of(block, np.random.default_rng(sum(widths)), 30)
    outcome = run(block, work, stall=stall)
    if not stall:
        assert_timing(block, work, outcome)


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize("modes", MIXED, ids="-".join)
def test_modes_together(modes: tuple[str, ...], stall: float) -> None:
    block = managed(*modes)
    work = transactions_of(block, np.random.default_rng(len(modes)), 60)
    assert {Mode(word["mode"]).name.lower() for word in work.inputs["i"]} == set(modes)
    outcome = run(block, work, stall=stall)
    if not stall:
        assert_timing(block, work, outcome)


@pytest.mark.parametrize("radix", (2, 4, 8, 16))
def test_latency_of_exact(radix: int) -> None:
    block = managed("exact", magnitude_bits=15, dac_fraction=9, radix=radix)
    numerator_bits = 15 + 9 + RECIPROCAL_GUARD_BITS + 1
    assert block.latency == 2 + math.ceil(numerator_bits / math.log2(radix))
    work = transactions_of(block, np.random.default_rng(radix), 10)
    assert_timing(block, work, run(block, work))


@pytest.mark.parametrize("exponent", (-8, 0, 24))
def test_constant_exponents(exponent: int) -> None:
    block = managed("constant", dac_fraction=14)
    generator = np.random.default_rng(30 + exponent)
    maxima, fractions = draw(generator, 20, 0, (1 << 15) - 1), draw(generator, 20, 0, LARGEST_EXPONENT)
    words = [(mx, fraction, "constant", exponent) for mx, fraction in zip(maxima, fractions, strict=True)]
    run(block, noise_management_words(block.parameters, words))


@pytest.mark.parametrize("mode", MODES)
def test_every_maximum_of_a_narrow_word(mode: str) -> None:
    """0, 1, full scale and all between."""
    fraction, exponent = 17, 5 if mode == "constant" else 0
    for modes in ((mode,), MODES):
        block = managed(*modes, magnitude_bits=6, dac_fraction=7)
        run(block, noise_management_words(block.parameters, [(mx, fraction, mode, exponent) for mx in range(64)]))


def test_zeros() -> None:
    """A vector of zeros: neither multiplier nor scale with exact, no scale with power_of_two."""
    for mode, multiplier, shift in (("exact", 0, RECIPROCAL_GUARD_BITS), ("power_of_two", 1, -9)):
        given = {"maximum": 0, "fraction": 12, "mode": mode_of(mode).value, "exponent": 0}
        words = {"multiplier": multiplier, "shift": shift, "scale": 0, "fraction": 12}
        run(managed(mode), Transactions({"i": [given]}, {"o": [words]}))


@pytest.mark.parametrize("modes", (*((mode,) for mode in MODES), MODES), ids="-".join)
@pytest.mark.parametrize("cycles", (1, 2, 5, 35))
def test_reset_in_mid_work(cycles: int, modes: tuple[str, ...]) -> None:
    block = managed(*modes)
    run(block, transactions_of(block, np.random.default_rng(cycles), 5), reset_after=cycles)


def test_all_modes_have_the_same_ports() -> None:
    ports = []
    for modes in (*((mode,) for mode in MODES), MODES):
        block = managed(*modes)
        ports.append(describe("noise_management", block)["streams"])
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
    assert (forward.modes, forward.magnitude_bits) == (("constant",), 15)
    backward = NoiseManagementParameters.of_read(stage, "backward", radix=4)
    assert (backward.modes, backward.magnitude_bits) == (("exact",), 11)
    assert (backward.dac_fraction, backward.radix) == (14, 4)
    assert NoiseManagementParameters.of(stage, 8) == NoiseManagementParameters.of_read(stage, "backward")


def test_refused_parameters() -> None:
    for modes in ((), ("exact", "squared")):
        with pytest.raises(ValidationError, match="modes"):
            NoiseManagementParameters(modes=modes)
    with pytest.raises(ValidationError, match="dac_fraction"):
        NoiseManagementParameters(dac_fraction=15)
