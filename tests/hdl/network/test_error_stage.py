"""Both kinds of error stage against the model: a shared exponent, mantissas, the slope of the activation."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.lib import data

from emulator.config import Stage
from emulator.fixed import round_shift
from emulator.periphery.activation import derivative
from emulator.periphery.block_exponent import block_exponent
from hdl.network.error_stage import ErrorStage
from hdl.network.serial_error_stage import SerialErrorStage
from hdl.periphery.activation import ActivationBackParameters
from sim.payload import Values
from sim.pysim import run
from sim.transactions.base import Transactions
from sim.transactions.volumes import drawn_volume, volume_beats
from tests.hdl.network.beside_memories import (
    NETWORKS,
    BesideMemories,
    Store,
    anything,
    layer_words,
    looked_at,
    put,
    widths_of,
)

STAGES = NETWORKS["odd height"]
SUM_BITS = 26
#: Of a volume whose sums are shifted one by one, a place per cycle.
SERIAL_LATENCY = 200
#: Sizes of the largest sum, 0 and the largest word among them, and fractions whose exponents reach both ends.
CASES = ((SUM_BITS, 20), (3, 30), (0, 12), (9, -4), (SUM_BITS - 1, 60))


def errors_of(stage: Stage, sums: np.ndarray, activations: np.ndarray, fraction: int) -> tuple[np.ndarray, int]:
    mantissas, exponent = block_exponent(sums, fraction, stage.error_magnitude_bits)
    slope = derivative(activations, stage.layer.activation, stage.activation_fraction)
    return round_shift(mantissas * slope, stage.activation_fraction), exponent


def bench(
    lanes: int, layer: int, largest_bits: int, fraction: int, *, serial: bool, largest_at: int = -1
) -> tuple[BesideMemories, Transactions]:
    """A layer, twice. Of its sums the one at ``largest_at`` is by far the largest."""
    stage, layers = STAGES[layer], layer_words(STAGES, lanes)
    generator = np.random.default_rng(lanes)
    slopes = tuple(
        {each.kind: each for each in (ActivationBackParameters.of(other, lanes) for other in STAGES)}.values()
    )
    part: ErrorStage | SerialErrorStage
    part = (SerialErrorStage if serial else ErrorStage)(widths_of(lanes), slopes, SUM_BITS)
    layouts = {
        "sums": part.sums.data.shape(),
        "activations": part.activations.data.shape(),
        "memory": part.memory.data.shape(),
    }
    assert layouts["sums"] == data.ArrayLayout(signed(SUM_BITS + 1), lanes)
    words = {name: anything(generator, layout) for name, layout in layouts.items()}
    reach = (1 << largest_bits) - 1
    sums = drawn_volume(generator, stage.output_shape, -(reach // 4), reach // 4)
    sums.ravel()[largest_at] = -reach
    one = 1 << stage.activation_fraction
    activations = drawn_volume(generator, stage.output_shape, -one, one)
    # Disabled lanes hold 0, as `backward_sink` leaves them.
    put(
        words["sums"],
        0,
        [{"elements": [value or 0 for value in beat["elements"]]} for beat in volume_beats(sums, lanes)],
    )
    put(words["activations"], layers[layer]["output_base"], volume_beats(activations, lanes))
    errors, exponent = errors_of(stage, sums, activations, fraction)
    seen: list[list[int | None]] = [*map(list, words["memory"])]
    stored = volume_beats(errors, lanes)
    for number, beat in enumerate(stored):
        seen[number] = list(beat["elements"])  # type: ignore[arg-type]
    stores = {
        "sums": Store(layouts["sums"], words["sums"], read="sums"),
        "activations": Store(layouts["activations"], words["activations"], read="activations"),
        "memory": Store(layouts["memory"], words["memory"], write="memory"),
    }
    begin: list[Values] = [{"layer": layer, "fraction": fraction}] * 2
    return (
        BesideMemories(part, layers, stores, latency=SERIAL_LATENCY if serial else 16),
        Transactions(
            {"begin": begin, **{f"look_{name}": [] for name in stores}},
            {"exponent": [{"exponent": exponent}] * 2, **{f"seen_{name}": [] for name in stores}},
            (looked_at("memory", seen),),
        ),
    )


@pytest.mark.parametrize(("largest_bits", "fraction"), CASES)
@pytest.mark.parametrize("layer", (0, 1), ids=("tanh", "identity"))
@pytest.mark.parametrize(("lanes", "serial"), ((3, False), (1, True)), ids=("wide", "serial"))
def test_equals_the_model(lanes: int, serial: bool, layer: int, largest_bits: int, fraction: int) -> None:
    run(*bench(lanes, layer, largest_bits, fraction, serial=serial), stall=0.3)


@pytest.mark.parametrize("cycles", (2, 4, 11, 20, 31, 60))
@pytest.mark.parametrize(("lanes", "serial"), ((4, False), (1, True)), ids=("wide", "serial"))
def test_reset_in_mid_volume(lanes: int, serial: bool, cycles: int) -> None:
    """The search for the largest sum begins at the first one again."""
    run(*bench(lanes, int(serial), SUM_BITS, 20, serial=serial, largest_at=0), reset_after=cycles)
