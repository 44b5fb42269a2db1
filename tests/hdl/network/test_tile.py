"""The tile with golden crossbars behind its port: every word on every stream, against the golden tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from amaranth.hdl import Array, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from emulator.config import Stage, load
from hdl.network.tile import Operation, Tile
from hdl.network.tile_parameters import TileParameters
from hdl.network.tile_settings import TileSettings
from hdl.periphery.noise_management import Mode
from hdl.periphery.update_management import UpdateManagement
from sim.payload import Values
from sim.pysim import Outcome, run
from sim.transactions.base import Transactions
from sim.transactions.tile import Command, Turn, network_session, random_commands, session

#: Settings beside those of the preset, by what they are for.
SETTINGS: dict[str, list[str]] = {
    "as it is": [],
    "power of two": ["array.backward.noise_management=power_of_two", "array.update.management=power_of_two"],
    "no management": ["array.backward.noise_management=none", "array.update.management=none"],
    "constant": [
        "array.backward.noise_management=constant",
        "array.backward.constant_exponent=10",
        "array.forward.noise_management=constant",
        "array.forward.constant_exponent=-2",
    ],
    "forward scaled": ["array.forward.noise_management=exact"],
    "often saturated": ["array.forward.bound=0.3", "array.backward.bound=0.3", "array.forward.bound_management=3"],
    "never repeated": ["array.forward.bound=0.3", "array.forward.bound_management=0"],
    "long trains": ["array.update.desired_bl=10"],
    "replicated": ["array.replication=3"],
    "replicated, forward scaled": ["array.replication=4", "array.forward.noise_management=power_of_two"],
    "narrow words": ["formats.error_bits=8", "array.converters.dac_fraction_bits=5", "array.update.probability_bits=8"],
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(("layer", "lanes"), ((1, 4), (2, 3)))
def test_equals_the_model(setting: str, layer: int, lanes: int) -> None:
    config = load("tiny", SETTINGS[setting])
    stage = config.stages[layer]
    done = session(stage, config.seed, lanes, random_commands(stage, np.random.default_rng(layer), 24))
    run(Tile(done.parameters), done.transactions, stall=0.3 if layer == 1 else 0.0)


@pytest.mark.parametrize("setting", SETTINGS)
def test_compact_equals_the_model(setting: str) -> None:
    config = load("tiny", SETTINGS[setting])
    stage = config.stages[2]
    parameters = TileParameters.of_stages([stage], 1, compact=True).model_copy(update={"settings_held": False})
    done = session(stage, config.seed, 1, random_commands(stage, np.random.default_rng(1), 12))
    run(Tile(parameters), done.transactions, stall=0.3 if setting == "as it is" else 0.0)


@pytest.mark.parametrize("lanes", (1, 8, 32))
def test_lanes(lanes: int) -> None:
    config = load("tiny")
    stage = config.stages[0]
    done = session(stage, config.seed, lanes, random_commands(stage, np.random.default_rng(lanes), 8))
    run(Tile(done.parameters), done.transactions)


def test_generators_shared_by_lines() -> None:
    config = load("tiny", ["array.update.generator_sharing=2", "layers.W2.outputs=6"])
    stage = config.stages[2]
    done = session(stage, config.seed, 4, random_commands(stage, np.random.default_rng(1), 8))
    run(Tile(done.parameters), done.transactions)


def test_counts_at_their_full_values() -> None:
    """Sixteen lines that all saturate, four halvings that are all of no use, trains of sixteen slots."""
    settings = ["layers.W2.outputs=16", "array.update.desired_bl=16"]
    for side in ("forward", "backward"):
        settings += [f"array.{side}.bound=0.05", f"array.{side}.noise=4", f"array.{side}.bound_management=4"]
    config = load("tiny", settings)
    stage = config.stages[1]
    done = session(stage, config.seed, 4, random_commands(stage, np.random.default_rng(1), 12))
    reports = done.transactions.expected("report")
    assert stage.rows == 16 == max(word["saturations"] for word in reports)
    assert {word["repeats"] for word in reports} == {0, 4}
    run(Tile(done.parameters), done.transactions)


#: Cycles into a command: in loading or management, in front of the array, at its answer, in delivery or the next command.
RESETS = (9, 21, 40, 75)


@pytest.mark.parametrize("cycles", RESETS)
@pytest.mark.parametrize("operation", Operation)
def test_reset_in_mid_command(operation: Operation, cycles: int) -> None:
    """A command of each kind is under way; then generators are loaded and all begins anew."""
    config = load("tiny")
    stage = config.stages[1]
    cut = session(stage, config.seed, 4, repeated(stage, operation, 2))
    first, *turns, _ = cut.transactions.phases
    prelude = [
        ("access", first.inputs["access"]),
        ("settings", in_one_phase(cut.transactions).then[0].inputs["settings"]),
    ]
    cut_off = {port: words for turn in turns for port, words in turn.inputs.items() if port != "settings"}
    commands = [each for kind in Operation for each in repeated(stage, kind, 1)]
    done = session(stage, config.seed, 4, commands)
    run(
        Tile(done.parameters),
        done.transactions,
        reset_after=cycles,
        prelude=prelude,
        cut_off=Transactions(cut_off, {}),
    )


# --- one tile for several arrays ------------------------------------------------------------------------------------

#: What is drawn for each array, beside its number of devices per weight.
CHOICES: dict[str, tuple[object, ...]] = {
    "forward.noise_management": ("none", "constant", "power_of_two", "exact"),
    "backward.noise_management": ("none", "constant", "power_of_two", "exact"),
    "forward.constant_exponent": (-8, -1, 3, 24),
    "backward.constant_exponent": (-8, 0, 10, 24),
    "forward.bound": (0.3, 2.0, 12.0),
    "backward.bound": (0.3, 12.0),
    "forward.bound_management": (0, 2, 6),
    "backward.bound_management": (1, 5),
    "update.management": ("none", "power_of_two", "exact"),
    "update.desired_bl": (1, 2, 7),
    "replication": (1, 2, 3, 4),
}


def drawn_stages(generator: np.random.Generator) -> tuple[Stage, ...]:
    """Arrays that differ in everything that is a setting."""
    return load(
        "tiny",
        [
            f"layers.{layer}.array.{path}={generator.choice(np.array(values, dtype=object))}"
            for layer in ("K1", "W2", "W3")
            for path, values in CHOICES.items()
        ],
    ).stages


def random_turns(stages: tuple[Stage, ...], generator: np.random.Generator, rounds: int, most: int) -> list[Turn]:
    """Every array in every round, in a random order, with one to ``most`` commands."""
    return [
        Turn(int(number), random_commands(stages[number], generator, int(generator.integers(1, most + 1))))
        for _ in range(rounds)
        for number in generator.permutation(len(stages))
    ]


@pytest.mark.parametrize("stall", (0.0, 0.3))
def test_one_tile_serves_all_arrays_of_a_network(stall: float) -> None:
    stages = load("tiny").stages
    done = network_session(stages, 1, 4, random_turns(stages, np.random.default_rng(1), 4, 6))
    run(Tile(done.parameters), done.transactions, stall=stall)


@pytest.mark.parametrize("seed", range(6))
def test_one_tile_serves_different_arrays(seed: int) -> None:
    generator = np.random.default_rng(seed)
    stages = drawn_stages(generator)
    done = network_session(stages, seed, (4, 3, 2)[seed % 3], random_turns(stages, generator, 4, 5))
    run(Tile(done.parameters), done.transactions, stall=0.3 if seed % 2 else 0.0)


@pytest.mark.parametrize("stall", (0.0, 0.3))
def test_all_modes_in_one_tile(stall: float) -> None:
    stages = tuple(
        load("tiny", SETTINGS[name]).stages[1]
        for name in ("as it is", "power of two", "no management", "constant", "forward scaled")
    )
    done = network_session(stages, 1, 4, random_turns(stages, np.random.default_rng(2), 2, 5))
    p = done.parameters
    assert set(p.forward_modes) == {"none", "constant", "exact"}
    assert set(p.backward_modes) == {"none", "constant", "power_of_two", "exact"}
    assert set(p.update_modes) == {"none", "power_of_two", "exact"}
    run(Tile(p), done.transactions, stall=stall)


def test_one_array_on_the_tile_of_others() -> None:
    """Hardware that holds more than the array needs."""
    stages = drawn_stages(np.random.default_rng(9))
    commands = random_commands(stages[2], np.random.default_rng(9), 12)
    done = network_session(stages[2:], 3, 4, [Turn(0, commands)], TileParameters.of_stages(stages, 4))
    run(Tile(done.parameters), done.transactions, stall=0.2)


class Sequenced(wiring.Component):
    """A tile with settings offered as soon as the last command of the turn before is taken, while it is still at work. A
    report is taken in one cycle of ``REPORT_PERIOD``."""

    REPORT_PERIOD = 128

    def __init__(self, tile: Tile, turns: Sequence[int]) -> None:
        self.tile, self.turns = tile, turns
        self.latency, self.cycles_per_beat = self.REPORT_PERIOD, 1
        super().__init__(dict(tile.signature.members))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.tile = tile = self.tile
        left, turn, wait = Signal(8), Signal(8), Signal(range(self.REPORT_PERIOD))
        gates = {"settings": left == 0, "command": left != 0, "report": wait == 0}
        for port, member in self.signature.members.items():
            inside, outside, gate = getattr(tile, port), getattr(self, port), gates.get(port, Const(1))
            source, target = (outside, inside) if member.flow is In else (inside, outside)
            m.d.comb += [
                target.payload.eq(source.payload),
                target.valid.eq(source.valid & gate),
                source.ready.eq(target.ready & gate),
            ]
        with m.If(~self.report.valid | self.report.ready):
            m.d.sync += wait.eq(wait + 1)
        with m.If(tile.settings.valid & tile.settings.ready):
            m.d.sync += [left.eq(Array(self.turns)[turn]), turn.eq(turn + 1)]
        with m.If(tile.command.valid & tile.command.ready):
            m.d.sync += left.eq(left - 1)
        return m


def in_one_phase(transactions: Transactions) -> Transactions:
    """Generators are loaded first and read last; all turns in between are one."""
    first, *turns, last = transactions.phases
    inputs: dict[str, list[Values]] = {}
    outputs: dict[str, list[Values]] = {}
    for turn in turns:
        for whole, part in ((inputs, turn.inputs), (outputs, turn.outputs)):
            for port, words in part.items():
                whole.setdefault(port, []).extend(words)
    return Transactions(first.inputs, first.outputs, (Transactions(inputs, outputs), last))


@pytest.mark.parametrize("seed", range(4))
def test_settings_wait_for_the_end_of_all_work(seed: int) -> None:
    generator = np.random.default_rng(20 + seed)
    stages = drawn_stages(generator)
    turns = random_turns(stages, generator, 6, 3)
    done = network_session(stages, seed, 4, turns)
    sequenced = Sequenced(Tile(done.parameters), [len(turn.commands) for turn in turns])
    run(sequenced, in_one_phase(done.transactions), stall=0.4 if seed % 2 else 0.0)


def test_no_command_before_the_first_settings() -> None:
    """The command is there from the beginning, the settings come late."""
    stage = load("tiny").stages[1]
    done = session(stage, 1, 4, random_commands(stage, np.random.default_rng(1), 3))
    run(Tile(done.parameters), in_one_phase(done.transactions), stall=0.9)


@pytest.mark.parametrize("stall", (0.0, 0.4))
def test_order_at_the_array(stall: float) -> None:
    """A read begins after the last pulse of the update before it, an update after the last beat sensed of the read before.
    Long trains, so that pulses take their time."""
    stage = load("tiny", ["array.update.desired_bl=20", "array.update.management=none"]).stages[1]
    generator = np.random.default_rng(5)
    commands = random_commands(stage, generator, 40)
    done = session(stage, 1, 4, commands)
    outcome = run(Tile(done.parameters), done.transactions, stall=stall)
    cycles = {port: iter(outcome.cycles[port]) for port in ("drive", "sense", "pulse")}
    reports, lines = iter(outcome.words["report"]), done.lines[0]
    before = -1
    for command in commands:
        tries = next(reports)["repeats"] + 1
        sides = [lines.columns.beats, lines.rows.beats]
        if command.operation is Operation.BACKWARD:
            sides.reverse()
        events = [("pulse", sum(sides))]
        if command.operation is not Operation.UPDATE:
            events = [("drive", sides[0]), ("sense", sides[1])] * tries
        for port, beats in events:
            seen = [next(cycles[port]) for _ in range(beats)]
            assert before < seen[0]
            before = seen[-1]


def test_settings_of_a_network() -> None:
    """The generators of the arrays lie one after the other; the word has the names of the fields."""
    stages = load("lenet-k2x13").stages
    parameters = TileParameters.of_stages(stages, 4)
    settings = TileSettings.of_stages(stages, parameters)
    k1, k2 = settings[:2]
    assert (k1.column_beats, k1.row_beats, k1.pulse_base) == (25 + 1, 4, 0)
    assert (k2.column_beats, k2.row_beats, k2.row_copies, k2.pulse_base) == (25 * 4 + 1, 8, 13, k1.pulse_base + 30)
    assert (k2.guard_bits, k2.average_reciprocal) == (4, round(2**16 / 13))
    assert settings[2].pulse_base == k2.pulse_base + 101 + 13 * 8
    assert k2.word()["backward_mode"] == Mode[stages[1].backward.noise_management.upper()].value
    assert set(k2.word()) == set(TileSettings.__dataclass_fields__)


# --- how long it takes ----------------------------------------------------------------------------------------------

#: Cycles between two reads beside the beats that are driven and sensed, with an array that answers at once.
READ_OVERHEAD = 13
#: Between two update cycles beside the beats that are sent, where nothing is waited for.
SENDING_OVERHEAD = 7
#: Between update cycles with exact management, which is waited for: odd and even ones, since two vectors are ahead.
EXACT_UPDATES = {"K1": {53, 62}, "K2": {116, 153}}
#: Loading and searching beside the beats, and what lies between them, management and the first pulse.
LOADING_OVERHEAD = 16


def starts(outcome: Outcome, port: str, beats: int) -> np.ndarray:
    """When each vector of ``beats`` beats begins."""
    return np.array(outcome.cycles[port][::beats])


def repeated(stage: Stage, operation: Operation, count: int) -> list[Command]:
    generator = np.random.default_rng(1)
    x, delta = (generator.integers(-200, 200, (count, size)).tolist() for size in (stage.columns, stage.rows))
    return [
        Command(
            operation,
            x=() if operation is Operation.BACKWARD else x[k],
            delta=() if operation is Operation.FORWARD else delta[k],
            exponent=0 if operation is Operation.FORWARD else 12,
        )
        for k in range(count)
    ]


@pytest.mark.parametrize("operation", (Operation.FORWARD, Operation.BACKWARD))
def test_cycles_of_a_read(operation: Operation) -> None:
    """Loading, management and delivery are hidden behind the array: K1 and K2 of the paper, 4 lanes."""
    for stage in load("lenet-bl1-um", ["array.forward.bound=off", "array.backward.bound=off"]).stages[:2]:
        done = session(stage, 1, 4, repeated(stage, operation, 6))
        outcome = run(Tile(done.parameters), done.transactions)
        assert all(word["repeats"] == 0 for word in outcome.words["report"])
        beats = done.lines[0].columns.beats, done.lines[0].rows.beats
        driven = beats[operation is Operation.BACKWARD]
        between = np.diff(starts(outcome, "drive", driven))[1:]
        assert set(between.tolist()) == {sum(beats) + READ_OVERHEAD}


@pytest.mark.parametrize("management", ("exact", "power_of_two"))
def test_cycles_of_an_update(management: str) -> None:
    """At most the longer of loading with management, and sending; without root and divider only sending counts."""
    for stage in load("lenet-bl1-um", [f"array.update.management={management}"]).stages[:2]:
        done = session(stage, 1, 4, repeated(stage, Operation.UPDATE, 8))
        outcome = run(Tile(done.parameters), done.transactions)
        beats = done.lines[0].update_beats
        sending = beats + SENDING_OVERHEAD
        loading = beats + LOADING_OVERHEAD + UpdateManagement(done.parameters.update_management).latency
        between = set(np.diff(starts(outcome, "pulse", beats))[3:].tolist())
        assert between == (EXACT_UPDATES[stage.name] if management == "exact" else {sending})
        assert max(between) <= max(loading, sending)


# --- what is refused ------------------------------------------------------------------------------------------------


def test_exact_updates_are_refused() -> None:
    with pytest.raises(ValueError, match=r"layers\.K1\.array\.update\.mode = exact: accepted: pulsed"):
        TileParameters.of(load("lenet-fp").stages[0], 8)


def test_sharing_across_beats_is_refused() -> None:
    """Pixels of three channels: the second one would begin in the middle of a generator's lines."""
    stage = load("tiny", ["array.update.generator_sharing=2"]).stages[1]
    line = r"layers\.W2\.array\.update\.generator_sharing = 2: accepted: 1 on hardware, .*; machines golden and fast run it"
    with pytest.raises(ValueError, match=line):
        TileParameters.of(stage, 4)


