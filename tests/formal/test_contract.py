"""The contract of streams (sim/contract.py), for every block; and for every block a fault that breaks it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from hdl.block import Block
from hdl.blocks import BLOCKS
from sim.contract import Contract, ContractHarness, Flow, per_vector
from sim.formal import Proof
from sim.invariant import by_invariant
from sim.mutation import Fault, faulty_module

VECTORS = Contract({"o": Flow({"i": per_vector})})
ADVANCE = "with m.If(advance):\n"
#: Proofs that take minutes.
LONG = [pytest.mark.slow, pytest.mark.timeout(3600)]


@dataclass(frozen=True)
class Case:
    """A block with small parameters; how it is proved; a patch of its text that must make the proof fail."""

    block: str
    parameters: Mapping[str, Any]
    patch: tuple[str, str]
    contract: Contract = field(default_factory=Contract)
    #: The proof that nothing is lost takes longer than CI should wait; the fault and the rest do not.
    slow: bool = False
    #: The legal words differ from others in constants of an array, without which no proof is found in minutes.
    constants: bool = False

    @property
    def fault(self) -> Fault:
        return Fault(f"hdl/periphery/{self.file}.py", *self.patch, "a broken contract")

    @property
    def file(self) -> str:
        return BLOCKS[self.block].__module__.rpartition(".")[2]

    def made(self, module: ModuleType | None = None) -> Block:
        module = module or importlib.import_module(BLOCKS[self.block].__module__)
        return getattr(module, BLOCKS[self.block].__name__)(BLOCKS[self.block].parameters_class(**self.parameters))


def conserved(case: Case, module: ModuleType | None = None) -> Proof:
    return by_invariant(ContractHarness(case.made(module), case.contract))


CASES = [
    Case(
        "block_exponent",
        {"sum_bits": 3, "error_magnitude_bits": 2},
        (ADVANCE + "            m.d.sync += [\n                ideal_shift", "with m.If(1):\n            m.d.sync += [\n                ideal_shift"),
    ),
    Case("bound_management", {"limit": 2}, ("with m.If(advance & self.i.valid):", "with m.If(self.i.valid):")),
    Case(
        "divider",
        {"numerator_bits": 2, "denominator_bits": 2},
        ("self.i.ready.eq((left == 0) & ~self.o.valid)", "self.i.ready.eq(left == 0)"),
    ),
    Case("lfsr", {"width": 32}, (ADVANCE, "with m.If(1):\n")),
    Case(
        "max_search",
        {"lanes": 2, "magnitude_bits": 2},
        ("self.o.valid.eq(valid & last)", "self.o.valid.eq(valid)"),
        VECTORS,
    ),
    Case(
        "noise_management",
        {"magnitude_bits": 1, "dac_fraction": 1, "radix": 16},
        ("self.i.ready.eq(~busy)", "self.i.ready.eq(1)"),
    ),
    Case(
        "noise_management",
        {"magnitude_bits": 2, "dac_fraction": 1, "modes": ("power_of_two",)},
        (ADVANCE, "with m.If(1):\n"),
    ),
    Case(
        "noise_management",
        {"magnitude_bits": 1, "dac_fraction": 1, "radix": 16, "modes": ("power_of_two", "exact")},
        ("Mux(exact, divider.o.valid, busy)", "Mux(exact, divider.o.valid, 1)"),
    ),
    Case(
        "pulse_generator",
        {"lanes": 1, "beats": 1, "fewest_beats": 1, "desired_bl": 2, "probability_bits": 2, "generator_width": 32},
        ("self.i.ready.eq((~fetched | load) & ~hold)", "self.i.ready.eq(~hold)"),
        Contract(
            {"o": Flow(), "answer": Flow({"access": lambda request: ~request.write})},
            drain=12,
            legal={"i": lambda beat: (beat.desired_bl != 0) & (beat.desired_bl <= 2) & (beat.base == 0) & beat.end},
        ),
    ),
    Case(
        "scaler",
        {"lanes": 1, "magnitude_bits": 2, "multiplier_bits": 2, "lowest_shift": 0, "highest_shift": 3, "limit": 3},
        ("        advance, _ = pipeline(m, self.i, self.o, stages)", "        pipeline(m, self.i, self.o, stages)\n        advance = Const(1)"),
    ),
    Case(
        "softmax",
        {"lanes": 1, "classes": 2, "adc_fraction": 1, "magnitude_bits": 1, "radix": 16},
        ("m.d.comb += work.write_logit.en.eq(mask[0])", "m.d.comb += [work.write_logit.en.eq(mask[0]), self.i.ready.eq(ends)]"),
        Contract(
            {"o": Flow(residue=1, capacity=2)},
            drain=50,
            legal={"i": lambda beat: beat.mask.all() & (beat.label < 2)},
            vectors={"i": 2, "o": 2},
        ),
        slow=True,
    ),
    Case(
        "square_root",
        {"bits": 4, "radix": 4},
        ("self.i.ready.eq((left == 0) & ~self.o.valid)", "self.i.ready.eq(left == 0)"),
    ),
    Case(
        "update_management",
        {"x_magnitude_bits": 2, "delta_magnitude_bits": 2, "modes": ("power_of_two",)},
        (ADVANCE, "with m.If(1):\n"),
    ),
    Case(
        "update_management",
        {"x_magnitude_bits": 1, "delta_magnitude_bits": 1, "modes": ("exact",), "radix": 4},
        ("self.i.ready.eq(~busy)", "self.i.ready.eq(1)"),
        Contract(
            {"o": Flow(capacity=1)},
            # Constants of an array; their words are as wide as ever, and what becomes of them is not claimed.
            legal={"i": lambda work: (work.power_mantissa == 1 << 15) & (work.power_shift == 0)},
        ),
        slow=True,
        constants=True,
    ),
    Case(
        "activation",
        {"lanes": 1, "input_bits": 3, "input_fraction": 1, "output_fraction": 1, "magnitude_bits": 2},
        (ADVANCE + "                m.d.sync += element.eq(with_sign", "m.d.sync += element.eq(with_sign"),
    ),
    Case(
        "activation",
        {"lanes": 1, "kind": "identity", "input_bits": 3, "input_fraction": 1, "output_fraction": 1, "magnitude_bits": 2},
        (ADVANCE + "                m.d.sync += element.eq(with_sign", "m.d.sync += element.eq(with_sign"),
    ),
    Case(
        "activation_back",
        {"lanes": 1, "magnitude_bits": 1, "activation_bits": 2, "fraction": 1},
        (ADVANCE + "                m.d.sync += element.eq(result)", "m.d.sync += element.eq(result)"),
    ),
    Case(
        "average",
        {"lanes": 1, "magnitude_bits": 2, "fewest_beats": 1, "beats": 1, "copies": 2, "replications": (2,)},
        ("totals.valid.eq(valid[-1] & complete[-1])", "totals.valid.eq(valid[-1])"),
        Contract(
            {"o": Flow(price=2, capacity=6)}, legal={"i": lambda beat: (beat.beats == 1) & (beat.copies == 2)}
        ),
    ),
    Case(
        "average",
        {"lanes": 1, "magnitude_bits": 2, "fewest_beats": 1, "beats": 1, "copies": 1, "replications": (1,)},
        ("advance, _ = pipeline(m, self.i, totals, 1)", "advance = pipeline(m, self.i, totals, 1)[0] | self.i.valid"),
    ),
    Case(
        "pooling",
        {"lanes": 1, "height": 2, "width": 2, "channels": 1, "magnitude_bits": 1},
        ("self.o.valid.eq(valid[3] & emits)", "self.o.valid.eq(valid[3])"),
        Contract({"o": Flow(price=4, capacity=8)}),
    ),
    Case(
        "pooling_back",
        {"lanes": 1, "height": 2, "width": 2, "channels": 1, "magnitude_bits": 1},
        ("self.i.ready.eq(advance & takes)", "self.i.ready.eq(advance)"),
        Contract({"o": Flow({"i": lambda _beat: 4}, capacity=8)}, drain=8),
    ),
    Case(
        "replicate",
        {"lanes": 1, "magnitude_bits": 1, "beats": 1, "copies": 2},
        ("self.again.ready.eq(sent & ~fetched & ~self.o.valid)", "self.again.ready.eq(1)"),
        Contract(
            # Of two vectors the second one waits for the word that ends the first.
            {"o": Flow({"i": lambda _beat: 2, "again": lambda word: 2 * word.repeat}, residue=2, capacity=4)},
            drain=7,
            legal={"i": lambda beat: beat.last & (beat.copies == 2)},
        ),
    ),
    Case(
        "im2col",
        {"lanes": 1, "kernel": 1, "height": 1, "width": 2, "magnitude_bits": 1, "one": 1},
        ("self.i.ready.eq(~sending)", "self.i.ready.eq(1)"),
        Contract({"o": Flow({"i": lambda _beat: 2}, residue=2, capacity=7)}, drain=8),
    ),
    Case(
        "im2col_back",
        {"lanes": 1, "kernel": 1, "height": 1, "width": 2, "magnitude_bits": 1},
        ("self.i.ready.eq(~sending & free)", "self.i.ready.eq(free)"),
        Contract({"o": Flow(residue=1, capacity=4)}, drain=9),
    ),
]  # fmt: skip
#: Proved in files of their own: test_crossbar.py, test_tile.py.
ELSEWHERE = {"crossbar", "tile"}


def label(case: Case) -> str:
    """Block, and the parameter in which its cases differ."""
    differing = [case.parameters[name] for name in ("modes", "kind", "copies") if name in case.parameters]
    return "-".join([case.block, *("-".join(each) if isinstance(each, tuple) else str(each) for each in differing)])


def parameters(cases: list[Case]) -> list[ParameterSet]:
    return [pytest.param(case, id=label(case), marks=LONG if case.slow else []) for case in cases]


def test_every_block_has_a_case() -> None:
    assert {case.block for case in CASES} == set(BLOCKS) - ELSEWHERE


@pytest.mark.parametrize("case", parameters(CASES))
def test_nothing_lost_nothing_made_up_all_comes_out(case: Case) -> None:
    proof = conserved(case)
    assert proof, proof


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=label(case), marks=LONG if case.constants else []) for case in CASES],
)
def test_words_stay(case: Case) -> None:
    """With any words at the inputs, legal or not; but with the constants of an array where the case says so."""
    proof = by_invariant(ContractHarness(case.made(), legal=case.contract.legal if case.constants else None))
    assert proof, proof


@pytest.mark.parametrize("case", CASES, ids=label)
def test_fails_with_a_broken_contract(case: Case) -> None:
    with faulty_module(case.fault) as module:
        proof = conserved(case, module)
    assert proof.failing, proof
