"""Trainings under faults end with the golden machine's bits or with one clear error: a few on the model of a board, and more
than five hundred on the simulated one."""

from __future__ import annotations

import multiprocessing
import re
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from board import campaign
from board.campaign import CRASHED, ERROR, IDENTICAL, KILL, WRONG, Campaign, Outcome, Plan, Tally, plan_of
from board.campaign_host import Task
from board.cli import main
from board.faults import KINDS, Rates
from board.identity import identity_of
from board.simulator import Board, PseudoPort
from emulator.command_line import INTERRUPTED_EXIT
from emulator.config import Config
from emulator.machine import Connection
from emulator.training.datasets import Dataset
from hdl.network.network_parameters import NetworkParameters
from tests.board.lines import golden_board

IMAGES = 4
RUNS = 500


def campaign_on(board: Board, config: Config, dataset: Dataset) -> Campaign:
    identity = identity_of(NetworkParameters.of_config(config))
    task = Task(config, identity, dataset.train_images[:IMAGES], dataset.train_labels[:IMAGES])
    return Campaign(task, board, baud=Connection.baud)


def test_plans_differ_and_repeat() -> None:
    plans = [plan_of(1, number) for number in range(300)]
    assert len(set(plans)) == 300
    assert plans == [plan_of(1, number) for number in range(300)]
    assert plans[0] != plan_of(2, 0)
    for kind in KINDS:
        assert sum(getattr(plan.rates, kind) > 0 for plan in plans) > 50
    assert sum(plan.kill is not None for plan in plans) > 50


@pytest.mark.timeout(600)
def test_runs_on_the_model(tiny: Config, tiny_digits: Dataset) -> None:
    board, _ = golden_board(tiny)
    runner = campaign_on(board, tiny, tiny_digits)
    assert runner.run_one(0, Plan(Rates(), None)) == Outcome(0, IDENTICAL, "", Counter())
    killed = runner.run_one(1, Plan(Rates(drop=1e-3), 0.2))
    assert (killed.ending, killed.faults[KILL]) == (IDENTICAL, 1)
    reset = runner.run_one(2, Plan(Rates(reset=2e-4, seed=5), None))
    assert (reset.ending, reset.faults["reset"] > 0) == (ERROR, True), reset
    assert "the board has lost the session" in reset.text


@pytest.mark.timeout(600)
def test_wrong_bits_and_crashes_are_found(tiny: Config, tiny_digits: Dataset) -> None:
    board, model = golden_board(tiny)
    runner = campaign_on(board, tiny, tiny_digits)
    image = model.network.image
    model.network.image = lambda pixels, label, train: [logit + 1 for logit in image(pixels, label, train)]
    outcome = runner.run_one(0, Plan(Rates(), None))
    assert (outcome.ending, outcome.text.split(":")[0]) == (WRONG, "logits of image 1, element 0")
    runner.task = replace(runner.task, labels=runner.task.labels[:1])  # the host stumbles
    outcome = runner.run_one(1, Plan(Rates(), None))
    assert (outcome.ending, "labels" in outcome.text) in {(CRASHED, True), (ERROR, True)}


def test_a_host_that_hangs_is_found(tiny: Config, tiny_digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "HUNG_SECONDS", 1.0)
    board, model = golden_board(tiny)
    runner = campaign_on(board, tiny, tiny_digits)
    model.busy = True
    assert runner.run_one(0, Plan(Rates(), None)).ending == campaign.HUNG


def test_an_interrupt_leaves_no_host_behind(
    tiny: Config, tiny_digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(port: PseudoPort, going: object) -> None:
        raise KeyboardInterrupt

    board, _ = golden_board(tiny)
    monkeypatch.setattr(PseudoPort, "serve", interrupt)
    with pytest.raises(KeyboardInterrupt):
        campaign_on(board, tiny, tiny_digits).run_one(0, Plan(Rates(), None))
    assert not multiprocessing.active_children()


def test_the_table_has_all_there_is() -> None:
    tally = Tally()
    for number, ending in enumerate((IDENTICAL, IDENTICAL, ERROR, WRONG)):
        tally.add(Outcome(number, ending, "port 'x': no answer; accepted: one", Counter({"flip": 3, KILL: 1})))
    table = tally.table()
    for row in (
        "identical bits | 2",
        "one clear error | 1",
        "- no answer | 1",
        "wrong bits | 1",
        "flip | 12 | 4",
        "kill | 4 | 4",
    ):
        assert f"| {row} |" in table
    assert [failure.number for failure in tally.failures] == [3]


def test_an_interrupted_campaign_tells_its_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: Campaign, runs: int, seed: int) -> Iterator[Outcome]:
        yield Outcome(0, IDENTICAL, "", Counter())
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Campaign, "run", run)
    assert main(["campaign", "--model", "--quiet"]) == INTERRUPTED_EXIT
    captured = capsys.readouterr()
    assert f"| {IDENTICAL} | 1 |" in captured.out and captured.err.split() == ["interrupted"]


@pytest.mark.slow
@pytest.mark.timeout(10800)
def test_five_hundred_runs_on_the_simulated_board(tiny: Config, tiny_digits: Dataset, tiny_board) -> None:
    tally = Tally()
    for outcome in campaign_on(tiny_board, tiny, tiny_digits).run(RUNS, seed=1):
        tally.add(outcome)
    print(tally.table())
    assert not tally.failures, tally.failures
    assert tally.endings[IDENTICAL] + tally.endings[ERROR] == RUNS
    assert tally.endings[IDENTICAL] > RUNS // 2
    for kind in (*KINDS, KILL):
        assert tally.in_runs[kind] >= 10, kind


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_five_hundred_runs_on_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", "--model", "--runs", f"{RUNS}", "--campaign-seed", "2", "--quiet"]) == 0
    table = dict(re.findall(r"\| ([a-z ]+) \| (\d+) \|", capsys.readouterr().out))
    assert int(table[IDENTICAL]) + int(table[ERROR]) == RUNS
    assert all(int(table[kind]) > 0 for kind in (*KINDS, KILL))
    assert all(table[ending] == "0" for ending in campaign.FAILURES)
