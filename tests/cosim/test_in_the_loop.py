"""Networks whose tiles are simulated Verilog train to the golden machine's bits, and with a faulty tile they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emulator.config import Config, load
from emulator.network.network import GoldenMachine
from emulator.network.tile import Tile as GoldenTile
from emulator.training.datasets import Dataset, load_dataset
from hdl.network.tile_parameters import TileParameters
from sim.analog_array import AnalogArray
from sim.benches.training import Trained
from sim.combined import combined
from sim.faults import FAULTS
from sim.hardware_tile import HardwareTile
from sim.in_the_loop import check_against_golden, tile_designs, train_in_the_loop
from sim.mutation import Fault, faulty_module
from sim.runner import Design, SimulationError

TILE = "hdl/network/tile.py"
LANES = 4
#: ``tiny`` with bounds so low that reads saturate, are repeated, and are accepted saturated; W2 on two devices per weight.
STRAINED = (
    "array.forward.bound=0.25",
    "array.backward.bound=0.25",
    "array.forward.bound_management=1",
    "layers.W2.array.replication=2",
)


def digits(config: Config, images: int) -> tuple[np.ndarray, np.ndarray]:
    data = load_dataset("digits", height=config.input.height, width=config.input.width, classes=config.classes)
    return data.train_images[:images], data.train_labels[:images]


def check_every_tile_worked(config: Config, images: int, trained: Trained) -> None:
    """Every position of every image was read and updated in hardware: equality is not that of golden with itself."""
    for stage in config.stages:
        if stage.name in trained.transfers:
            cycles = 2 if stage.index == 0 else 3
            assert trained.transfers[stage.name]["command"] == images * stage.positions * cycles
            assert trained.transfers[stage.name]["answer"] > 0


# --- whole networks -------------------------------------------------------------------------------------------------


def test_tiny_trains() -> None:
    config = load("tiny")
    images, labels = digits(config, 3)
    trained = train_in_the_loop(config, images, labels, tile_designs(config, LANES), stall=0.2)
    assert set(trained.transfers) == {"K1", "W2", "W3"}
    check_every_tile_worked(config, len(images), trained)
    golden = check_against_golden(config, images, labels, trained)
    initial = GoldenMachine(config).state()
    assert all((values != initial[name]).any() for name, values in golden.state().items() if "weights" in name)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_tiny_trains_on_fifty_images() -> None:
    config = load("tiny")
    images, labels = digits(config, 50)
    trained = train_in_the_loop(config, images, labels, tile_designs(config, LANES), randomise=True)
    check_every_tile_worked(config, len(images), trained)
    check_against_golden(config, images, labels, trained)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_network_with_saturated_reads_and_replicas_trains() -> None:
    config = load("tiny", STRAINED)
    images, labels = digits(config, 20)
    trained = train_in_the_loop(config, images, labels, tile_designs(config, LANES), stall=0.3)
    check_every_tile_worked(config, len(images), trained)
    golden = check_against_golden(config, images, labels, trained)
    for stage in golden.stages:
        assert stage.tile.counters["forward_repeats"] > 0
        assert stage.tile.counters["forward_saturations"] > 0
    assert golden.stages[1].tile.counters["backward_repeats"] > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_first_array_of_the_paper_trains_on_a_whole_image(lenet_images: Dataset) -> None:
    config = load("lenet-bl1-um")
    images, labels = lenet_images.train_images[:1], lenet_images.train_labels[:1]
    trained = train_in_the_loop(config, images, labels, tile_designs(config, 16, ("K1",)))
    assert set(trained.transfers) == {"K1"}
    check_every_tile_worked(config, len(images), trained)
    golden = check_against_golden(config, images, labels, trained)
    assert golden.stages[0].tile.counters["coincidences"] > 0


# --- what must be caught --------------------------------------------------------------------------------------------


def train_with(fault: Fault, config: Config, layer: str, images: np.ndarray, labels: np.ndarray) -> Trained:
    """Train with the faulty tile in one layer; all others are golden."""
    stage = next(stage for stage in config.stages if stage.name == layer)
    with faulty_module(fault) as module:
        design = Design.of(module.Tile(TileParameters.of(stage, LANES)), "faulty_tile")
    return train_in_the_loop(config, images, labels, {layer: design})


def fault_of(description: str) -> Fault:
    return next(fault for fault in FAULTS if (fault.file, fault.description) == (TILE, description))


def test_a_fault_spoils_the_layers_around_it() -> None:
    config = load("tiny")
    images, labels = digits(config, 3)
    trained = train_with(fault_of("lines that are not there count as saturated"), config, "W2", images, labels)
    with pytest.raises(SimulationError, match=r"after 3 images: logits of image 2, element 0: golden .*, in the loop"):
        check_against_golden(config, images, labels, trained)
    golden = GoldenMachine(config)
    golden.train(images, labels)
    for layer in ("K1", "W2", "W3"):
        assert (golden.state()[f"{layer}.weights"] != trained.state[f"{layer}.weights"]).any()


#: Faults that show only with several arrays, or with commands of one kind behind those of another at once; a layer has
#: one array, and asks for one kind at a time. tests/hdl/network/test_tile.py catches them.
UNSEEN = {
    "settings are taken at any time",
    "settings are taken while a read is given out",
    "a read begins before the pulses are sent",
    "a report is lost behind another",
}
#: Faults with which the tile stops before the layers' state can be compared.
HANGING = {"a saturated read is delivered"}
SEEN = [fault for fault in FAULTS if fault.file == TILE and fault.description not in UNSEEN]


def test_unseen_faults_are_listed() -> None:
    assert {fault.description for fault in FAULTS if fault.file == TILE} > UNSEEN | HANGING


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", SEEN, ids=lambda fault: fault.description)
def test_every_fault_of_the_tile_is_caught(fault: Fault) -> None:
    config = load("tiny", STRAINED)
    images, labels = digits(config, 20)
    seen = "W2: hung" if fault.description in HANGING else r"after 20 images: |W2 report: repeats = \d+ of an update"
    with pytest.raises(SimulationError, match=seen):
        check_against_golden(config, images, labels, train_with(fault, config, "W2", images, labels))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("self.report.valid.eq(going.reporting)", "self.report.valid.eq(0)", "W3: hung"),
        (
            "self.drive.payload.side.eq(blocks.converter.o.payload.sideband)",
            "self.drive.payload.side.eq(~blocks.converter.o.payload.sideband)",
            "W3: drive: 6 rows: accepted: 10",
        ),
    ],
    ids=("no report", "the wrong side"),
)
def test_a_tile_that_cannot_go_on_is_named(right: str, wrong: str, message: str) -> None:
    config = load("tiny")
    with pytest.raises(SimulationError, match=message):
        train_with(Fault(TILE, right, wrong, message), config, "W3", *digits(config, 1))


def golden_as_trained(config: Config, images: np.ndarray, labels: np.ndarray) -> Trained:
    machine = GoldenMachine(config)
    return Trained(machine.train(images, labels), machine.state(), {}, 0)


@pytest.mark.parametrize("what", ("weights", "row_pulse", "column_noise", "counters"))
def test_one_bit_of_the_state_is_caught(what: str) -> None:
    config = load("tiny")
    images, labels = digits(config, 1)
    trained = golden_as_trained(config, images, labels)
    check_against_golden(config, images, labels, trained)
    trained.state[f"W3.{what}"].flat[-1] ^= 1
    with pytest.raises(SimulationError, match=f"after 1 images: layer W3, {what}"):
        check_against_golden(config, images, labels, trained)


def test_a_vector_of_a_wrong_length_is_refused() -> None:
    golden = GoldenTile(load("tiny").stages[2], seed=1)
    parameters = TileParameters.of(golden.stage, LANES)
    part = {"elements": [0] * LANES, "mask": 1, "last": 1}
    tile = HardwareTile(
        golden,
        parameters,
        AnalogArray(golden.crossbar, LANES),
        lambda inputs, vectors: {"y": [[part]], "report": [[{"repeats": 0, "saturations": 0}]]},
    )
    with pytest.raises(ValueError, match="W3 y: 1 elements: accepted: 10"):
        tile.forward(np.zeros((1, golden.stage.columns), dtype=np.int64))


# --- designs in one top ---------------------------------------------------------------------------------------------

STREAM = {"direction": "in", "width": 3, "fields": {}}


def small(name: str, body: str = "") -> Design:
    description = {"block": name, "parameters": {}, "latency": 1, "cycles_per_beat": 2, "streams": {"i": STREAM}}
    return Design(f"module {name}(clk, rst, i__payload, i__valid, i__ready);\n{body}endmodule\n", description)


def test_streams_of_designs_have_their_names_as_prefix() -> None:
    top = combined("top", {"a": small("one"), "b": replace(small("one")), "c": small("two")})
    assert set(top.streams) == {"a_i", "b_i", "c_i"}
    assert top.verilog.count("module one(") == 1
    assert "one b_instance(.clk(clk), .rst(rst), .i__payload(b_i__payload)" in top.verilog
    assert "input [2:0] a_i__payload;" in top.verilog and "output c_i__ready;" in top.verilog


def test_designs_that_cannot_stand_beside_each_other_are_refused() -> None:
    with pytest.raises(SimulationError, match=r"modules \['one'\] of several designs"):
        combined("top", {"a": small("one"), "b": small("one", "// another\n")})
    with pytest.raises(SimulationError, match="a letter first"):
        combined("top", {"1": small("one")})


def test_layers_that_are_not_there_are_refused() -> None:
    config = load("tiny")
    for tiles in ({}, {"K9": small("one")}):
        with pytest.raises(SimulationError, match=r"accepted: some of \['K1', 'W2', 'W3'\]"):
            train_in_the_loop(config, *digits(config, 1), tiles)
