"""Machine `rtl`: the whole network in logic, Verilated, returns the golden model's bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emulator.compare import state_difference
from emulator.config import Config, load
from emulator.errors import MachineError
from emulator.machine import COUNTERS, build_machine
from emulator.network.network import GoldenMachine
from emulator.training.datasets import load_dataset
from hdl.network.host import Register, Space, address_of
from hdl.network.network_parameters import NetworkParameters
from sim.machine import RtlMachine
from sim.network_memory import BusWords

IMAGES = 40
#: One thing at a time, for the smallest FPGAs.
COMPACT = ["hardware.lanes=1", "hardware.compact=true"]
NAMES = ("golden", "rtl")


@pytest.fixture(scope="module")
def config() -> Config:
    return load("tiny")


@pytest.fixture(scope="module")
def digits(config: Config) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    dataset = load_dataset("digits", height=config.input.height, width=config.input.width, classes=config.classes)
    return dataset.train_images[:IMAGES], dataset.train_labels[:IMAGES]


@pytest.fixture(scope="module")
def hardware(config: Config) -> RtlMachine:
    """Made once, since that takes seconds."""
    return RtlMachine(config)


@pytest.fixture
def machine(hardware: RtlMachine) -> RtlMachine:
    """The hardware as it is after a reset, with the config's initial state and without stalls."""
    hardware.native.stall(0.0)
    hardware.restart()
    return hardware


