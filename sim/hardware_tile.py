"""`HardwareTile`: what a network asks of a tile, as words on the streams of one that is not the model.

It stands in the place of emulator/network/tile.py: layers call `forward`, `backward` and `update`, and what they get is
what the other side of the streams has answered. Here nothing is computed that belongs to the digital periphery. The class
knows no simulator: words go out and come in through an `Exchange`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from emulator.config import Stage
from emulator.fixed import Integers
from emulator.machine import Ranges, State
from emulator.network.tile import Errors, Tile
from emulator.periphery.lfsr import Words
from hdl.network.tile import Operation
from hdl.network.tile_parameters import TileParameters
from sim.analog_array import COLUMNS, ROWS, AnalogArray, enabled_elements
from sim.payload import Values
from sim.transactions.tile import ArrayOnTile, Command, accesses, command_words

#: Modes of noise management whose scale is that of the maximum, so that it has the fraction bits of the vector.
SCALED_BY_MAXIMUM = ("power_of_two", "exact")


class Exchange(Protocol):
    def __call__(
        self, inputs: Mapping[str, Sequence[Values]], vectors: Mapping[str, int]
    ) -> dict[str, list[list[Values]]]:
        """Send all words of the streams ``inputs``, take so many vectors from each of the streams ``vectors``, and give
        their beats. A word without the field ``last`` is a vector of its own. Returns when all has passed."""


class HardwareTile:
    """A tile of ``parameters`` behind ``exchange``, with ``array`` behind its port, in the place of the tile ``golden``.

    ``golden`` is taken over: its crossbar is the array's, its generators and counters are overwritten with what was read
    back and counted, and its cycles are never called. The generators of the hardware hold anything before `load`.
    Raises ValueError naming the stream for a vector of a wrong length.
    """

    def __init__(self, golden: Tile, parameters: TileParameters, array: AnalogArray, exchange: Exchange) -> None:
        self.stage = golden.stage
        self.array = array
        self._told = ArrayOnTile.of(self.stage, parameters)
        self._record, self._exchange = golden, exchange
        self._fill = np.random.default_rng(self.stage.index)

    # --- the three cycles ---------------------------------------------------------------------------------------

    def forward(self, x: Integers) -> Integers:
        """See Tile."""
        return self._read([Command(Operation.FORWARD, x=vector.tolist()) for vector in x], "y", self.stage.rows)

    def backward(self, errors: Errors) -> tuple[Integers, int]:
        """See Tile."""
        commands = [
            Command(Operation.BACKWARD, delta=vector.tolist(), exponent=errors.exponent) for vector in errors.mantissas
        ]
        return self._read(commands, "z", self.stage.columns), _sum_fraction(self.stage, errors.exponent)

    def update(self, x: Integers, errors: Errors) -> None:
        """See Tile."""
        self._carry_out(
            [
                Command(Operation.UPDATE, x=vector.tolist(), delta=delta.tolist(), exponent=errors.exponent)
                for vector, delta in zip(x, errors.mantissas, strict=True)
            ]
        )

    def _read(self, commands: Sequence[Command], port: str, length: int) -> Integers:
        vectors = [enabled_elements(beats) for beats in self._carry_out(commands, port)]
        for vector in vectors:
            if len(vector) != length:
                raise ValueError(f"{self.stage.name} {port}: {len(vector)} elements: accepted: {length}")
        return np.array(vectors, dtype=np.int64)

    def _carry_out(self, commands: Sequence[Command], *ports: str) -> list[list[Values]]:
        """Send commands one behind the other, count what happens, and give the vectors of the stream in ``ports``."""
        inputs: dict[str, list[Values]] = {}
        for command in commands:
            for port, words in command_words(self._told, command, self._fill).items():
                inputs.setdefault(port, []).extend(words)
        before = self._seen()
        answers = self._exchange(inputs, dict.fromkeys((*ports, "report"), len(commands)))
        counters = self._record.counters
        for name, count in self._seen().items():
            counters[name] += count - before[name]
        operation = commands[0].operation.name.lower()
        for (report,) in answers["report"]:
            for what in ("repeats", "saturations"):
                if commands[0].operation is not Operation.UPDATE:
                    counters[f"{operation}_{what}"] += report[what]
                elif report[what]:
                    raise ValueError(f"{self.stage.name} report: {what} = {report[what]} of an update: accepted: 0")
        return [vector for port in ports for vector in answers[port]]

    def _seen(self) -> dict[str, int]:
        """What is counted behind the port."""
        array = self.array
        return {
            "forward_reads": array.reads[COLUMNS],
            "backward_reads": array.reads[ROWS],
            "update_cycles": array.update_cycles,
            "row_pulses": array.pulses[ROWS],
            "column_pulses": array.pulses[COLUMNS],
            "coincidences": array.coincidences,
        }

    # --- state --------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """See Tile. The pulse generators' states are read back from the hardware."""
        record = self._record
        columns, rows = (np.zeros_like(states) for states in (record.column_pulse, record.row_pulse))
        requests = accesses(self._told, columns, rows, write=False)
        answers = self._exchange({"access": requests}, {"answer": len(requests)})["answer"]
        states: Words = np.array([word["state"] for (word,) in answers], dtype=np.uint64)
        record.column_pulse, record.row_pulse = states[: len(columns)], states[len(columns) :]
        return record.state()

    def ranges(self) -> Ranges:
        """See Tile."""
        return self._record.ranges()

    def load(self, state: State) -> None:
        """See Tile. The settings are sent, and the pulse generators' states written to the hardware."""
        record = self._record
        record.load(state)
        requests = accesses(self._told, record.column_pulse, record.row_pulse, write=True)
        self._exchange({"settings": [self._told.settings.word()], "access": requests}, {})


def _sum_fraction(stage: Stage, exponent: int) -> int:
    """Fraction bits of ``z`` (docs/arithmetic.md, 9), which a tile does not give out: they do not depend on data."""
    read = stage.backward
    scale = exponent if read.noise_management in SCALED_BY_MAXIMUM else read.constant_exponent
    return stage.adc_fraction + stage.average_guard_bits + scale
