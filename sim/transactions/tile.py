"""`tile`: commands to a tile with the golden crossbar behind its port, and everything that passes on all streams."""

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
from hdl.network.tile import Operation
from hdl.network.tile_parameters import TileParameters
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

    parameters: TileParameters
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
        pulses, bits = tile._pulses, self.parameters.probability_bits

        def noted_pulses(vectors: Integers, gain: PulseGain, copies: int, states: Words) -> tuple[PulseTrains, Words]:
            trains, states = pulses(vectors, gain, copies, states)
            # The sign of a line that cannot fire means nothing, and hardware gives none.
            can_fire = replicate(probability_words(vectors, gain, bits) > 0, copies)
            return PulseTrains(trains.pulses, trains.negative & can_fire), states

        vars(tile).update(_pulses=noted_pulses)

    def _segments(self, side: int) -> tuple[int, ...]:
        p = self.parameters
        return p.column_segments * p.column_copies if side == COLUMNS else (p.rows,) * p.row_copies

    def _noted(self, codes: Integers, side: int, sensed: Integers, saturated: Flags) -> tuple[Integers, Flags]:
        p = self.parameters
        for driven, answer, flags in zip(codes, sensed, saturated, strict=False):
            self.drive += beats(driven, p.lanes, segments=self._segments(side), side=side)
            answer_segments = self._segments(ROWS if side == COLUMNS else COLUMNS)
            words = beats(answer, p.lanes, segments=answer_segments, fill=self.fill, fill_bits=1)
            masks = _bit_beats(flags, Segments(answer_segments, p.lanes))
            for word, mask in zip(words, masks, strict=True):
                idle = int(self.fill.integers(0, 1 << p.lanes, dtype=np.uint64)) & ~int(word["mask"])
                self.sense.append({**word, "saturated": mask | idle})
        return sensed, saturated

    def _note_trains(self, side: int, trains: PulseTrains) -> None:
        p = self.parameters
        segments = self._segments(side)
        slots = 1 << np.arange(trains.pulses.shape[1], dtype=np.int64)
        for pulses, negative in zip(trains.pulses, trains.negative, strict=True):
            words = beats(slots @ pulses, p.lanes, segments=segments, side=side)
            masks = _bit_beats(negative, Segments(segments, p.lanes))
            self.pulse += [{**word, "negative": mask} for word, mask in zip(words, masks, strict=True)]


def _bit_beats(bits: Flags, segments: Segments) -> list[int]:
    """One bit per element as a word per beat."""
    words = [0] * segments.beats
    for bit, (number, lane) in zip(bits.tolist(), segments.places(), strict=True):
        words[number] |= int(bit) << lane
    return words


@dataclass(frozen=True)
class Session:
    """A tile's parameters, what passes on all of its streams, and the golden tile as the commands left it."""

    parameters: TileParameters
    transactions: Transactions
    tile: Tile


def session(stage: Stage, seed: int, lanes: int, commands: Sequence[Command]) -> Session:
    """What passes on all streams of a tile of ``stage`` when it is loaded with the initial states of its pulse generators,
    carries out the commands, and the states are read back."""
    parameters = TileParameters.of(stage, lanes)
    tile = Tile(stage, seed)
    fill = np.random.default_rng(seed)
    port = _Port(parameters, fill)
    port.listen(tile)
    load_states = accesses(parameters, tile.column_pulse, tile.row_pulse, write=True)
    inputs: dict[str, list[Values]] = {"command": [], "x": [], "delta": []}
    outputs: dict[str, list[Values]] = {"y": [], "z": [], "report": []}
    for command in commands:
        _carry_out(tile, parameters, command, fill, inputs, outputs)
    read_states = accesses(parameters, tile.column_pulse, tile.row_pulse, write=False)
    nothing: list[Values] = []
    transactions = Transactions(
        {**dict.fromkeys(("command", "x", "delta", "sense"), nothing), "access": load_states},
        dict.fromkeys(("y", "z", "report", "drive", "pulse", "answer"), nothing),
        then=(
            Transactions({**inputs, "sense": port.sense}, {**outputs, "drive": port.drive, "pulse": port.pulse}),
            Transactions(
                {"access": [{**word, "state": 1} for word in read_states]},
                {"answer": [{"state": word["state"]} for word in read_states]},
            ),
        ),
    )
    return Session(parameters, transactions, tile)


def command_words(parameters: TileParameters, command: Command, fill: np.random.Generator) -> dict[str, list[Values]]:
    """What a tile is told by the streams ``command``, ``x`` and ``delta``. Disabled lanes hold random words."""
    p = parameters
    words: dict[str, list[Values]] = {"command": [{"operation": command.operation.value, "exponent": command.exponent}]}
    if command.operation is not Operation.BACKWARD:
        bits = p.activation_bits - 1
        words["x"] = beats(command.x, p.lanes, segments=p.column_segments, fill=fill, fill_bits=bits)
    if command.operation is not Operation.FORWARD:
        words["delta"] = beats(command.delta, p.lanes, fill=fill, fill_bits=p.error_bits - 1)
    return words


def _carry_out(
    tile: Tile,
    parameters: TileParameters,
    command: Command,
    fill: np.random.Generator,
    inputs: dict[str, list[Values]],
    outputs: dict[str, list[Values]],
) -> None:
    p = parameters
    for port, words in command_words(p, command, fill).items():
        inputs[port] += words
    x, errors = np.array([command.x]), Errors(np.array([command.delta]), command.exponent)
    before = dict(tile.counters)
    if command.operation is Operation.FORWARD:
        outputs["y"] += beats(tile.forward(x)[0], p.lanes)
    elif command.operation is Operation.BACKWARD:
        outputs["z"] += beats(tile.backward(errors)[0][0], p.lanes, segments=p.column_segments)
    else:
        tile.update(x, errors)
        outputs["report"].append({"repeats": 0, "saturations": 0})
        return
    name = command.operation.name.lower()
    repeats, saturations = (
        tile.counters[f"{name}_{what}"] - before[f"{name}_{what}"] for what in ("repeats", "saturations")
    )
    outputs["report"].append({"repeats": repeats, "saturations": saturations})


def accesses(parameters: TileParameters, columns: Words, rows: Words, *, write: bool) -> list[Values]:
    """One access for every pulse generator, with its state: those of the columns, then those of the rows."""
    p = parameters
    words: list[Values] = []
    first = 0
    for segments, states in (
        (Segments(p.column_segments * p.column_copies, p.lanes), columns),
        (Segments((p.rows,) * p.row_copies, p.lanes), rows),
    ):
        places = list(segments.places())[:: p.generator_sharing]
        for (number, lane), state in zip(places, states.tolist(), strict=True):
            words.append(
                {"beat": first + number, "generator": lane // p.generator_sharing, "write": int(write), "state": state}
            )
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