def test_sharing_within_beats_names_what_is_accepted() -> None:
    """One segment of 5 lines and the bias: generators are shared by 1 or 5 of them, in beats of 5 or 10 lanes."""
    stage = load("tiny", ["layers.W3.array.update.generator_sharing=2"]).stages[2]
    with pytest.raises(ValueError, match=r"layers\.W3\..* = 2: accepted: 1, 5 on hardware"):
        TileParameters.of(stage, 10)


@pytest.mark.parametrize(
    ("setting", "message"),
    (
        ("layers.W2.array.converters.dac_fraction_bits=7", r"layers\.W2\.array\.converters\.dac_fraction_bits = 7: accepted: 9, as layer K1"),
        ("layers.W3.array.update.probability_bits=8", r"layers\.W3\.array\.update\.probability_bits = 8: accepted: 24, as layer K1"),
    ),
)  # fmt: skip
def test_arrays_of_different_formats_are_refused(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TileParameters.of_stages(load("tiny", [setting]).stages, 4)


def test_an_array_too_large_for_the_tile_is_refused() -> None:
    stages = load("tiny", ["layers.W2.array.replication=2"]).stages
    parameters = TileParameters.of(stages[0], 4)
    with pytest.raises(ValueError, match=r"layers\.W2: this tile lacks .*row_beats = 2.*replications = \(2,\)"):
        TileSettings.of(stages[1], parameters, 0)
    with pytest.raises(ValueError, match=rf"layers\.K1: this tile lacks pulse_beats = {parameters.pulse_beats + 1}: "):
        TileSettings.of(stages[0], parameters, 1)
    assert TileSettings.of(stages[0], parameters, 0).pulse_base == 0
