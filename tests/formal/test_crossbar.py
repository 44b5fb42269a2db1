"""The crossbar as a whole: on all of its outputs an offered word stays, and stays the same, until it is taken. Whatever
the settings, the vectors and the contents of the memories, legal or not."""

from __future__ import annotations

from typing import Any

import pytest

from hdl.array.crossbar import Crossbar
from hdl.array.crossbar_parameters import CrossbarParameters
from sim.contract import ContractHarness
from sim.invariant import by_invariant
from sim.mutation import Fault, faulty_module

#: One line a side, the narrowest words.
SMALL: dict[str, Any] = {
    "lanes": 1,
    "devices": 1,
    "weight_words": 1,
    "row_beats": 1,
    "column_beats": 1,
    "longest_rows": 1,
    "longest_columns": 1,
    "weight_bits": 4,
    "dac_fraction": 1,
    "adc_shift": 1,
    "limit": 1,
    "noise_gain": 0,
    "cycle_gain": 0,
    "step_mean": 1,
    "step_gain": 0,
    "ratio_gain": 0,
    "bound_mean": 1,
    "bound_gain": 0,
    "generator_width": 32,
}


def test_words_stay() -> None:
    proof = by_invariant(ContractHarness(Crossbar(CrossbarParameters(**SMALL))))
    assert proof, proof


@pytest.mark.slow
def test_fails_where_an_answer_does_not_wait() -> None:
    fault = Fault(
        "hdl/array/crossbar.py",
        "wiring.connect(m, wiring.flipped(self.answer), access.answer)",
        "m.d.comb += [self.answer.valid.eq(access.answer.valid), self.answer.payload.eq(access.answer.payload)]\n"
        "        m.d.comb += access.answer.ready.eq(1)",
        "answers do not wait",
    )
    with faulty_module(fault) as module:
        proof = by_invariant(ContractHarness(module.Crossbar(CrossbarParameters(**SMALL))))
    assert proof.failing == "answer_stays", proof
