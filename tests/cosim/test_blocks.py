"""Every block's exported Verilog against the golden model, in two simulators that do not know each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hdl.blocks import BLOCKS
from sim.runner import Report, SimulationError, run_icarus, run_verilator
from sim.small import SMALL, work
from sim.transactions.base import Transactions

STALL = 0.4


def check(report: Report, transactions: Transactions) -> None:
    assert report.words > 0
    ports = {port for phase in transactions.phases for port in phase.outputs}
    assert report.compared == {port: len(transactions.expected(port)) for port in ports}


@pytest.mark.parametrize("name", BLOCKS)
def test_verilator(name: str) -> None:
    design, transactions = work(name)
    check(run_verilator(design, transactions, stall=STALL), transactions)


@pytest.mark.parametrize("name", BLOCKS)
def test_verilator_with_random_initial_values(name: str) -> None:
    design, transactions = work(name)
    check(run_verilator(design, transactions, stall=STALL, seed=2, randomise=True), transactions)


@pytest.mark.parametrize("stall", (0.0, STALL))
@pytest.mark.parametrize("name", BLOCKS)
def test_icarus(name: str, stall: float) -> None:
    design, transactions = work(name)
    check(run_icarus(design, transactions, stall=stall), transactions)


@pytest.mark.parametrize("name", BLOCKS)
def test_icarus_with_unknown_initial_values(name: str) -> None:
    design, transactions = work(name)
    check(run_icarus(design, transactions, stall=STALL, seed=2, unknown=True), transactions)


def test_small_parameters_are_of_blocks_that_exist() -> None:
    assert set(SMALL) <= set(BLOCKS)


# --- what the kit must catch ----------------------------------------------------------------------------------------

RUNNERS = (run_verilator, run_icarus)


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_wrong_word_is_caught(runner: Callable[..., Report]) -> None:
    design, transactions = work("divider")
    words = list(transactions.outputs["o"])
    words[-1] = {**words[-1], "remainder": words[-1]["remainder"] ^ 1}
    with pytest.raises(SimulationError, match="word 11"):
        runner(design, Transactions(transactions.inputs, {"o": words}))


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_missing_word_is_caught(runner: Callable[..., Report]) -> None:
    design, transactions = work("divider")
    with pytest.raises(SimulationError, match="hung"):
        runner(
            design, Transactions(transactions.inputs, {"o": [*transactions.outputs["o"], transactions.outputs["o"][0]]})
        )


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_word_too_many_is_caught(runner: Callable[..., Report]) -> None:
    design, transactions = work("divider")
    with pytest.raises(SimulationError, match=r"12 words, expected 11|word 11: none is expected"):
        runner(design, Transactions(transactions.inputs, {"o": transactions.outputs["o"][:-1]}))


@pytest.mark.parametrize("runner", RUNNERS)
def test_nothing_expected_is_refused(runner: Callable[..., Report]) -> None:
    design, _ = work("divider")
    with pytest.raises(SimulationError, match="nothing would be tested"):
        runner(design, Transactions({"i": []}, {"o": []}))


def test_unknown_values_catch_a_register_without_reset() -> None:
    design, transactions = work("divider")
    reset = "    if (rst) begin\n"
    broken = replace(design, verilog=design.verilog.replace(reset, "    if (1'h0) begin\n"))
    assert broken.verilog != design.verilog
    check(run_icarus(broken, transactions), transactions)
    with pytest.raises(SimulationError, match="unknown"):
        run_icarus(broken, transactions, unknown=True)


def test_random_initial_values_catch_a_register_without_reset() -> None:
    design, transactions = work("divider")
    broken = replace(design, verilog=design.verilog.replace("    if (rst) begin\n", "    if (1'h0) begin\n"))
    check(run_verilator(broken, transactions), transactions)
    with pytest.raises(SimulationError):
        run_verilator(broken, transactions, randomise=True)
