"""`tracing`: the trace of an image from the golden models, which know nothing of it.

For one image, methods at the seams of layers, tile and crossbar are wrapped: what passes through them is recorded, and
they compute what they always do. The models stay equations; a subclass of a model is traced like the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from emulator.array.crossbar import PulseTrains, pack
from emulator.fixed import Flags, Integers
from emulator.network.layers import ForwardCycle, StageModel
from emulator.network.tile import Errors, Tile
from emulator.periphery.noise_management import InputScaling
from emulator.periphery.update_management import PulseGain
from emulator.trace import GENERATORS, Trace


@contextmanager
def traced(stages: list[StageModel], trace: Trace) -> Iterator[None]:
    """Within the context, what one training image does in ``stages`` is recorded in ``trace``."""
    with ExitStack() as stack:
        for stage in stages:
            StageTracer(stage, trace).attach(stack)
        yield


@contextmanager
def _wrapped(target: object, name: str, wrapper: Callable[..., Any]) -> Iterator[None]:
    """Within the context, ``target.name(...)`` is ``wrapper(method, ...)``."""
    own = vars(target).get(name)
    method = getattr(target, name)
    setattr(target, name, lambda *arguments, **named: wrapper(method, *arguments, **named))
    try:
        yield
    finally:
        delattr(target, name)
        if own is not None:
            setattr(target, name, own)


class StageTracer:
    """Wrappers of one stage's methods. Each calls the method and records arguments and results."""

    def __init__(self, stage: StageModel, trace: Trace) -> None:
        self.stage = stage
        self.tile = stage.tile
        self.name = stage.stage.name
        self.trace = trace
        self.start = 0  # position of the first vector that is driven
        self.attempts = np.zeros(0, dtype=np.int64)  # of it and those after it
        self.delta: Integers | None = None  # of the update under way

    def attach(self, stack: ExitStack) -> None:
        """Wrap the methods until ``stack`` is closed."""
        self._wrap(stack, self.stage, "activate", "share_exponent", "forward", "errors")
        for name in ("forward", "backward", "update"):
            stack.enter_context(_wrapped(self.tile, name, getattr(self, f"around_tile_{name}")))
        if isinstance(self.tile, Tile):  # what stands in its place has the three cycles and a state, and no more
            self._wrap(stack, self.tile, "read_until_bounded", "drive", "probabilities")
            self._wrap(stack, self.tile.crossbar, "read_forward", "read_backward", "pulse")

    def _wrap(self, stack: ExitStack, target: object, *names: str) -> None:
        for name in names:
            stack.enter_context(_wrapped(target, name, getattr(self, f"around_{name}")))

    # --- layers -------------------------------------------------------------------------------------------------

    def around_forward(self, method: Callable[[Integers], ForwardCycle], volume: Integers) -> ForwardCycle:
        cycle = method(volume)
        if cycle.where is not None:
            self._by_pixel("forward", "pooled", cycle.output)
            self._by_pixel("forward", "argmax", cycle.where)
        if self.stage.stage.layer.activation == "softmax":
            self.trace.record(self.name, "forward", "logits", cycle.y[0])
        return cycle

    def around_activate(self, method: Callable[[Integers], Integers], y: Integers) -> Integers:
        values = method(y)
        self._by_pixel("forward", "activation", values)
        return values

    def around_errors(
        self,
        method: Callable[[ForwardCycle, Integers, int], Errors],
        cycle: ForwardCycle,
        sums: Integers,
        fraction: int,
    ) -> Errors:
        self.trace.record(self.name, "error", "fraction", fraction)
        self._by_pixel("error", "softmax" if self.stage.stage.layer.activation == "softmax" else "sums", sums)
        errors = method(cycle, sums, fraction)
        self.trace.record_positions(self.name, "error", "delta", errors.mantissas)
        return errors

    def around_share_exponent(
        self, method: Callable[[Integers, int], tuple[Integers, int]], sums: Integers, fraction: int
    ) -> tuple[Integers, int]:
        mantissas, exponent = method(sums, fraction)
        self.trace.record(self.name, "error", "exponent", exponent)
        self._by_pixel("error", "mantissa", mantissas)
        return mantissas, exponent

    # --- reads --------------------------------------------------------------------------------------------------

    def around_tile_forward(self, method: Callable[[Integers], Integers], x: Integers) -> Integers:
        self.trace.record_positions(self.name, "forward", "x", x)
        y = method(x)
        self.trace.record_positions(self.name, "forward", "y", y)
        self._generators("forward")
        return y

    def around_tile_backward(
        self, method: Callable[[Errors], tuple[Integers, int]], errors: Errors
    ) -> tuple[Integers, int]:
        self.trace.record_positions(self.name, "backward", "delta", errors.mantissas)
        sums, fraction = method(errors)
        self.trace.record_positions(self.name, "backward", "z", sums)
        self._generators("backward")
        return sums, fraction

    def around_read_until_bounded(
        self,
        method: Callable[..., Integers],
        vectors: Integers,
        scaling: InputScaling,
        *further: Any,
        direction: str,
    ) -> Integers:
        for item in ("multiplier", "shift", "scale"):
            self.trace.record_positions(self.name, direction, item, getattr(scaling, item))
        return method(vectors, scaling, *further, direction=direction)

    def around_drive(
        self,
        method: Callable[..., Integers],
        vectors: Integers,
        scaling: InputScaling,
        start: int,
        halvings: Integers,
        replicated: bool,
    ) -> Integers:
        self.start, self.attempts = start, halvings  # every repeat halves once
        return method(vectors, scaling, start, halvings, replicated)

    def around_read_forward(self, method: Callable[..., Any], codes: Integers) -> tuple[Integers, Flags]:
        return self._read("forward", method, codes)

    def around_read_backward(self, method: Callable[..., Any], codes: Integers) -> tuple[Integers, Flags]:
        return self._read("backward", method, codes)

    def _read(
        self, operation: str, method: Callable[[Integers], tuple[Integers, Flags]], codes: Integers
    ) -> tuple[Integers, Flags]:
        """Only vectors that were read are recorded: the reads end at one that saturates."""
        converted, saturated = method(codes)
        for read in range(len(converted)):
            place = {"position": self.start + read, "attempt": int(self.attempts[read])}
            self.trace.record(self.name, operation, "dac", codes[read], **place)
            self.trace.record(self.name, operation, "adc", converted[read], **place)
            self.trace.record(self.name, operation, "saturated", saturated[read], **place)
        return converted, saturated

    # --- updates ------------------------------------------------------------------------------------------------

    def around_tile_update(self, method: Callable[[Integers, Errors], None], x: Integers, errors: Errors) -> None:
        self.delta = errors.mantissas
        self.trace.record_positions(self.name, "update", "x", x)
        self.trace.record_positions(self.name, "update", "delta", errors.mantissas)
        method(x, errors)
        self.trace.record(self.name, "update", "weights", self.tile.state()[f"{self.name}.weights"].ravel())
        self._generators("update")

    def around_probabilities(
        self, method: Callable[[Integers, PulseGain], Integers], vectors: Integers, gain: PulseGain
    ) -> Integers:
        side = "row" if vectors is self.delta else "column"
        words = method(vectors, gain)
        self.trace.record_positions(self.name, "update", f"{side}_multiplier", gain.multiplier)
        self.trace.record_positions(self.name, "update", f"{side}_shift", gain.shift)
        self.trace.record_positions(self.name, "update", f"{side}_probability", words)
        return words

    def around_pulse(
        self, method: Callable[[PulseTrains, PulseTrains], int], rows: PulseTrains, columns: PulseTrains
    ) -> int:
        """One cycle a call, to see the weights after each."""
        for side, trains in (("row", rows), ("column", columns)):
            self.trace.record_positions(self.name, "update", f"{side}_pulses", pack(trains.pulses))
            self.trace.record_positions(self.name, "update", f"{side}_negative", trains.negative)
        total = 0
        for cycle in range(len(rows.pulses)):
            row, column = (
                PulseTrains(side.pulses[cycle : cycle + 1], side.negative[cycle : cycle + 1])
                for side in (rows, columns)
            )
            total += method(row, column)
            met = np.bitwise_count(pack(row.pulses).T & pack(column.pulses)).ravel()
            device = np.flatnonzero(met)
            self.trace.record(self.name, "update", "device", device, cycle)
            self.trace.record(self.name, "update", "coincidences", met[device], cycle)
            self.trace.record(self.name, "update", "weight", self.tile.crossbar.weights.ravel()[device], cycle)
        return total

    # --- common -------------------------------------------------------------------------------------------------

    def _by_pixel(self, operation: str, item: str, volume: Integers) -> None:
        self.trace.record_positions(self.name, operation, item, volume.reshape(-1, volume.shape[-1]))

    def _generators(self, operation: str) -> None:
        state = self.tile.state()
        for item in GENERATORS:
            self.trace.record(self.name, operation, item, state[f"{self.name}.{item}"])
