"""The crossbar: reads, updates, weights and generators against the golden array; cycles as stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from emulator.config import Stage, load
from hdl.array.crossbar import Crossbar
from hdl.array.crossbar_parameters import CrossbarParameters, column_segments, lay_out, row_segments
from sim.pysim import Outcome, run
from sim.transactions.base import Transactions
from sim.transactions.crossbar import COLUMNS, ROWS, Command, Read, Update, random_commands, session
from tests.hdl.array.crossbar_settings import SETTINGS, STALL


def check(
    stages: tuple[Stage, ...],
    commands: list[Command],
    lanes: int,
    devices: int,
    *,
    stall: float = 0.0,
    reset_after: int | None = None,
) -> Outcome:
    """All that passes on the streams, and all weights and generators afterwards."""
    done = session(stages, 1, lanes, devices, commands)
    return run(Crossbar(done.parameters), done.transactions, stall=stall, reset_after=reset_after)


#: Those in which the shape of the array, or how its lines lie in beats, could matter most.
IN_TWO_SHAPES = ("as it is", "loud devices", "narrow words", "replicated, trains of 10")
#: Those of which another has the same circuits at work.
LIKE_ANOTHER = (
    "one LSB",
    "noise in one direction",
    "equal devices",
    "no bounds",
    "trains of 10",
    "rounded to nearest",
    "replicated",
    "replicated, trains of 10",
)


@pytest.mark.parametrize(
    ("layer", "lanes", "devices", "setting"),
    [
        *(
            pytest.param(1, 4, 4, setting, marks=[pytest.mark.slow] if setting in LIKE_ANOTHER else [])
            for setting in SETTINGS
        ),
        *(
            pytest.param(2, 2, 4, setting, marks=[] if setting in IN_TWO_SHAPES else pytest.mark.slow)
            for setting in SETTINGS
        ),
    ],
)
def test_equals_the_model(layer: int, lanes: int, devices: int, setting: str) -> None:
    stages = (load("tiny", SETTINGS[setting]).stages[layer],)
    commands = random_commands(stages, np.random.default_rng(layer), 14)
    check(stages, commands, lanes, devices, stall=STALL if layer == 1 else 0.0)


@pytest.mark.parametrize(
    ("lanes", "devices"),
    [
        *((1, 1), (1, 2), (2, 2), (4, 8)),
        *(pytest.param(*wide, marks=pytest.mark.slow) for wide in ((1, 8), (8, 8), (2, 16), (4, 32), (8, 32))),
    ],
)
def test_lanes_and_devices_with_arrays_behind_each_other(lanes: int, devices: int) -> None:
    stages = load("tiny").stages
    commands = random_commands(stages, np.random.default_rng(devices), 16)
    assert {command.array for command in commands} == {0, 1, 2}
    check(stages, commands, lanes, devices, stall=STALL if devices < 8 else 0.0)


def test_arrays_that_differ_in_all_settings() -> None:
    stages = load(
        "tiny",
        [
            "layers.K1.array.device.dw_min_std=0",
            "layers.K1.array.update.desired_bl=3",
            "layers.W2.array.forward.noise=0",
            "layers.W2.array.backward.bound=0.5",
            "layers.W2.array.device.w_max=off",
            "layers.W2.array.replication=2",
            "layers.W3.array.backward.noise=0.5",
            "layers.W3.array.device.dw_min=0.01",
        ],
    ).stages
    check(stages, random_commands(stages, np.random.default_rng(5), 20), 4, 4, stall=STALL)


@pytest.mark.parametrize("cycles", (1, 11, pytest.param(24, marks=pytest.mark.slow)))
@pytest.mark.parametrize("kind", ("forward", "backward", "update"))
def test_reset_in_mid_vector(kind: str, cycles: int) -> None:
    """A read or an update is under way when the reset comes; then the memories are loaded and all begins anew."""
    stages = (load("tiny").stages[1],)
    lines = lines_of(stages[0])
    if kind == "update":
        cut: Command = Update(0, [1] * lines[COLUMNS], [0] * lines[COLUMNS], [1] * lines[ROWS], [0] * lines[ROWS])
    else:
        side = COLUMNS if kind == "forward" else ROWS
        cut = Read(0, side, [100] * lines[side])
    first, settings, vector, _ = session(stages, 1, 4, 4, [cut]).transactions.phases
    prelude = [
        (port, phase.inputs[port])
        for phase in (first, settings, vector)
        for port in ("access", "settings", "drive", "pulse")
        if phase.inputs.get(port)
    ]
    done = session(stages, 1, 4, 4, random_commands(stages, np.random.default_rng(cycles), 6))
    run(Crossbar(done.parameters), done.transactions, reset_after=cycles, prelude=prelude)


def test_memories_keep_their_contents_over_a_reset() -> None:
    stages = (load("tiny").stages[1],)
    phases = session(stages, 1, 4, 4, []).transactions.phases
    first, back = phases[0], phases[-1]
    nothing = {port: [] for port in first.inputs if port != "access"}
    run(
        Crossbar(CrossbarParameters.of_stages(stages, 4, 4)),
        Transactions({**nothing, **back.inputs}, {**first.outputs, **back.outputs}),
        reset_after=5,
        prelude=[("access", first.inputs["access"])],
    )


def test_a_read_waits_for_the_updates_before_it() -> None:
    """Pulses and codes are offered at once; pulses go first, and the reads see all of them."""
    stages = (load("tiny", ["array.update.desired_bl=10"]).stages[1],)
    generator = np.random.default_rng(3)
    commands = random_commands(stages, generator, 30)
    updates = [command for command in commands if isinstance(command, Update)]
    reads = [command for command in commands if isinstance(command, Read)]
    done = session(stages, 1, 4, 4, [*updates, *reads])
    load_phase, settings, pulses, codes, back = done.transactions.phases
    together = Transactions(
        {"pulse": pulses.inputs["pulse"], "drive": codes.inputs["drive"]},
        {"report": pulses.outputs["report"], "sense": codes.outputs["sense"]},
    )
    work = Transactions(load_phase.inputs, load_phase.outputs, then=(settings, together, back))
    outcome = run(Crossbar(done.parameters), work)
    assert min(outcome.cycles["drive"]) > max(outcome.cycles["report"])
    # The columns of an update are taken while the one before is worked on.
    beats = len(pulses.inputs["pulse"]) // len(updates)
    starts = outcome.cycles["pulse"][::beats]
    assert any(start < report for start, report in zip(starts[1:], outcome.cycles["report"], strict=False))


# --- cycles ---------------------------------------------------------------------------------------------------------

SHAPES = ((1, 4, 4), (1, 4, 8), (2, 4, 4), (2, 2, 4), (0, 4, 4), (2, 1, 2))


def lines_of(stage: Stage) -> dict[int, int]:
    return {COLUMNS: stage.physical_columns, ROWS: stage.physical_rows}


@pytest.mark.parametrize(("layer", "lanes", "devices"), SHAPES)
@pytest.mark.parametrize("side", (COLUMNS, ROWS))
def test_cycles_of_reads(side: int, layer: int, lanes: int, devices: int) -> None:
    stage = load("tiny").stages[layer]
    lines = lines_of(stage)
    outcome = check((stage,), [Read(0, side, [100] * lines[side])], lanes, devices)
    (settings,) = lay_out([stage], lanes, devices)
    block = Crossbar(CrossbarParameters.of(stage, lanes, devices))
    taken, given = outcome.cycles["drive"], outcome.cycles["sense"]
    columns = lines[COLUMNS]
    if side == COLUMNS:
        assert given[-1] - taken[0] == block.forward_cycles(settings, columns, columns)
        if settings.row_blocks == 1 and settings.column_beats == columns:
            assert given[0] - taken[-1] == block.latency
        # A beat with one column takes one cycle, one with n takes n.
        places = list(column_segments(stage, lanes).places())
        beats = [sum(number == beat for number, _ in places) for beat in range(settings.column_beats)]
        assert np.diff(taken)[1:].tolist() == beats[: len(taken) - 1][:-1]
    else:
        assert given[-1] - taken[0] == block.backward_cycles(settings, columns)
        assert taken == list(range(taken[0], taken[0] + row_segments(stage, lanes).beats))


@pytest.mark.parametrize(("layer", "lanes", "devices"), SHAPES)
@pytest.mark.parametrize("firing", (0, pytest.param(1, marks=pytest.mark.slow), 3))
def test_cycles_of_updates(firing: int, layer: int, lanes: int, devices: int) -> None:
    """Columns that do not fire cost nothing, nor do blocks without a row that fires."""
    stage = load("tiny").stages[layer]
    columns, rows = lines_of(stage)[COLUMNS], lines_of(stage)[ROWS]
    silent = [0] * columns
    update = Update(0, [1] * firing + silent[firing:], silent, [1] + [0] * (rows - 1), [0] * rows)
    outcome = check((stage,), [update], lanes, devices)
    (settings,) = lay_out([stage], lanes, devices)
    block = Crossbar(CrossbarParameters.of(stage, lanes, devices))
    most = block.update_cycles(settings, firing, 1)
    assert most - 1 <= outcome.cycles["report"][0] - outcome.cycles["pulse"][-1] <= most


# --- parameters -----------------------------------------------------------------------------------------------------


def test_defaults_are_those_of_tiny() -> None:
    assert CrossbarParameters() == CrossbarParameters.of_stages(load("tiny").stages, 4, 8)


def test_one_array_has_as_many_devices_as_lanes_unless_told() -> None:
    stage = load("tiny").stages[1]
    assert CrossbarParameters.of(stage, 4).devices == 4
    assert CrossbarParameters.of(stage, 4, 16).devices == 16


@pytest.mark.parametrize("name", ("lenet-bl1-um", "lenet", "lenet-k2x13"))
@pytest.mark.parametrize(("lanes", "devices"), ((4, 32), (8, 8)))
def test_arrays_do_not_overlap(name: str, lanes: int, devices: int) -> None:
    """Each array begins where the one before it ends, and the last ends with the memories."""
    stages = load(name).stages
    layout = lay_out(stages, lanes, devices)
    ends = (0, 0, 0)
    for stage, array in zip(stages, layout, strict=True):
        assert (array.weight_base, array.row_base, array.column_base) == ends
        assert array.row_blocks * devices >= row_segments(stage, lanes).beats * lanes
        ends = (
            ends[0] + array.row_blocks * array.column_beats * lanes,
            ends[1] + array.row_beats,
            ends[2] + array.column_beats,
        )
    p = CrossbarParameters.of_stages(stages, lanes, devices)
    assert (p.weight_words, p.row_beats, p.column_beats) == ends


def refused(preset: str, settings: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrossbarParameters.of_stages(load(preset, settings).stages, 4, 8)


def test_other_device_models_are_refused() -> None:
    stage = load("tiny").stages[0]
    other = stage.array.device.model_copy(update={"model": "other"})
    layer = stage.layer.model_copy(update={"array": stage.array.model_copy(update={"device": other})})
    with pytest.raises(ValueError, match=r"layers\.K1\.array\.device\.model = other: accepted: constant_step"):
        lay_out([replace(stage, layer=layer)], 4, 8)


def test_exact_updates_are_refused() -> None:
    refused("lenet-fp", [], r"layers\.K1\.array\.update\.mode = exact: accepted: pulsed")


def test_arrays_of_different_widths_are_refused() -> None:
    refused(
        "tiny", ["layers.W2.array.weight.bits=20"], r"layers\.W2\.array\.weight\.bits = 20: accepted: 18, as layer K1"
    )


def test_lanes_and_devices_must_fit() -> None:
    with pytest.raises(ValidationError, match="lanes = 3: accepted: powers of two"):
        CrossbarParameters(lanes=3, devices=6)
    with pytest.raises(ValidationError, match="devices = 6: accepted: multiples of lanes = 4"):
        CrossbarParameters(lanes=4, devices=6)