def trained_golden(
    config: Config, images: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> tuple[GoldenMachine, NDArray]:
    golden = GoldenMachine(config)
    return golden, golden.train(images, labels)


def assert_equal(golden: GoldenMachine, machine: RtlMachine) -> None:
    assert state_difference(NAMES, [golden.state(), machine.state()]) is None


def test_training_and_inference_are_golden(config, digits) -> None:
    images, labels = digits
    golden, logits = trained_golden(config, images, labels)
    machine = build_machine("rtl", config)
    assert isinstance(machine, RtlMachine)
    # In several calls, which must not matter.
    parts = [machine.train(images[part], labels[part]) for part in (slice(0, 1), slice(1, 20), slice(20, None))]
    assert np.array_equal(np.concatenate(parts), logits)
    assert_equal(golden, machine)
    assert np.array_equal(machine.infer(images[:5]), golden.infer(images[:5]))
    assert_equal(golden, machine)


def test_compact_hardware_changes_no_bit(digits) -> None:
    """Training, inference, a state loaded and gone on with, registers: as of the hardware that does things at once."""
    config = load("tiny", COMPACT)
    images, labels = digits
    golden, logits = trained_golden(config, images[:8], labels[:8])
    machine = RtlMachine(config)
    assert np.array_equal(machine.train(images[:8], labels[:8]), logits)
    assert_equal(golden, machine)
    wrong = int((logits.argmax(axis=1) != labels[:8]).sum())
    numbers = [Register.LAST_LAYER, Register.LAST_PIXEL, Register.IMAGES, Register.ERRORS, Register.IDENTITY]
    addresses = [address_of(Space.REGISTERS.value, which.value) for which in numbers]
    unknown = [address_of(Space.REGISTERS.value, number) for number in (7, 100)]
    assert machine.read(np.array(addresses + unknown)).tolist() == [2, 35, 8, wrong, 0, 0, 0]
    assert np.array_equal(machine.infer(images[:3]), golden.infer(images[:3]))
    machine.native.stall(0.5, seed=3)
    assert np.array_equal(machine.train(images[8:10], labels[8:10]), golden.train(images[8:10], labels[8:10]))
    assert_equal(golden, machine)
    machine.native.stall(0.0)
    assert_cycles_are_those_of_images(machine, images[:1], labels[:1])
    assert sweep_resets(machine, images[:1], labels[:1], COMPACT_RESET_STEP) > 100


def test_a_network_of_one_array_is_golden() -> None:
    """One that never reads backward."""
    config = load("smallest")
    dataset = load_dataset("digits", height=config.input.height, width=config.input.width, classes=config.classes)
    images, labels = dataset.train_images[:IMAGES], dataset.train_labels[:IMAGES]
    golden, logits = trained_golden(config, images, labels)
    machine = RtlMachine(config)
    assert np.array_equal(machine.train(images, labels), logits)
    assert_equal(golden, machine)


def array_that_fills_its_counters() -> dict[str, Any]:
    """Nothing but noise far beyond the bound, and trains that always fire."""
    read = {"noise": 4.0, "bound": 0.05, "bound_management": 4}
    update = {"desired_bl": 16, "management": "none"}
    return {"forward": read, "backward": read, "update": update, "device": {"dw_min": 0.0005}}


@pytest.mark.parametrize("compact", (False, True), ids=("wide", "compact"))
def test_counters_at_their_full_values(compact: bool) -> None:
    """Lines, classes, slots and halvings are powers of two; every line saturates after the last halving, and every slot of
    every line of the first array fires."""
    array = array_that_fills_its_counters()
    layer = {"type": "fully_connected", "outputs": 16, "bias": False, "array": array}
    config = Config.model_validate({
        "classes": 16,
        "learning_rate": 1.0,
        "input": {"height": 4, "width": 4},
        "hardware": {"lanes": 1 if compact else 4, "compact": compact},
        "layers": {"H": {**layer, "activation": "tanh"}, "W": {**layer, "activation": "softmax"}},
    })  # fmt: skip
    images, labels = np.full((3, 4, 4), 255, np.uint8), np.array([15, 0, 7], np.uint8)
    golden, logits = trained_golden(config, images[:1], labels[:1])
    counted = dict(zip(COUNTERS, golden.state()["H.counters"].tolist(), strict=True))
    full = {"forward_reads": 5, "forward_repeats": 4, "forward_saturations": 16, "row_pulses": 16 * 16}
    full |= {"column_pulses": 16 * 16, "coincidences": 16 * 16 * 16}
    assert counted.items() >= full.items()
    counted = dict(zip(COUNTERS, golden.state()["W.counters"].tolist(), strict=True))
    assert counted.items() >= {"backward_reads": 5, "backward_repeats": 4, "backward_saturations": 16}.items()
    machine = RtlMachine(config)
    assert np.array_equal(machine.train(images[:1], labels[:1]), logits)
    assert_equal(golden, machine)
    assert np.array_equal(machine.train(images[1:], labels[1:]), golden.train(images[1:], labels[1:]))
    assert_equal(golden, machine)


def test_odd_rows_and_columns_in_front_of_pooling(digits) -> None:
    """Five rows of positions by six columns, then two by three: the odd last ones are in no window. The errors behind the pooled
    volumes are those of a wider layer."""
    config = load("tiny", ["input.height=7", "input.width=8", "layers.W2.outputs=40"])
    tree = config.model_dump()
    del tree["name"], tree["description"]
    pooling = tree["layers"].pop("P1")
    others = {name: tree["layers"].pop(name) for name in ("W2", "W3")}
    tree["layers"] |= {
        "P1": pooling,
        "K2": {**tree["layers"]["K1"], "kernel": 1, "outputs": 2},
        "P2": pooling,
        **others,
    }
    config = Config.model_validate(tree)
    sizes = [(stage.output_height, stage.output_width) for stage in config.stages if stage.pooled]
    assert sizes == [(5, 6), (2, 3)]
    images = np.random.default_rng(1).integers(0, 256, (6, 7, 8), np.uint8)
    labels = digits[1][:6]
    golden, logits = trained_golden(config, images, labels)
    machine = RtlMachine(config)
    assert np.array_equal(machine.train(images, labels), logits)
    assert_equal(golden, machine)


def test_compact_hardware_refuses_settings_that_it_has_not_built_in() -> None:
    parameters = NetworkParameters.of_config(load("tiny", COMPACT))
    with pytest.raises(
        MachineError, match=r"layers\.K1: accepted: the settings that this compact hardware has built in"
    ):
        RtlMachine(load("tiny", [*COMPACT, "array.forward.bound_management=5"]), parameters=parameters)


def test_state_is_loaded_and_gone_on_with(config, digits, machine) -> None:
    images, labels = digits
    golden, _ = trained_golden(config, images[:7], labels[:7])
    machine.train(images[:3], labels[:3])
    machine.load(golden.state())
    assert np.array_equal(machine.train(images[7:12], labels[7:12]), golden.train(images[7:12], labels[7:12]))
    assert_equal(golden, machine)


def test_stalls_on_all_streams_change_nothing(config, digits, machine) -> None:
    images, labels = digits
    golden, logits = trained_golden(config, images[:5], labels[:5])
    machine.native.stall(0.5, seed=3)
    assert np.array_equal(machine.train(images[:5], labels[:5]), logits)
    assert_equal(golden, machine)


def read_register(machine: RtlMachine, which: Register) -> int:
    return int(machine.read(np.array([address_of(Space.REGISTERS.value, which.value)]))[0])


def cycles_of_an_image(machine: RtlMachine, image: NDArray[np.uint8], label: NDArray[np.uint8]) -> int:
    """Until nothing of it is under way."""
    before = machine.native.cycles
    machine.train(image, label)
    read_register(machine, Register.IMAGES)  # waits for the end
    return machine.native.cycles - before


def assert_reset_leaves_nothing(
    golden: GoldenMachine, machine: RtlMachine, image: NDArray[np.uint8], label: NDArray[np.uint8], logits: NDArray
) -> None:
    """After whatever was under way."""
    machine.restart()
    assert machine.native.waiting("result") == 0
    assert np.array_equal(machine.train(image, label), logits)
    assert_equal(golden, machine)


#: Cycles of loading an image, each of which is tried; those after it are tried in such steps.
LOADING_CYCLES = 64
RESET_STEP, COMPACT_RESET_STEP = 7, 211


def sweep_resets(machine: RtlMachine, image: NDArray[np.uint8], label: NDArray[np.uint8], step: int) -> int:
    """Cut an image off in its every cycle of loading and in every ``step``-th of those that follow, and train on it anew. Every
    state of every sequencer is met, most of them many times. Returns how often that was."""
    golden, logits = trained_golden(machine.config, image, label)
    last = cycles_of_an_image(machine, image, label)
    assert last > 2 * LOADING_CYCLES
    tried = [*range(1, LOADING_CYCLES), *range(LOADING_CYCLES, last, step)]
    for cycles in tried:
        machine.restart()
        machine.native.send("job", train=np.ones(1, np.uint8), label=label)
        machine.native.send("pixel", value=image.ravel())
        machine.native.clock(cycles)
        assert_reset_leaves_nothing(golden, machine, image, label, logits)
    return len(tried)


def test_reset_in_any_cycle_of_an_image_then_reloaded(machine, digits) -> None:
    """A reload makes good what the image has changed."""
    images, labels = digits
    assert sweep_resets(machine, images[:1], labels[:1], RESET_STEP) > 150


def test_reset_in_any_cycle_of_an_access_then_reloaded(config, digits, machine) -> None:
    """Reads and writes of registers and of every memory, cut off; their replies are not taken in all cycles."""
    images, labels = digits
    golden, logits = trained_golden(config, images[:1], labels[:1])
    addresses = [address_of(space, offset) for space in range(Space.CROSSBAR.value + 8) for offset in (2, 0)]
    count = len(addresses)
    for cycles in range(1, 120):
        machine.restart()
        machine.native.stall({"reply": 0.3}, seed=cycles)
        for write in (1, 0):
            machine.native.send(
                "bus", write=np.full(count, write), address=np.array(addresses), data=np.zeros(count, int)
            )
        machine.native.clock(cycles)
        machine.native.stall(0.0)
        assert_reset_leaves_nothing(golden, machine, images[:1], labels[:1], logits)


def test_an_image_offered_meanwhile_is_held_off(config, digits, machine) -> None:
    """The second job and its pixels wait at the port while the first image runs; neither is lost nor mixed up."""
    images, labels = digits
    golden, logits = trained_golden(config, images[:2], labels[:2])
    native = machine.native
    for image, label in zip(images[:2], labels[:2], strict=True):
        native.send("job", train=np.ones(1, np.uint8), label=np.array([label]))
        native.send("pixel", value=image.ravel())
    beats = -(-config.classes // config.hardware.beat_lanes)
    native.run({"result": beats}, limit=machine.image_limit)
    assert (native.waiting("job"), native.waiting("pixel")) == (1, images[1].size)
    native.run({"result": 2 * beats}, limit=machine.image_limit)
    elements = native.receive("result")["elements"].reshape(2, -1)[:, : config.classes]
    assert np.array_equal(elements, logits)
    assert_equal(golden, machine)


def test_registers_count_and_none_is_left_unanswered(config, digits, machine) -> None:
    images, labels = digits
    logits = machine.train(images[:4], labels[:4])
    wrong = int((logits.argmax(axis=1) != labels[:4]).sum())
    numbers = [Register.LAST_LAYER, Register.LAST_PIXEL, Register.IMAGES, Register.ERRORS, Register.IDENTITY]
    addresses = [address_of(Space.REGISTERS.value, which.value) for which in numbers]
    unknown = [address_of(Space.REGISTERS.value, number) for number in (7, 100)]
    assert machine.read(np.array(addresses + unknown)).tolist() == [2, 35, 4, wrong, 0, 0, 0]


#: Cycles at most from the end of an image to the reply of the access that waits for it, and of one that need not wait.
ACCESS_CYCLES = 24


def assert_cycles_are_those_of_images(machine: RtlMachine, image: NDArray[np.uint8], label: NDArray[np.uint8]) -> None:
    """The register counts while an image is under way, and only then."""
    address = np.array([address_of(Space.REGISTERS.value, Register.CYCLES.value)])
    machine.write(BusWords(address, np.zeros(1, np.uint64)))
    busy = 0
    for train in (True, False):
        machine.native.clock(3000)
        begin = machine.native.cycles
        machine.run(image, label, train=train)
        counted = read_register(machine, Register.CYCLES) - busy
        elapsed = machine.native.cycles - begin
        assert elapsed - ACCESS_CYCLES <= counted <= elapsed
        busy += counted
        machine.native.clock(3000)
        assert read_register(machine, Register.CYCLES) == busy


def test_cycles_are_those_of_images(digits, machine) -> None:
    images, labels = digits
    assert read_register(machine, Register.CYCLES) == 0
    assert_cycles_are_those_of_images(machine, images[:1], labels[:1])
    machine.restart()
    assert [read_register(machine, which) for which in (Register.CYCLES, Register.IMAGES, Register.ERRORS)] == [0, 0, 0]


def test_a_wrong_weight_is_seen(config, digits, machine) -> None:
    """The comparison of these tests can fail: one LSB of one weight is enough."""
    images, labels = digits
    golden, _ = trained_golden(config, images[:1], labels[:1])
    state = machine.state()
    state["K1.weights"][1, 2] += 1
    machine.load(state)
    machine.train(images[:1], labels[:1])
    assert state_difference(NAMES, [golden.state(), machine.state()]) is not None


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("array.update.mode=exact", "update.mode = exact"),
        ("layers.K1.array.converters.adc_fraction_bits=5", "adc"),
    ],
)
def test_what_the_hardware_does_not_know_is_refused(assignment: str, message: str) -> None:
    with pytest.raises(MachineError) as caught:
        RtlMachine(load("tiny", [assignment]))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 2, 16, 32])
def test_lanes_change_no_bit(digits, lanes: int) -> None:
    config = load("tiny", [f"hardware.lanes={lanes}"])
    images, labels = digits
    golden, logits = trained_golden(config, images, labels)
    machine = RtlMachine(config)
    assert np.array_equal(machine.train(images, labels), logits)
    assert_equal(golden, machine)


@pytest.mark.slow
def test_a_thousand_images(config) -> None:
    dataset = load_dataset("digits", height=config.input.height, width=config.input.width, classes=config.classes)
    images, labels = dataset.train_images[:1000], dataset.train_labels[:1000]
    golden, logits = trained_golden(config, images, labels)
    machine = RtlMachine(config)
    assert np.array_equal(machine.train(images, labels), logits)
    assert_equal(golden, machine)
