"""Machine `rtl`: the whole network in logic, Verilated, returns the golden model's bits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from emulator.compare import state_difference
from emulator.config import Config, load
from emulator.errors import MachineError
from emulator.machine import build_machine
from emulator.network.network import GoldenMachine
from emulator.training.datasets import load_dataset
from hdl.network.host import Register, Space, address_of
from hdl.network.network_parameters import NetworkParameters
from sim.machine import RtlMachine

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
    machine.restart()
    assert np.array_equal(machine.train(images[:2], labels[:2]), logits[:2])


def test_a_network_of_one_array_is_golden() -> None:
    """One that never reads backward."""
    config = load("smallest")
    dataset = load_dataset("digits", height=config.input.height, width=config.input.width, classes=config.classes)
    images, labels = dataset.train_images[:IMAGES], dataset.train_labels[:IMAGES]
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


def test_state_is_loaded_and_gone_on_with(config, digits) -> None:
    images, labels = digits
    golden, _ = trained_golden(config, images[:7], labels[:7])
    machine = RtlMachine(config)
    machine.train(images[:3], labels[:3])
    machine.load(golden.state())
    assert np.array_equal(machine.train(images[7:12], labels[7:12]), golden.train(images[7:12], labels[7:12]))
    assert_equal(golden, machine)


def test_stalls_on_all_streams_change_nothing(config, digits) -> None:
    images, labels = digits
    golden, logits = trained_golden(config, images[:5], labels[:5])
    machine = RtlMachine(config)
    machine.native.stall(0.5, seed=3)
    assert np.array_equal(machine.train(images[:5], labels[:5]), logits)
    assert_equal(golden, machine)


@pytest.mark.parametrize("cycles", [1, 40, 400, 900, 1500])
def test_reset_in_mid_image_then_reloaded(config, digits, cycles: int) -> None:
    """The image is cut off in loading, in its forward cycle, on the way back; a reload makes good what it changed."""
    images, labels = digits
    golden, logits = trained_golden(config, images[:3], labels[:3])
    machine = RtlMachine(config)
    machine.native.send("job", train=np.ones(1, np.uint8), label=labels[:1])
    machine.native.send("pixel", value=images[0].ravel())
    machine.native.clock(cycles)
    machine.restart()
    assert np.array_equal(machine.train(images[:3], labels[:3]), logits)
    assert_equal(golden, machine)


def test_an_image_offered_meanwhile_is_held_off(config, digits) -> None:
    """The second job and its pixels wait at the port while the first image runs; neither is lost nor mixed up."""
    images, labels = digits
    golden, logits = trained_golden(config, images[:2], labels[:2])
    machine = RtlMachine(config)
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


def test_registers_count_and_none_is_left_unanswered(config, digits) -> None:
    images, labels = digits
    machine = RtlMachine(config)
    logits = machine.train(images[:4], labels[:4])
    wrong = int((logits.argmax(axis=1) != labels[:4]).sum())
    numbers = [Register.LAST_LAYER, Register.LAST_PIXEL, Register.IMAGES, Register.ERRORS, Register.IDENTITY]
    addresses = [address_of(Space.REGISTERS.value, which.value) for which in numbers]
    unknown = [address_of(Space.REGISTERS.value, number) for number in (7, 100)]
    assert machine.read(np.array(addresses + unknown)).tolist() == [2, 35, 4, wrong, 0, 0, 0]


def test_a_wrong_weight_is_seen(config, digits) -> None:
    """The comparison of these tests can fail: one LSB of one weight is enough."""
    images, labels = digits
    golden, _ = trained_golden(config, images[:1], labels[:1])
    machine = RtlMachine(config)
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
