"""`tile`: settings and commands to a tile with golden crossbars behind its port, and all that passes on all streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from emulator.array.crossbar import PulseTrains
from emulator.config import Stage, load
from emulator.fixed import LARGEST_EXPONENT, Flags, Integers
from emulator.network.network import GoldenMachine
from emulator.network.tile import Errors, Tile
from emulator.periphery.lfsr import Words
from emulator.periphery.replicate import replicate
from emulator.periphery.update_management import PulseGain, probability_words
from hdl.network.array_lines import ArrayLines
from hdl.network.tile import Operation
from hdl.network.tile_parameters import TileParameters
from hdl.network.tile_settings import TileSettings
from hdl.shapes import Segments
from sim.payload import Values
from sim.transactions.base import Transactions, beats, draw

COLUMNS, ROWS = 0, 1


@dataclass(frozen=True)
class Command:
    """One position: ``x`` of a forward read, ``delta`` of a backward read, both of an update."""

    operation: Operation
    x: Sequence[int] = ()
    delta: Sequence[int] = ()
    exponent: int = 0


@dataclass
class _Port:
    """A golden crossbar's calls, as the words of the tile's three streams to the array."""

    lines: ArrayLines
    probability_bits: int
    fill: np.random.Generator
    drive: list[Values] = field(default_factory=list)
    sense: list[Values] = field(default_factory=list)
    pulse: list[Values] = field(default_factory=list)

    def listen(self, tile: Tile) -> None:
        """From now on every read and every update cycle of the tile's crossbar is noted."""
        crossbar = tile.crossbar
        forward, backward, pulse = crossbar.read_forward, crossbar.read_backward, crossbar.pulse

        def read_forward(codes: Integers) -> tuple[Integers, Flags]:
            return self._noted(codes, COLUMNS, *forward(codes))

        def read_backward(codes: Integers) -> tuple[Integers, Flags]:
            return self._noted(codes, ROWS, *backward(codes))

        def noted_pulse(rows: PulseTrains, columns: PulseTrains) -> int:
            for side, trains in ((COLUMNS, columns), (ROWS, rows)):
                self._note_trains(side, trains)
            return pulse(rows, columns)

        vars(crossbar).update(read_forward=read_forward, read_backward=read_backward, pulse=noted_pulse)
        pulses, bits = tile._pulses, self.probability_bits

        def noted_pulses(vectors: Integers, gain: PulseGain, copies: int, states: Words) -> tuple[PulseTrains, Words]:
            trains, states = pulses(vectors, gain, copies, states)
            # The sign of a line that cannot fire means nothing, and hardware gives none.
            can_fire = replicate(probability_words(vectors, gain, bits) > 0, copies)
            return PulseTrains(trains.pulses, trains.negative & can_fire), states

        vars(tile).update(_pulses=noted_pulses)

    def _segments(self, side: int) -> Segments:
        return self.lines.physical_columns if side == COLUMNS else self.lines.physical_rows

    def _noted(self, codes: Integers, side: int, sensed: Integers, saturated: Flags) -> tuple[Integers, Flags]:
        driven_segments = self._segments(side)
        answer_segments = self._segments(ROWS if side == COLUMNS else COLUMNS)
        lanes = driven_segments.lanes
        for driven, answer, flags in zip(codes, sensed, saturated, strict=False):
            self.drive += beats(driven, lanes, segments=driven_segments.lengths, side=side)
            words = beats(answer, lanes, segments=answer_segments.lengths, fill=self.fill, fill_bits=1)
            for word, mask in zip(words, _bit_beats(flags, answer_segments), strict=True):
                idle = int(self.fill.integers(0, 1 << lanes, dtype=np.uint64)) & ~int(word["mask"])
                self.sense.append({**word, "saturated": mask | idle})
        return sensed, saturated

    def _note_trains(self, side: int, trains: PulseTrains) -> None:
        segments = self._segments(side)
        slots = 1 << np.arange(trains.pulses.shape[1], dtype=np.int64)
        for pulses, negative in zip(trains.pulses, trains.negative, strict=True):
            words = beats(slots @ pulses, segments.lanes, segments=segments.lengths, side=side)
            masks = _bit_beats(negative, segments)
            self.pulse += [{**word, "negative": mask} for word, mask in zip(words, masks, strict=True)]


def _bit_beats(bits: Flags, segments: Segments) -> list[int]:
    """One bit per element as a word per beat."""
    words = [0] * segments.beats
    for bit, (number, lane) in zip(bits.tolist(), segments.places(), strict=True):
        words[number] |= int(bit) << lane
    return words


