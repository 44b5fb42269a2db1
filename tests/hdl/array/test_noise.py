"""Gaussian words and mixing in logic, against the model, over corners and random words."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator, SimulatorContext

from emulator.array import noise as model
from emulator.fixed import LARGEST_GAUSSIAN, WORD_BITS
from hdl.array.noise import GAUSSIAN_SHAPE, MIX_ROUNDS, gaussian, mix, mix_rounds

ALL_ONES = (1 << WORD_BITS) - 1
CORNERS = [0, ALL_ONES, *(1 << bit for bit in range(WORD_BITS)), *(ALL_ONES ^ 1 << bit for bit in range(WORD_BITS))]


def test_equals_the_model() -> None:
    words = np.array(CORNERS + np.random.default_rng(1).integers(0, ALL_ONES, 3000, endpoint=True).tolist())
    mixed, gaussians = model.mix(words), model.gaussian(words)
    assert {abs(value) for value in gaussians.tolist()} >= {LARGEST_GAUSSIAN, 1}
    word, by_halves, whole, xi = Signal(WORD_BITS), Signal(WORD_BITS), Signal(WORD_BITS), Signal(GAUSSIAN_SHAPE)
    m = Module()
    m.d.comb += [
        whole.eq(mix(m, word)),
        by_halves.eq(mix_rounds(m, mix_rounds(m, word, 2), MIX_ROUNDS - 2)),
        xi.eq(gaussian(m, word)),
    ]

    async def bench(context: SimulatorContext) -> None:
        for given, expected, number in zip(words.tolist(), mixed.tolist(), gaussians.tolist(), strict=True):
            context.set(word, given)
            await context.delay(1e-9)
            assert (context.get(whole), context.get(by_halves), context.get(xi)) == (expected, expected, number), given

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
