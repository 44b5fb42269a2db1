"""`crossbar`: memories are loaded with the initial state of golden arrays, reads and updates follow, array by array, and
weights and noise generators are read back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from emulator.array.crossbar import Crossbar, PulseTrains
from emulator.config import Stage, load
from emulator.fixed import WORD_BITS, Flags, Integers
from emulator.streams import Purpose, keys
from hdl.array.crossbar_access import Space, device_accesses
from hdl.array.crossbar_parameters import (
    DRAWS,
    CrossbarParameters,
    CrossbarSettings,
    column_segments,
    lay_out,
    row_segments,
)
from hdl.shapes import Segments
from sim.payload import Values
from sim.transactions.base import Transactions, beats, draw

COLUMNS, ROWS = 0, 1


@dataclass(frozen=True)
class Read:
    """A read of array ``array``: DAC codes of its physical columns (forward) or rows (backward)."""

    array: int
    side: int
    codes: Sequence[int]


@dataclass(frozen=True)
class Update:
    """An update cycle: trains (slot s in bit s) and signs of physical columns and rows."""

    array: int
    columns: Sequence[int]
    columns_negative: Sequence[int]
    rows: Sequence[int]
    rows_negative: Sequence[int]


Command = Read | Update


@dataclass(frozen=True)
class Session:
    """A crossbar's parameters, what passes on its streams, and the golden arrays as the commands left them."""

    parameters: CrossbarParameters
    transactions: Transactions
    arrays: list[Crossbar]


def session(
    stages: Sequence[Stage],
    seed: int,
    lanes: int,
    devices: int,
    commands: Sequence[Command],
    parameters: CrossbarParameters | None = None,
) -> Session:
    """What passes on all streams of a crossbar for the arrays of ``stages`` when its memories are loaded, the commands are
    carried out, and weights and noise generators are read back. Settings come when the array changes."""
    parameters = parameters or CrossbarParameters.of_stages(stages, lanes, devices)
    layout = lay_out(stages, lanes, devices)
    arrays = [Crossbar(stage, seed) for stage in stages]
    places = [_Places(stage, settings, parameters) for stage, settings in zip(stages, layout, strict=True)]
    fill = np.random.default_rng(seed)
    nothing: list[Values] = []
    loads = [word for array, place in zip(arrays, places, strict=True) for word in place.loads(array, seed, fill)]
    first = Transactions(
        {**dict.fromkeys(("settings", "drive", "pulse"), nothing), "access": loads},
        dict.fromkeys(("sense", "report", "answer"), nothing),
    )
    phases = list(_phases(arrays, places, commands))
    pairs = [pair for array, place in zip(arrays, places, strict=True) for pair in place.contents(array)]
    back = Transactions(
        {"access": [_access(*where, None) for where, _ in pairs]},
        {"answer": [{"data": word} for _, word in pairs]},
    )
    return Session(parameters, Transactions(first.inputs, first.outputs, then=(*phases, back)), arrays)


def _phases(arrays: list[Crossbar], places: list[_Places], commands: Sequence[Command]) -> Iterator[Transactions]:
    """Of commands of one array and kind that follow each other, a phase; before it, settings if the array changes."""
    current = None
    position = 0
    while position < len(commands):
        kind, array = type(commands[position]), commands[position].array
        end = position
        while end < len(commands) and type(commands[end]) is kind and commands[end].array == array:
            end += 1
        if array != current:
            yield Transactions({"settings": [_settings(places[array])]}, {})
            current = array
        yield places[array].carried_out(arrays[array], commands[position:end])
        position = end


def _settings(place: _Places) -> Values:
    """As many gains as the payload has."""
    word = place.settings.word()
    gains = list(place.settings.cycle_gain)
    return {**word, "cycle_gain": gains + [0] * (place.parameters.desired_bl + 1 - len(gains))}


def _access(space: Space, address: int, lane: int, word: int | None) -> Values:
    """Write, or with None read."""
    return {"space": space.value, "address": address, "lane": lane, "write": int(word is not None), "data": word or 0}


