"""`AnalogArray`: the emulated crossbar behind the tile's port, as a chip's array would stand there.

The port's streams, seen from the tile:

- ``drive`` (out): ``elements`` signed DAC codes, ``mask``, ``last``, ``side`` (COLUMNS driven: forward, ROWS: backward);
- ``sense`` (in): ``elements`` signed ADC codes, ``saturated`` a bit per lane, ``mask``, ``last``; forward the physical rows,
  backward the physical columns, in segments that each begin a new beat;
- ``pulse`` (out): ``elements`` pulse trains (slot s in bit s), ``negative`` a bit per lane, ``mask``, ``last``, ``side``: all
  beats of the columns, then all beats of the rows, after which the update cycle happens.

One drive vector is one read and gives one sense vector. The class knows no simulator: beats go in and come out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from emulator.array.crossbar import Crossbar, PulseTrains
from emulator.fixed import Flags, Integers
from sim.payload import Values

COLUMNS, ROWS = 0, 1
SIDES = {COLUMNS: "columns", ROWS: "rows"}
#: Streams of the tile's port.
PORTS = ("drive", "sense", "pulse")


class Source(Protocol):
    async def receive(self) -> Values: ...


class Sink(Protocol):
    async def send(self, values: Values) -> None: ...


class AnalogArray:
    """``crossbar`` behind a port of ``lanes`` lanes. ``backward_segments``: how sensed columns lie in beats (default: a
    segment for every replica). Lanes without an element hold random words, drawn from ``seed``."""

    def __init__(
        self, crossbar: Crossbar, lanes: int, *, backward_segments: Sequence[int] | None = None, seed: int = 1
    ) -> None:
        self.crossbar, self.lanes = crossbar, lanes
        stage = crossbar.stage
        copies = stage.array.replication
        row_copies, column_copies = (copies, 1) if stage.replicate_rows else (1, copies)
        self.lines = {COLUMNS: stage.physical_columns, ROWS: stage.physical_rows}
        #: How the lines of a sensed side lie in beats.
        self.segments = {
            ROWS: (stage.rows,) * row_copies,
            COLUMNS: (stage.columns,) * column_copies if backward_segments is None else tuple(backward_segments),
        }
        for side, lengths in self.segments.items():
            if sum(lengths) != self.lines[side]:
                raise ValueError(f"segments {lengths} of {SIDES[side]}: accepted: lengths with sum {self.lines[side]}")
        self.reads = {COLUMNS: 0, ROWS: 0}
        self.update_cycles = 0
        #: Of all update cycles, as the model's counters have them.
        self.pulses = {COLUMNS: 0, ROWS: 0}
        self.coincidences = 0
        self._fill = random.Random(seed)
        self._driven: list[Values] = []
        self._pulsed: dict[int, list[Values]] = {COLUMNS: [], ROWS: []}

    # --- vectors ------------------------------------------------------------------------------------------------

    def drive(self, side: int, codes: Sequence[int]) -> tuple[Integers, Flags]:
        """Drive one side, sense the other: ADC codes and saturation flags of its lines."""
        vector = np.array([self._checked("drive", side, codes)], dtype=np.int64)
        read = self.crossbar.read_forward if side == COLUMNS else self.crossbar.read_backward
        sensed, saturated = read(vector)
        self.reads[side] += 1
        return sensed[0], saturated[0]

    def pulse(
        self,
        columns: Sequence[int],
        columns_negative: Sequence[int],
        rows: Sequence[int],
        rows_negative: Sequence[int],
    ) -> int:
        """One update cycle from the trains (slot s in bit s) and signs of all lines; the number of coincidences."""
        row_trains = self._trains(self._checked("pulse", ROWS, rows), rows_negative)
        column_trains = self._trains(self._checked("pulse", COLUMNS, columns), columns_negative)
        coincidences = self.crossbar.pulse(row_trains, column_trains)
        self.update_cycles += 1
        self.pulses[ROWS] += int(row_trains.pulses.sum())
        self.pulses[COLUMNS] += int(column_trains.pulses.sum())
        self.coincidences += coincidences
        return coincidences

    def _checked(self, port: str, side: int, elements: Sequence[int]) -> Sequence[int]:
        if len(elements) != self.lines[side]:
            raise ValueError(f"{port}: {len(elements)} {SIDES[side]}: accepted: {self.lines[side]}")
        return elements

    def _trains(self, words: Sequence[int], negative: Sequence[int]) -> PulseTrains:
        slots = np.arange(self.crossbar.stage.array.update.desired_bl)
        pulses = (np.array(words, dtype=np.int64) >> slots[:, None] & 1).astype(bool)
        return PulseTrains(pulses[None], np.array([negative], dtype=bool))

    # --- beats --------------------------------------------------------------------------------------------------

    def drive_beat(self, beat: Values) -> list[Values]:
        """Take a beat of ``drive``. Gives the beats of ``sense`` if it is the last one of its vector, else none."""
        self._driven.append(beat)
        if not beat["last"]:
            return []
        taken, self._driven = self._driven, []
        side = _side_of("drive", taken)
        return self._sense_beats(ROWS if side == COLUMNS else COLUMNS, *self.drive(side, enabled_elements(taken)))

    def pulse_beat(self, beat: Values) -> int | None:
        """Take a beat of ``pulse``. Gives the number of coincidences if it completes an update cycle, else None."""
        side = int(beat["side"])
        if side == ROWS and not (self._pulsed[COLUMNS] and self._pulsed[COLUMNS][-1]["last"]):
            raise ValueError("pulse: rows before the last beat of the columns")
        if side == COLUMNS and self._pulsed[COLUMNS] and self._pulsed[COLUMNS][-1]["last"]:
            raise ValueError("pulse: columns before the last beat of the rows")
        self._pulsed[side].append(beat)
        if side == COLUMNS or not beat["last"]:
            return None
        columns, rows = self._pulsed[COLUMNS], self._pulsed[ROWS]
        self._pulsed = {COLUMNS: [], ROWS: []}
        return self.pulse(
            enabled_elements(columns), _bits(columns, "negative"), enabled_elements(rows), _bits(rows, "negative")
        )

    def _sense_beats(self, side: int, codes: Integers, saturated: Flags) -> list[Values]:
        read = self.crossbar.stage.forward if side == ROWS else self.crossbar.stage.backward
        beats: list[Values] = []
        start = 0
        for length in self.segments[side]:
            for first in range(start, start + length, self.lanes):
                count = min(self.lanes, start + length - first)
                part = slice(first, first + count)
                idle = self.lanes - count
                elements = [*map(int, codes[part]), *(self._fill.randint(-read.limit, read.limit) for _ in range(idle))]
                flags = [*map(int, saturated[part]), *(self._fill.getrandbits(1) for _ in range(idle))]
                word = sum(flag << lane for lane, flag in enumerate(flags))
                beats.append({"elements": elements, "saturated": word, "mask": (1 << count) - 1, "last": 0})
            start += length
        beats[-1] = {**beats[-1], "last": 1}
        return beats


async def serve_reads(array: AnalogArray, drive: Source, sense: Sink) -> None:
    """Answer the drive vectors of a simulated tile, for ever. ``drive`` and ``sense``: e.g. those of sim/streams.py."""
    while True:
        for beat in array.drive_beat(await drive.receive()):
            await sense.send(beat)


async def serve_pulses(array: AnalogArray, pulse: Source) -> None:
    """Apply the update cycles of a simulated tile, for ever."""
    while True:
        array.pulse_beat(await pulse.receive())


def _side_of(port: str, beats: Sequence[Values]) -> int:
    sides = {int(beat["side"]) for beat in beats}
    if len(sides) != 1:
        raise ValueError(f"{port}: sides {sorted(sides)} in one vector: accepted: the same on all beats")
    return sides.pop()


def enabled_elements(beats: Sequence[Values]) -> list[int]:
    """The enabled lanes of all beats, in order."""
    return [word for beat in beats for lane, word in enumerate(beat["elements"]) if beat["mask"] >> lane & 1]


def _bits(beats: Sequence[Values], field: str) -> list[int]:
    return [
        beat[field] >> lane & 1 for beat in beats for lane in range(len(beat["elements"])) if beat["mask"] >> lane & 1
    ]