@dataclass(frozen=True)
class ArrayOnTile:
    """An array, and what a tile has to know of it."""

    stage: Stage
    lines: ArrayLines
    settings: TileSettings

    @classmethod
    def of(cls, stage: Stage, parameters: TileParameters) -> ArrayOnTile:
        """The only array of a tile."""
        return cls(stage, ArrayLines.of(stage, parameters.lanes), TileSettings.of(stage, parameters, 0))


@dataclass(frozen=True)
class Session:
    """A tile's parameters, how the lines of its arrays lie, what passes on all of its streams, and the golden tiles as the
    commands left them."""

    parameters: TileParameters
    lines: tuple[ArrayLines, ...]
    transactions: Transactions
    tiles: tuple[Tile, ...]

    @property
    def tile(self) -> Tile:
        """Of the only array."""
        (tile,) = self.tiles
        return tile


@dataclass(frozen=True)
class Turn:
    """Commands to one array, by its place among the stages. Before the first one its settings are sent."""

    stage: int
    commands: Sequence[Command]


def session(stage: Stage, seed: int, lanes: int, commands: Sequence[Command]) -> Session:
    """What passes on all streams of a tile of ``stage`` when it is loaded with the initial states of its pulse generators,
    carries out the commands, and the states are read back."""
    return network_session([stage], seed, lanes, [Turn(0, commands)])


def network_session(
    stages: Sequence[Stage],
    seed: int,
    lanes: int,
    turns: Sequence[Turn],
    parameters: TileParameters | None = None,
) -> Session:
    """As ``session``, for one tile that serves all ``stages`` in turn; ``parameters``: of more than these need."""
    parameters = parameters or TileParameters.of_stages(stages, lanes)
    arrays = [
        ArrayOnTile(stage, ArrayLines.of(stage, lanes), settings)
        for stage, settings in zip(stages, TileSettings.of_stages(stages, parameters), strict=True)
    ]
    tiles = [Tile(stage, seed) for stage in stages]
    fill = np.random.default_rng(seed)
    ports = [_Port(array.lines, parameters.probability_bits, fill) for array in arrays]
    for tile, port in zip(tiles, ports, strict=True):
        port.listen(tile)

    def all_accesses(write: bool) -> list[Values]:
        pairs = zip(arrays, tiles, strict=True)
        return [word for array, t in pairs for word in accesses(array, t.column_pulse, t.row_pulse, write=write)]

    load_states = all_accesses(write=True)
    phases = []
    for turn in turns:
        inputs: dict[str, list[Values]] = {"command": [], "x": [], "delta": []}
        outputs: dict[str, list[Values]] = {"y": [], "z": [], "report": []}
        array, tile, port = arrays[turn.stage], tiles[turn.stage], ports[turn.stage]
        port.drive, port.sense, port.pulse = [], [], []
        for command in turn.commands:
            _carry_out(array, tile, command, fill, inputs, outputs)
        phases += [
            Transactions({"settings": [array.settings.word()]}, {}),
            Transactions({**inputs, "sense": port.sense}, {**outputs, "drive": port.drive, "pulse": port.pulse}),
        ]
    read_states = all_accesses(write=False)
    nothing: list[Values] = []
    transactions = Transactions(
        {**dict.fromkeys(("settings", "command", "x", "delta", "sense"), nothing), "access": load_states},
        dict.fromkeys(("y", "z", "report", "drive", "pulse", "answer"), nothing),
        then=(
            *phases,
            Transactions(
                {"access": [{**word, "state": 1} for word in read_states]},
                {"answer": [{"state": word["state"]} for word in read_states]},
            ),
        ),
    )
    return Session(parameters, tuple(array.lines for array in arrays), transactions, tuple(tiles))


def command_words(array: ArrayOnTile, command: Command, fill: np.random.Generator) -> dict[str, list[Values]]:
    """What a tile is told by the streams ``command``, ``x`` and ``delta``. Disabled lanes hold random words."""
    columns, lanes = array.lines.columns.lengths, array.lines.columns.lanes
    words: dict[str, list[Values]] = {"command": [{"operation": command.operation.value, "exponent": command.exponent}]}
    if command.operation is not Operation.BACKWARD:
        bits = array.stage.activation_bits - 1
        words["x"] = beats(command.x, lanes, segments=columns, fill=fill, fill_bits=bits)
    if command.operation is not Operation.FORWARD:
        words["delta"] = beats(command.delta, lanes, fill=fill, fill_bits=array.stage.error_bits - 1)
    return words