class _Places:
    """Where an array's lines and devices lie."""

    def __init__(self, stage: Stage, settings: CrossbarSettings, parameters: CrossbarParameters) -> None:
        self.stage, self.settings, self.parameters = stage, settings, parameters
        lanes = parameters.lanes
        self.segments = {COLUMNS: column_segments(stage, lanes), ROWS: row_segments(stage, lanes)}
        self.base = {COLUMNS: settings.column_base, ROWS: settings.row_base}

    def weight(self, row: tuple[int, int], column: tuple[int, int]) -> tuple[int, int]:
        """Address and lane of a device, from beat and lane of its row and column."""
        lanes, devices = self.parameters.lanes, self.parameters.devices
        block, device = divmod(row[0] * lanes + row[1], devices)
        first = self.settings.weight_base + block * self.settings.column_beats * lanes
        return first + column[0] * lanes + column[1], device

    def loads(self, array: Crossbar, seed: int, fill: np.random.Generator) -> Iterator[Values]:
        """Everything that an array is: masks, generators, device words, weights. Lanes without a row get any weight."""
        for side, mask, device, purpose in (
            (ROWS, Space.ROW_MASK, Space.ROW_DEVICE, Purpose.DEVICE_ROW),
            (COLUMNS, Space.COLUMN_MASK, Space.COLUMN_DEVICE, Purpose.DEVICE_COLUMN),
        ):
            segments, base = self.segments[side], self.base[side]
            for number, enabled in enumerate(_masks(segments)):
                yield _access(mask, base + number, 0, enabled)
            draws = [
                (
                    keys(seed, purpose, self.stage.index, n, count=segments.elements) >> np.uint64(64 - WORD_BITS)
                ).tolist()
                for n in range(DRAWS)
            ]
            for (number, lane), *words in zip(segments.places(), *draws, strict=True):
                for address, word in device_accesses(self.parameters, base + number, words):
                    yield _access(device, address, lane, word)
        settings, limit = self.settings, self.parameters.weight_limit
        lanes, devices = self.parameters.lanes, self.parameters.devices
        used = {number * lanes + lane for number, lane in self.segments[ROWS].places()}
        for row in sorted(set(range(settings.row_blocks * devices)) - used):
            for column in self.segments[COLUMNS].places():
                word = int(fill.integers(-limit, limit, endpoint=True)) & (1 << self.parameters.weight_bits) - 1
                yield _access(Space.WEIGHT, *self.weight(divmod(row, lanes), column), word)
        for (space, address, lane), word in self.contents(array):
            yield _access(space, address, lane, word)

    def contents(self, array: Crossbar) -> Iterator[tuple[tuple[Space, int, int], int]]:
        """Places and words of what changes: weights and generators."""
        bits = self.parameters.weight_bits
        for i, row in enumerate(self.segments[ROWS].places()):
            for j, column in enumerate(self.segments[COLUMNS].places()):
                yield (Space.WEIGHT, *self.weight(row, column)), int(array.weights[i, j]) & (1 << bits) - 1
        for side, space, states in (
            (ROWS, Space.ROW_NOISE, array.row_noise),
            (COLUMNS, Space.COLUMN_NOISE, array.column_noise),
        ):
            for (number, lane), state in zip(self.segments[side].places(), states.tolist(), strict=True):
                yield (space, self.base[side] + number, lane), state

    def carried_out(self, array: Crossbar, commands: Sequence[Command]) -> Transactions:
        """Commands of one kind, done by the golden array."""
        drive: list[Values] = []
        sense: list[Values] = []
        pulse: list[Values] = []
        report: list[Values] = []
        for command in commands:
            if isinstance(command, Read):
                sensed = ROWS if command.side == COLUMNS else COLUMNS
                read = array.read_forward if command.side == COLUMNS else array.read_backward
                codes, saturated = read(np.array([command.codes], dtype=np.int64))
                drive += self._beats(command.side, command.codes)
                flags = _bit_beats(saturated[0].tolist(), self.segments[sensed])
                words = beats(codes[0], self.parameters.lanes, segments=self.segments[sensed].lengths)
                sense += [{**word, "saturated": bits} for word, bits in zip(words, flags, strict=True)]
            else:
                for side, trains, negative in (
                    (COLUMNS, command.columns, command.columns_negative),
                    (ROWS, command.rows, command.rows_negative),
                ):
                    flags = _bit_beats(negative, self.segments[side])
                    words = self._beats(side, trains)
                    pulse += [{**word, "negative": bits} for word, bits in zip(words, flags, strict=True)]
                rows = self._trains(command.rows, command.rows_negative)
                columns = self._trains(command.columns, command.columns_negative)
                report.append({"coincidences": array.pulse(rows, columns)})
        return Transactions({"drive": drive, "pulse": pulse}, {"sense": sense, "report": report})

    def _beats(self, side: int, words: Sequence[int]) -> list[Values]:
        """Lanes without a line hold anything."""
        fill = np.random.default_rng(len(words))
        return beats(
            words, self.parameters.lanes, segments=self.segments[side].lengths, fill=fill, fill_bits=1, side=side
        )

    def _trains(self, words: Sequence[int], negative: Sequence[int]) -> PulseTrains:
        slots = np.arange(self.stage.array.update.desired_bl)
        pulses: Flags = (np.array(words, dtype=np.int64) >> slots[:, None] & 1).astype(bool)
        return PulseTrains(pulses[None], np.array([negative], dtype=bool))


