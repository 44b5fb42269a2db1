"""The header of a checkpoint: what it says about itself and its run, and whether that can be."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from emulator.config import Config
from emulator.machine import COUNTERS, State
from emulator.training.log import HISTOGRAM_BINS, EpochRecord, Histogram, layer_counters

Counts = dict[str, dict[str, int]]


class Header(BaseModel):
    """What a checkpoint says about itself and its run."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: int
    arithmetic: int
    machine: str
    config_digest: str
    config: dict[str, Any]
    data_name: str
    train_images: int
    test_images: int
    data_fingerprint: str
    epochs_done: int  # whole epochs, test included
    image: int  # training images done of the next epoch
    epoch_errors: int  # wrong answers among them
    epoch_seconds: float  # spent on them
    epoch_start_counters: Counts  # before them
    records: list[EpochRecord]  # of the whole epochs


def header_fault(header: Header) -> str | None:
    """What in a header contradicts itself: the field, its value and what would be accepted; None if nothing does."""
    for name, value, low, high in _numbers(header):
        if not low <= value <= high:
            ends = f"{low} to {high}" if high < math.inf else f"at least {low}, and a number"
            return f"{name} = {value}; accepted: {ends}"
    if len(header.records) != header.epochs_done:
        return f"epochs_done = {header.epochs_done}; accepted: {len(header.records)}, the number of its records"
    for number, record in enumerate(header.records, start=1):
        if record.epoch != number:
            return f"records[{number - 1}].epoch = {record.epoch}; accepted: {number}"
    return None


def _numbers(header: Header) -> Iterator[tuple[str, float, float, float]]:
    """Numbers of a header, with the lowest and highest that there can be."""
    largest = 2**63 - 1  # of a counter
    finite = math.nextafter(math.inf, 0)
    yield "train_images", header.train_images, 1, largest
    yield "test_images", header.test_images, 1, largest
    yield "epochs_done", header.epochs_done, 0, largest
    yield "image", header.image, 0, header.train_images
    yield "epoch_errors", header.epoch_errors, 0, header.image
    yield "epoch_seconds", header.epoch_seconds, 0, finite
    for name, count in _counts("epoch_start_counters", header.epoch_start_counters):
        yield name, count, 0, largest
    for number, record in enumerate(header.records):
        place = f"records[{number}]"
        yield f"{place}.images", record.images, 1, largest
        yield f"{place}.train_error", record.train_error, 0, 1
        yield f"{place}.test_error", record.test_error, 0, 1
        yield f"{place}.seconds", record.seconds, 0, finite
        yield f"{place}.images_per_second", record.images_per_second, 0, finite
        for name, count in _counts(f"{place}.counters", record.counters):
            yield name, count, 0, largest


def _counts(place: str, counts: Counts) -> Iterator[tuple[str, int]]:
    for layer, numbers in counts.items():
        for name, number in numbers.items():
            yield f"{place}.{layer}.{name}", number


def run_fault(header: Header, state: State, config: Config) -> str | None:
    """The same of a header, whose config is ``config``, with the state beside it: what a run cannot go on with."""
    names = [stage.name for stage in config.stages]
    counted = [stage for stage in names if f"{stage}.counters" in state]
    for stage in counted:
        if state[f"{stage}.counters"].shape != (len(COUNTERS),):
            return f"state '{stage}.counters' has shape {list(state[f'{stage}.counters'].shape)}; accepted: [{len(COUNTERS)}]"
    places = {"epoch_start_counters": header.epoch_start_counters}
    places |= {f"records[{number}].counters": record.counters for number, record in enumerate(header.records)}
    for place, counts in places.items():
        if {layer: set(numbers) for layer, numbers in counts.items()} != {stage: set(COUNTERS) for stage in counted}:
            return f"{place} of layers {sorted(counts)}; accepted: {', '.join(COUNTERS)} of {counted}"
    now = layer_counters(config, state)
    for name, count in _counts("epoch_start_counters", header.epoch_start_counters):
        _, layer, counter = name.rsplit(".", 2)
        if count > now[layer][counter]:
            return f"{name} = {count}; accepted: at most {now[layer][counter]}, the state's"
    for number, record in enumerate(header.records):
        if set(record.weights) != set(names):
            return f"records[{number}].weights of layers {sorted(record.weights)}; accepted: {names}"
        for layer, histogram in record.weights.items():
            if not _is_histogram(histogram):
                return f"records[{number}].weights.{layer}: no histogram; accepted: {HISTOGRAM_BINS} counts in a range"
    return None


def _is_histogram(histogram: Histogram) -> bool:
    return (
        len(histogram.counts) == HISTOGRAM_BINS
        and min(histogram.counts) >= 0
        and -math.inf < histogram.low < histogram.high < math.inf
    )
