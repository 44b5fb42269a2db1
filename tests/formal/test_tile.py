"""The tile as a whole: on all of its outputs an offered word stays, and stays the same, until it is taken. Whatever the
array, the commands and the vectors, legal or not."""

from __future__ import annotations

from typing import Any

import pytest

from hdl.network.tile import Tile
from hdl.network.tile_parameters import TileParameters
from sim.contract import ContractHarness
from sim.invariant import by_invariant
from sim.mutation import Fault, faulty_module

#: One line a side, the narrowest words.
SMALL: dict[str, Any] = {
    "lanes": 1,
    "activation_bits": 4,
    "activation_fraction": 2,
    "error_bits": 4,
    "dac_fraction": 1,
    "limit": 1,
    "forward_modes": ("none",),
    "backward_modes": ("none",),
    "update_modes": ("none",),
    "column_beats": 1,
    "row_beats": 1,
    "fewest_beats": 1,
    "sensed_beats": 1,
    "lines": 1,
    "halvings": 1,
    "probability_bits": 2,
    "generator_width": 32,
    "pulse_beats": 2,
    "fewest_update_beats": 2,
    "drive_shifts": (-1, 40),
    "pulse_shifts": (-2, 40),
}
REPLICATED = SMALL | {
    "lanes": 2,
    "column_beats": 2,
    "row_copies": 2,
    "replications": (2,),
    "sensed_beats": 2,
    "lines": 4,
    "forward_modes": ("power_of_two",),
    "backward_modes": ("power_of_two",),
    "update_modes": ("power_of_two",),
    "desired_bl": 2,
    "pulse_beats": 4,
    "fewest_update_beats": 4,
    "scale_shifts": (0, 3),
}
EXACT = SMALL | {
    "forward_modes": ("exact",),
    "backward_modes": ("exact",),
    "update_modes": ("exact",),
    "scale_shifts": (0, 2),
    "radix": 4,
}


@pytest.mark.parametrize(
    "parameters",
    (
        pytest.param(SMALL, id="small", marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
        pytest.param(REPLICATED, id="replicated", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
        pytest.param(EXACT, id="exact", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ),
)
def test_words_stay(parameters: dict[str, Any]) -> None:
    proof = by_invariant(ContractHarness(Tile(TileParameters(**parameters))))
    assert proof, proof


def test_fails_where_a_stall_is_not_passed_on() -> None:
    fault = Fault(
        "hdl/network/tile.py",
        "wiring.connect(m, target.answer, wiring.flipped(self.answer))",
        "m.d.comb += [self.answer.valid.eq(target.answer.valid), self.answer.payload.eq(target.answer.payload)]\n"
        "        m.d.comb += target.answer.ready.eq(1)",
        "answers do not wait",
    )
    with faulty_module(fault) as module:
        proof = by_invariant(ContractHarness(module.Tile(TileParameters(**SMALL))))
    assert proof.failing == "answer_stays", proof