def _carry_out(
    array: ArrayOnTile,
    tile: Tile,
    command: Command,
    fill: np.random.Generator,
    inputs: dict[str, list[Values]],
    outputs: dict[str, list[Values]],
) -> None:
    columns, lanes = array.lines.columns.lengths, array.lines.columns.lanes
    for port, words in command_words(array, command, fill).items():
        inputs[port] += words
    x, errors = np.array([command.x]), Errors(np.array([command.delta]), command.exponent)
    before = dict(tile.counters)
    if command.operation is Operation.FORWARD:
        outputs["y"] += beats(tile.forward(x)[0], lanes)
    elif command.operation is Operation.BACKWARD:
        outputs["z"] += beats(tile.backward(errors)[0][0], lanes, segments=columns)
    else:
        tile.update(x, errors)
        outputs["report"].append({"repeats": 0, "saturations": 0})
        return
    name = command.operation.name.lower()
    repeats, saturations = (
        tile.counters[f"{name}_{what}"] - before[f"{name}_{what}"] for what in ("repeats", "saturations")
    )
    outputs["report"].append({"repeats": repeats, "saturations": saturations})


def accesses(array: ArrayOnTile, columns: Words, rows: Words, *, write: bool) -> list[Values]:
    """One access for every pulse generator, with its state: those of the columns, then those of the rows."""
    sharing, lines = array.stage.array.update.generator_sharing, array.lines
    words: list[Values] = []
    first = array.settings.pulse_base
    for segments, states in ((lines.physical_columns, columns), (lines.physical_rows, rows)):
        places = list(segments.places())[::sharing]
        for (number, lane), state in zip(places, states.tolist(), strict=True):
            words.append({"beat": first + number, "generator": lane // sharing, "write": int(write), "state": state})
        first += segments.beats
    return words


def training_commands(machine: GoldenMachine, images: Integers, labels: Integers) -> list[list[Command]]:
    """Train the golden network, and note what each of its tiles is told: commands of every array, in order."""
    commands: list[list[Command]] = [[] for _ in machine.stages]
    for stage, noted in zip(machine.stages, commands, strict=True):
        _note(stage.tile, noted)
    machine.train(images, labels)
    return commands


def _note(tile: Tile, noted: list[Command]) -> None:
    forward, backward, update = tile.forward, tile.backward, tile.update

    def noted_forward(x: Integers) -> Integers:
        noted.extend(Command(Operation.FORWARD, x=vector.tolist()) for vector in x)
        return forward(x)

    def noted_backward(errors: Errors) -> tuple[Integers, int]:
        noted.extend(
            Command(Operation.BACKWARD, delta=vector.tolist(), exponent=errors.exponent) for vector in errors.mantissas
        )
        return backward(errors)

    def noted_update(x: Integers, errors: Errors) -> None:
        noted.extend(
            Command(Operation.UPDATE, x=vector.tolist(), delta=delta.tolist(), exponent=errors.exponent)
            for vector, delta in zip(x, errors.mantissas, strict=True)
        )
        update(x, errors)

    vars(tile).update(forward=noted_forward, backward=noted_backward, update=noted_update)


def random_commands(stage: Stage, generator: np.random.Generator, count: int) -> list[Command]:
    """Commands of all kinds, with vectors from zeros to full scale."""
    commands = []
    for _ in range(count):
        x_limit, delta_limit = ((1 << bits - 1) - 1 for bits in (stage.activation_bits, stage.error_bits))
        x = draw(generator, stage.columns, -x_limit, x_limit)
        delta = draw(generator, stage.rows, -delta_limit, delta_limit)
        operation = Operation(int(generator.integers(0, len(Operation))))
        exponent = int(generator.integers(0, LARGEST_EXPONENT + 1)) if operation is not Operation.FORWARD else 0
        commands.append(
            Command(
                operation,
                x=x if operation is not Operation.BACKWARD else (),
                delta=delta if operation is not Operation.FORWARD else (),
                exponent=exponent,
            )
        )
    return commands


def tile_transactions(parameters: TileParameters, generator: np.random.Generator, vectors: int) -> Transactions:
    """For the tile of the second array of preset ``tiny``, which the parameters' defaults are."""
    config = load("tiny")
    stage = config.stages[1]
    if parameters != TileParameters.of(stage, parameters.lanes):
        raise ValueError(f"{parameters}: accepted: those of the second array of preset tiny, any lanes")
    return session(stage, config.seed, parameters.lanes, random_commands(stage, generator, vectors)).transactions
