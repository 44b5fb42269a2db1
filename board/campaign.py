"""Many short trainings on a simulated board under random faults: bad lines, resets of the board, hosts that are killed.

Each run must end with the bits of the golden machine, or with one line that says what is wrong; and from what the host had
saved by then, a run on a good line must end with those bits. A run that takes too long, or ends otherwise, is a failure.
"""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from board import campaign_host
from board.campaign_host import Task
from board.faults import KINDS, FaultyLine, Rates
from board.simulator import Board, PseudoPort
from emulator.compare import logits_difference, state_difference
from emulator.machine import Connection
from emulator.network.network import GoldenMachine

#: Faults per byte, drawn evenly in their logarithm: from one in a run to several in each exchange.
LEAST_RATE, LARGEST_RATE = 1e-4, 2e-3
#: Faults that cost more are as much rarer.
RARER = {"burst": 8, "cut": 10, "reset": 15}
LARGEST_BURST, LONGEST_CUT = 100.0, 0.5
#: Kinds of faults in one run at the most.
KINDS_A_RUN = 3
#: One run in so many has its host killed; within so many seconds.
RUNS_A_KILL, LATEST_KILL = 4, 2.0
KILL = "kill"
#: Seconds after which a run hangs: far more than all of the link's own waits together.
HUNG_SECONDS = 600.0
PATIENCE_SECONDS = 60.0
NAMES = ("golden", "board")

IDENTICAL, ERROR, WRONG, HUNG, CRASHED = "identical bits", "one clear error", "wrong bits", "hung", "crashed"
FAILURES = (WRONG, HUNG, CRASHED)


@dataclass(frozen=True)
class Plan:
    """Of a run. ``kill``: seconds after which its host is killed, and started again."""

    rates: Rates
    kill: float | None


def plan_of(seed: int, number: int) -> Plan:
    """Of run ``number`` of a campaign."""
    draw = random.Random(f"campaign {seed} run {number}")
    rates: dict[str, float] = {}
    for kind in draw.sample(KINDS, draw.randint(1, KINDS_A_RUN)):
        rates[kind] = LEAST_RATE * (LARGEST_RATE / LEAST_RATE) ** draw.random() / RARER.get(kind, 1)
    kill = draw.uniform(0, LATEST_KILL) if draw.randrange(RUNS_A_KILL) == 0 else None
    lengths = {"burst_bytes": draw.uniform(1, LARGEST_BURST), "cut_seconds": draw.uniform(0, LONGEST_CUT)}
    return Plan(Rates(**rates, **lengths, seed=draw.getrandbits(32)), kill)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Outcome:
    """How a run ended: one of the words above, and the error or the difference; and how often each fault struck."""

    number: int
    ending: str
    text: str
    faults: Counter[str]


@dataclass
class Tally:
    """Of all runs. ``struck``: faults of each kind; ``in_runs``: runs in which they were."""

    endings: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    in_runs: Counter[str] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """One more run."""
        self.endings[outcome.ending] += 1
        self.struck += outcome.faults
        self.in_runs.update(outcome.faults.keys())
        if outcome.ending == ERROR:
            self.errors[_gist(outcome.text)] += 1
        if outcome.ending in FAILURES:
            self.failures.append(outcome)

    def table(self) -> str:
        """In Markdown."""
        lines = ["| ending | runs |", "|---|---:|"]
        for ending in (IDENTICAL, ERROR, *FAILURES):
            lines.append(f"| {ending} | {self.endings[ending]} |")
            if ending == ERROR:
                lines += [f"| - {error} | {count} |" for error, count in self.errors.most_common()]
        lines += ["", "| fault | times | in runs |", "|---|---:|---:|"]
        lines += [f"| {kind} | {self.struck[kind]} | {self.in_runs[kind]} |" for kind in (*KINDS, KILL)]
        return "\n".join(lines)


def _gist(error: str) -> str:
    """An error without its port and without what would be accepted."""
    return error.split(": ", 1)[-1].split("; accepted", 1)[0]


class Campaign:
    """Runs on one board, which is not reset between them: each finds what the one before has left."""

    def __init__(self, task: Task, board: Board, *, baud: int) -> None:
        self.task, self.board, self.baud = task, board, baud
        golden = GoldenMachine(task.config)
        self._logits, self._state = golden.train(task.images, task.labels), golden.state()
        self._processes = multiprocessing.get_context("forkserver")
        # A process that starts imports the main module; what is loaded before it is forked costs it nothing.
        self._processes.set_forkserver_preload(["__main__", __name__])

    def run(self, runs: int, seed: int) -> Iterator[Outcome]:
        """The outcomes, as they come."""
        for number in range(runs):
            yield self.run_one(number, plan_of(seed, number))

    def run_one(self, number: int, plan: Plan) -> Outcome:
        """One run, which begins anew with the config's initial state."""
        faults = FaultyLine(plan.rates)
        with (
            tempfile.TemporaryDirectory(prefix="campaign-") as name,
            PseudoPort(self.board, baud=self.baud, faults=faults) as port,
        ):
            folder = Path(name)
            ending, text = self._host(port, folder, plan.kill)
            if ending == KILL:
                faults.counts[KILL] += 1
                ending, text = self._host(port, folder, None)
            if ending == ERROR:
                # What was saved before must be good: from there it goes on.
                port.faults = None
                after, later = self._host(port, folder, None)
                if after != IDENTICAL:
                    ending, text = after if after in FAILURES else CRASHED, f"after {text!r}, on a good line: {later}"
        return Outcome(number, ending, text, +faults.counts)

    def _host(self, port: PseudoPort, folder: Path, kill: float | None) -> tuple[str, str]:
        """One process of a host, until it ends or is killed; its ending and what there is to say."""
        error, crash = folder / campaign_host.ERROR, folder / campaign_host.CRASH
        error.unlink(missing_ok=True)
        connection = Connection(port.device, self.baud, PATIENCE_SECONDS)
        process = self._processes.Process(target=campaign_host.train, args=(self.task, connection, folder), daemon=True)
        process.start()
        start = time.monotonic()
        end = start + (HUNG_SECONDS if kill is None else kill)
        try:
            port.serve(lambda: process.is_alive() and time.monotonic() < end)
            late = process.is_alive()
        finally:  # an interrupt, too, leaves no host behind
            process.kill()
            process.join()
        if late:
            return (KILL, "") if kill is not None else (HUNG, f"after {HUNG_SECONDS:g} s")
        if error.exists():
            return ERROR, error.read_text()
        if crash.exists() or process.exitcode:
            return CRASHED, crash.read_text() if crash.exists() else f"exit code {process.exitcode}"
        return self._judge(folder)

    def _judge(self, folder: Path) -> tuple[str, str]:
        progress = campaign_host.read_progress(folder)
        if progress is None:
            return CRASHED, "no result"
        difference = logits_difference(NAMES, [self._logits, progress.logits], 0)
        difference = difference or state_difference(NAMES, [self._state, progress.state])
        return (IDENTICAL, "") if difference is None else (WRONG, difference)
