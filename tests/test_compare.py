import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from emulator.compare import compare_machines, logits_difference, state_difference, weight_count
from emulator.config import Config
from emulator.errors import DivergenceError, MachineError
from emulator.machine import Machine
from tests.training.toy import ToyMachine, toy_config, toy_dataset

CONFIG = toy_config()
DATASET = toy_dataset(train=60)


def compare(build: Callable[[str, Config], Machine], names: tuple[str, ...] = ("golden", "fast")) -> str | None:
    return compare_machines(CONFIG, names, DATASET.train_images, DATASET.train_labels, build=build)


def faulty(fault: Callable[[ToyMachine], None], image: int, name: str = "fast") -> Callable[[str, Config], Machine]:
    """``fault`` strikes the machine of that name before its image of that number, counted over its life."""

    class Faulty(ToyMachine):
        def _train_image(self, image_pixels: Any, label: Any) -> Any:
            # Seen by the generator's words, as the machine may have been set back since.
            logits = super()._train_image(image_pixels, label)
            if np.array_equal(image_pixels, DATASET.train_images[image]):
                fault(self)
            return logits

    return lambda wanted, config: Faulty(config) if wanted == name else ToyMachine(config)


def build_toy(name: str, config: Config) -> Machine:
    return ToyMachine(config)


def test_equal_machines_are_equal() -> None:
    assert compare(build_toy) is None
    assert compare(build_toy, ("golden", "fast", "rtl", "golden")) is None


@pytest.mark.parametrize("image", [0, 24, 25, 33, 59])
def test_a_weight_is_named_with_place_and_both_values(image: int) -> None:
    def fault(machine: ToyMachine) -> None:
        machine.weights["W2"][3, 2] = 12345
        machine.weights["W2"][3, 4] = 999

    difference = compare(faulty(fault, image))
    assert difference is not None
    pattern = rf"first difference after image {image + 1}: layer W2, weights, row 3, column 2: golden (\d+), fast 12345"
    assert re.fullmatch(pattern, difference), difference


def test_the_third_machine_is_compared_too() -> None:
    def fault(machine: ToyMachine) -> None:
        machine.weights["K1"][1, 1] -= 1

    difference = compare(faulty(fault, 7, "rtl"), ("golden", "fast", "rtl"))
    assert difference == "first difference after image 8: layer K1, weights, row 1, column 1: golden 0, rtl -1"


def test_generator_states_count() -> None:
    def fault(machine: ToyMachine) -> None:
        machine.words[5] ^= np.uint64(1)

    difference = compare(faulty(fault, 50))
    assert difference is not None and difference.startswith("first difference after image 51: layer words")
    assert ", element 5: golden " in difference


def test_logits_count() -> None:
    class OtherLogits(ToyMachine):
        def train(self, images: Any, labels: Any) -> Any:
            logits = super().train(images, labels)
            for row, image in enumerate(images):
                if np.array_equal(image, DATASET.train_images[30]):
                    logits[row, 4] = -1
            return logits

    difference = compare(lambda name, config: OtherLogits(config) if name == "fast" else ToyMachine(config))
    assert difference is not None
    pattern = r"first difference after image 31: logits of image 31, element 4: golden \d+, fast -1"
    assert re.fullmatch(pattern, difference), difference


def test_a_difference_in_the_initial_state_is_told() -> None:
    def build(name: str, config: Config) -> Machine:
        machine = ToyMachine(config)
        machine.counters["K1"][0] = 3 if name == "fast" else 0
        return machine

    difference = compare(build)
    assert difference == "first difference before any image: layer K1, counters, element 0: golden 0, fast 3"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("K1.weights"), "layer K1, weights: only golden has it"),
        (lambda state: state.update({"K1.more": np.zeros(1)}), "layer K1, more: only fast has it"),
        (lambda state: state.update({"a.0.more": np.zeros(1)}), "layer a.0, more: only fast has it"),
        (
            lambda state: state.update({"K1.weights": state["K1.weights"].astype(float)}),
            "layer K1, weights: golden int32[3, 10], fast float64[3, 10]",
        ),
        (
            lambda state: state.update({"K1.weights": state["K1.weights"][:, 1:]}),
            "layer K1, weights: golden int32[3, 10], fast int32[3, 9]",
        ),
    ],
)
def test_states_of_other_make_are_a_difference(change: Callable[[Any], Any], said: str) -> None:
    class Other(ToyMachine):
        def state(self) -> Any:
            state = super().state()
            change(state)
            return state

    difference = compare(lambda name, config: Other(config) if name == "fast" else ToyMachine(config))
    assert difference == f"first difference before any image: {said}"


def test_a_machine_whose_bits_depend_on_the_cutting_of_calls_is_told() -> None:
    class Cut(ToyMachine):
        def train(self, images: Any, labels: Any) -> Any:
            logits = super().train(images, labels)
            self.weights["K1"][0, 0] += len(images) > 1
            return logits

    difference = compare(lambda name, config: Cut(config) if name == "fast" else ToyMachine(config))
    assert difference is not None
    assert difference.startswith("first difference in images 1 to 25, only when trained in one call: layer K1")


@pytest.mark.parametrize("names", [(), ("golden",)])
def test_fewer_than_two_machines_are_an_error(names: tuple[str, ...]) -> None:
    with pytest.raises(MachineError, match="two or more"):
        compare(build_toy, names)


def test_weights_are_counted_with_replicas() -> None:
    assert weight_count(CONFIG) == 3 * 10 + 5 * 13 + 10 * 6
    assert weight_count(toy_config("layers.K1.array.replication=3")) == 3 * 30 + 5 * 13 + 10 * 6


def test_what_is_not_a_number_in_both_is_equal() -> None:
    one, other = np.array([[1.0, np.nan], [np.nan, 2.0]]), np.array([[1.0, np.nan], [np.nan, 2.0]])
    assert state_difference(("a", "b"), [{"K1.weights": one}, {"K1.weights": other}]) is None
    assert logits_difference(("a", "b"), [one, other], 0) is None  # type: ignore[list-item]
    other[1, 0] = 3.0
    said = "layer K1, weights, row 1, column 0: a nan, b 3.0"
    assert state_difference(("a", "b"), [{"K1.weights": one}, {"K1.weights": other}]) == said
    assert logits_difference(("a", "b"), [one, other], 4) == "logits of image 6, element 0: a nan, b 3.0"  # type: ignore[list-item]


def test_weights_that_are_no_longer_finite_are_told_with_the_image() -> None:
    class Diverging(ToyMachine):
        def train(self, images: Any, labels: Any) -> Any:
            if self.trained + len(images) > 30:
                raise DivergenceError("W2", 30 - self.trained, 0.5)
            return super().train(images, labels)

    with pytest.raises(MachineError, match=r"W2: weights are no longer finite after image 31: learning_rate = 0\.5"):
        compare(lambda name, config: Diverging(config))