def _masks(segments: Segments) -> list[int]:
    return _bit_beats([1] * segments.elements, segments)


def _bit_beats(bits: Sequence[int], segments: Segments) -> list[int]:
    """One bit per element as a word per beat."""
    words = [0] * segments.beats
    for bit, (number, lane) in zip(bits, segments.places(), strict=True):
        words[number] |= int(bit) << lane
    return words


def random_commands(stages: Sequence[Stage], generator: np.random.Generator, count: int) -> list[Command]:
    """Commands of all kinds for all arrays; codes from zeros to full scale, trains from silent to full."""
    commands: list[Command] = []
    for _ in range(count):
        array = int(generator.integers(0, len(stages)))
        stage = stages[array]
        lines = {COLUMNS: stage.physical_columns, ROWS: stage.physical_rows}
        if generator.random() < 0.5:
            side = int(generator.integers(0, 2))
            largest = 1 << stage.dac_fraction
            commands.append(Read(array, side, draw(generator, lines[side], -largest, largest)))
        else:
            trains = {side: _random_trains(stage, generator, number) for side, number in lines.items()}
            signs = {side: generator.integers(0, 2, number).tolist() for side, number in lines.items()}
            commands.append(Update(array, trains[COLUMNS], signs[COLUMNS], trains[ROWS], signs[ROWS]))
    return commands


def _random_trains(stage: Stage, generator: np.random.Generator, lines: int) -> list[int]:
    density = float(generator.choice([0.0, 0.1, 0.5, 0.9, 1.0]))
    slots = stage.array.update.desired_bl
    fires: Integers = (generator.random((lines, slots)) < density).astype(np.int64)
    return (fires @ (1 << np.arange(slots, dtype=np.int64))).tolist()


def crossbar_transactions(parameters: CrossbarParameters, generator: np.random.Generator, vectors: int) -> Transactions:
    """For the arrays of preset ``tiny`` behind each other, which the parameters' defaults are."""
    config = load("tiny")
    if parameters != CrossbarParameters.of_stages(config.stages, parameters.lanes, parameters.devices):
        raise ValueError(f"{parameters}: accepted: those of the arrays of preset tiny, any lanes and devices")
    commands = random_commands(config.stages, generator, vectors)
    return session(config.stages, config.seed, parameters.lanes, parameters.devices, commands).transactions
