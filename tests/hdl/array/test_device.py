"""The device lane alone: moves of one device after another, against the model, with a column every two cycles."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator, SimulatorContext

from emulator.array.noise import cycle_factor, gaussian, mix, rounding_words
from emulator.config import load
from emulator.fixed import WORD_BITS, round_shift, round_stochastically
from hdl.array.crossbar_parameters import DRAWS, CrossbarParameters, lay_out
from hdl.array.device import BOUND_DELAY, MOVE_LATENCY, WEIGHT_DELAY, DeviceLane
from hdl.block import warnings_as_errors

COUNT = 250
CYCLES_PER_COLUMN = 2

SETTINGS: dict[str, list[str]] = {
    "as it is": [],
    "extreme": [
        "array.device.dw_min_std=2",
        "array.device.dw_min_dtod=1",
        "array.device.up_down_dtod=0.5",
        "array.device.w_max_dtod=1",
        "array.device.dw_min=0.1",
        "array.update.desired_bl=5",
    ],
    "bounds beyond the word": ["array.device.w_max=8", "array.device.dw_min=0.1"],
    "coarse weights": ["array.weight.bits=6", "array.weight.fraction_bits=5", "array.device.dw_min=0.1"],
    "coarser than a step": ["array.weight.bits=6", "array.weight.fraction_bits=5", "array.update.desired_bl=5"],
    "rounded to nearest": ["array.weight.rounding=nearest"],
    "fine weights": ["array.weight.bits=30", "array.weight.fraction_bits=28"],
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_moves_equal_the_model(setting: str) -> None:
    """Weights anywhere within the device's bounds, at them and at 0; all counts of coincidences, both signs."""
    stage = load("tiny", SETTINGS[setting]).stages[0]
    device, slots = stage.array.device, stage.array.update.desired_bl
    generator = np.random.default_rng(1)
    row_words, column_words = (generator.integers(0, 1 << WORD_BITS, (DRAWS + 1, n)) for n in (1, COUNT))
    mixed = mix(row_words ^ column_words)
    xi = gaussian(mixed)
    own = device.draw(lambda draw: xi[draw], stage.array.weight.fraction_bits, stage.weight_limit)
    low, high = device.bounds(own)
    weights = generator.integers(low, high, endpoint=True)
    weights = np.choose(generator.integers(0, 4, COUNT), (weights, low, high, np.zeros_like(low)))
    row_train = (1 << slots) - 1
    trains = generator.integers(0, 1 << slots, COUNT)
    negative = generator.integers(0, 2, COUNT).astype(bool)
    counts = np.bitwise_count(trains & row_train).astype(np.int64)
    factors = cycle_factor(counts, xi[DRAWS], np.array(stage.cycle_gains))
    rounding = (
        partial(round_stochastically, shift=stage.move_shift, words=rounding_words(mixed[DRAWS]))
        if stage.stochastic_rounding
        else partial(round_shift, shift=stage.move_shift)
    )
    moved = device.move(weights, own, np.where(counts, factors, 0), ~negative, rounding)
    if setting == "extreme":
        assert (factors < 0).any() and (own["step_up"] == 0).any() and (high == 0).any()
        assert ((moved == high) & (weights != high)).any() and ((moved == low) & (weights != low)).any()

    settings = lay_out([stage], 1, 1)[0].word()
    lane = DeviceLane(CrossbarParameters.of(stage, 1))
    columns = [
        (
            {"value": int(trains[k]), "negative": int(negative[k]), "noise": int(column_words[DRAWS, k])},
            _joined(column_words[:DRAWS, k]),
        )
        for k in range(COUNT)
    ]
    row = {"value": row_train, "negative": 0, "noise": int(row_words[DRAWS, 0])}
    seen = _run(lane, settings, row, _joined(row_words[:DRAWS, 0]), columns, weights.tolist())
    assert [fires for _, fires in seen] == [int(count > 0) for count in counts.tolist()]
    assert [weight for weight, fires in seen if fires] == moved[counts > 0].tolist()


def _joined(words: np.ndarray) -> int:
    return sum(int(word) << WORD_BITS * draw for draw, word in enumerate(words))


def _run(
    lane: DeviceLane, settings: Any, row: Any, row_device: int, columns: list[tuple[Any, int]], weights: list[int]
) -> list[tuple[int, int]]:
    """``moved`` and ``fires`` of every column, MOVE_LATENCY cycles after it."""
    seen: list[tuple[int, int]] = []
    length = CYCLES_PER_COLUMN * len(columns) + MOVE_LATENCY

    def at(cycle: int) -> int:
        """The column of a cycle."""
        return min(max(cycle // CYCLES_PER_COLUMN, 0), len(columns) - 1)

    async def bench(context: SimulatorContext) -> None:
        context.set(lane.settings, settings)
        context.set(lane.update, 1)
        context.set(lane.row, row)
        context.set(lane.row_device, row_device)
        context.set(lane.load, 1)
        await context.tick()  # the next cycle is the first even one
        context.set(lane.load, 0)
        for cycle in range(length):
            line, device = columns[at(cycle)]
            context.set(lane.column, line)
            context.set(lane.column_device, device)
            context.set(lane.late_device, columns[at(cycle - BOUND_DELAY)][1])
            context.set(lane.weight, weights[at(cycle - WEIGHT_DELAY)])
            if cycle >= MOVE_LATENCY and not cycle % CYCLES_PER_COLUMN:
                seen.append((context.get(lane.moved), context.get(lane.fires)))
            await context.tick()

    simulator = Simulator(lane)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    with warnings_as_errors():
        simulator.run()
    return seen
