"""Comparing how machines came to their bits: the first word in which the traces of an image differ."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from emulator.compare import compare_machines, state_difference, weight_count
from emulator.config import Config
from emulator.errors import MachineError
from emulator.machine import Machine, Traceable, build_machine
from emulator.trace import WHOLE, Place, Trace, write_trace

Build = Callable[[str, Config], Machine]


@dataclass(frozen=True)
class Verdict:
    """Whether all was equal, and what to tell."""

    equal: bool
    text: str


@dataclass(frozen=True)
class Outcome:
    """Of two traces: the report of the first difference, if there is one, and what was equal before it."""

    report: str | None
    records: int
    words: int


def compare_with_traces(
    config: Config,
    names: Sequence[str],
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    *,
    build: Build = build_machine,
    trace_out: Path | None = None,
) -> Verdict:
    """Compare like ``compare_machines``; then say where the first difference came from, or that there is none inside.

    If logits or states differ, the first image with a difference is trained again from the state before it, with all
    machines tracing. If not, all images are trained again in that way. The first machine's trace of the last image that
    was traced goes to ``trace_out``. Raises MachineError for a machine that cannot trace, OSError from writing.
    """
    tracing = _Tracing(names, images, labels)

    def build_traceable(name: str, config: Config) -> Machine:
        machine = build(name, config)
        if not isinstance(machine, Traceable):
            raise MachineError(f"machine {name!r}: keeps no trace; accepted with --trace: golden, fast")
        return machine

    difference = compare_machines(config, names, images, labels, build=build_traceable, explain=tracing.explain)
    if difference is None:
        verdict = tracing.compare_all([build_traceable(name, config) for name in names])
    else:
        verdict = Verdict(False, difference)
    if trace_out is not None and tracing.last is not None:
        write_trace(trace_out, tracing.last)
    if verdict.equal:
        return Verdict(True, f"bit-exact: {weight_count(config)} weights, {len(images)} images\n{verdict.text}")
    return verdict


class _Tracing:
    """Images trained by machines of these names with tracing, and how much of the traces was equal."""

    def __init__(self, names: Sequence[str], images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        self.names, self.images, self.labels = names, images, labels
        self.last: Trace | None = None  # of the first machine
        self.records = self.words = 0
        self.left_out: dict[str, None] = {}  # in the order of their first appearance

    def compare_all(self, machines: Sequence[Machine]) -> Verdict:
        """From the initial states; a bar on stderr shows progress."""
        images = range(len(self.images))
        for image in tqdm(images, unit=" traces", dynamic_ncols=True, file=sys.stderr, leave=False, disable=None):
            report = self._compare(machines, image)
            if report is not None:
                return Verdict(False, report)
        lines = [f"trace equal: {self.records} records, {self.words} words", *self.left_out]
        return Verdict(True, "\n".join(lines))

    def explain(self, machines: Sequence[Machine], image: int) -> str:
        """What to say of an image that left different bits, when the machines are set back to just before it."""
        report = self._compare(machines, image)
        if report is None:
            report = (
                f"no difference when image {image + 1} is trained once more with tracing: "
                f"{self.records} records, {self.words} words are equal, and so are the states after it"
            )
        return report

    def _compare(self, machines: Sequence[Machine], image: int) -> str | None:
        traces = [self._trace(machine, image) for machine in machines]
        self.last = traces[0]
        for name, trace in zip(self.names[1:], traces[1:], strict=True):
            pair = (self.names[0], name)
            outcome = compare_traces(pair, traces[0], trace)
            self.records += outcome.records
            self.words += outcome.words
            self.left_out.update(dict.fromkeys(not_compared(pair, traces[0], trace)))
            if outcome.report is not None:
                heading = f"first difference in the trace of image {image + 1}: {pair[0]} and {pair[1]}"
                return "\n".join([heading, outcome.report, *not_compared(pair, traces[0], trace)])
        difference = state_difference(self.names, [machine.state() for machine in machines])
        if difference is not None:
            return f"trace of image {image + 1} equal, but not the states after it: {difference}"
        return None

    def _trace(self, machine: Machine, image: int) -> Trace:
        assert isinstance(machine, Traceable)
        return machine.trace(self.images[image], int(self.labels[image]))


def compare_traces(names: tuple[str, str], ours: Trace, theirs: Trace) -> Outcome:
    """Compare all records of the items that both traces have, in canonical order, up to the first difference.

    An item that both have for a layer and operation must have the same positions and attempts in both.
    """
    common = _kinds(ours) & _kinds(theirs)
    places = {place for trace in (ours, theirs) for place in trace.records if _kind(place) in common}
    records = words = 0
    for place in sorted(places, key=ours.order):
        left, right = ours.records.get(place), theirs.records.get(place)
        if left is None or right is None:
            values = [_count(left), _count(right)]
            return Outcome(_report(names, place, "all", values, "", records, words), records, words)
        if not np.array_equal(left, right):
            shorter = min(len(left), len(right))
            unequal = np.flatnonzero(left[:shorter] != right[:shorter])
            index = int(unequal[0]) if len(unequal) else shorter
            values = [
                trace.spell_value(place, vector[index]) if index < len(vector) else "none"
                for trace, vector in ((ours, left), (theirs, right))
            ]
            longest = max(len(left), len(right))
            extent = f"{len(unequal) + longest - shorter} of the record's {longest} words differ"
            words += index
            longer = ours if len(left) > index else theirs
            spelled = longer.spell_index(place, index)
            return Outcome(_report(names, place, spelled, values, extent, records, words), records, words)
        records += 1
        words += len(left)
    return Outcome(None, records, words)


def not_compared(names: tuple[str, str], ours: Trace, theirs: Trace) -> list[str]:
    """A line for each machine that has items which the other leaves out."""
    lines = []
    for name, trace, other in ((names[0], ours, theirs), (names[1], theirs, ours)):
        elsewhere = {(operation, item) for _, operation, item in _kinds(other)}
        missing = _kinds(trace) - _kinds(other)
        places = [place for place in trace.ordered() if _kind(place) in missing]
        spelled = [
            f"{place.operation} {place.item}"
            if (place.operation, place.item) not in elsewhere
            else f"{place.layer} {place.operation} {place.item}"
            for place in places
        ]
        if spelled:
            lines.append(f"not compared, {name} alone has: {', '.join(dict.fromkeys(spelled))}")
    return lines


def _kind(place: Place) -> tuple[str, str, str]:
    return place.layer, place.operation, place.item


def _kinds(trace: Trace) -> set[tuple[str, str, str]]:
    return {_kind(place) for place in trace.records}


def _count(vector: NDArray[np.int64 | np.uint64] | None) -> str:
    return "no such record" if vector is None else f"{len(vector)} words"


def _report(
    names: tuple[str, str], place: Place, index: str, values: Sequence[str], extent: str, records: int, words: int
) -> str:
    """One fact a line."""
    lines = {
        "layer": place.layer,
        "operation": place.operation,
        "position": "the operation as a whole" if place.position == WHOLE else str(place.position),
        "attempt": str(place.attempt),
        "item": place.item,
        "index": f"{index} ({extent})" if extent else index,
    }
    width = max(len("equal before"), *(len(name) for name in names))
    facts = [*lines.items(), *zip(names, values, strict=True), ("equal before", f"{records} records, {words} words")]
    return "\n".join(f"  {name:{width}}  {value}" for name, value in facts)
