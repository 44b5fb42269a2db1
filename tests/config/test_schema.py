"""The schema: every field refuses values of another type, equal values have equal digests, names and numbers are bounded."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from emulator.array.devices import DEVICE_MODELS
from emulator.config import Config, load, preset_names
from emulator.config.schema import (
    MOST_LAYERS,
    MOST_NAME,
    Array,
    Convolution,
    FullyConnected,
    Generator,
    Hardware,
    MaxPooling,
    Read,
)
from emulator.errors import ConfigError
from emulator.frozen import Frozen

#: Values that Python or pydantic takes for one of the type, and that are none.
OTHERS: dict[type, tuple[object, ...]] = {
    int: (True, False, 1.0, 10.0, "1", "10"),
    float: (True, False, "0.02", "1"),
    bool: (1, 0, 1.0, "off", "no", "true", "false"),
    str: (True, 5, 1.5, b"text"),
}
MODELS = [Config, Array, Convolution, MaxPooling, FullyConnected, *DEVICE_MODELS.values()]


def kinds(annotation: Any) -> set[type]:
    """The types of the values of a field."""
    if annotation in OTHERS:
        return {annotation}
    if typing.get_origin(annotation) is typing.Literal:
        return {type(choice) for choice in typing.get_args(annotation)}
    return set().union(*(kinds(member) for member in typing.get_args(annotation)))


def impostors(model: type[BaseModel]) -> Iterator[tuple[type[BaseModel], str, object]]:
    """Fields of a model and of those in it, each with values that it must not take."""
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from impostors(annotation)
            continue
        own = kinds(annotation)
        for kind in own:
            for value in OTHERS[kind]:
                if type(value) not in own and not (float in own and type(value) is int):
                    yield model, name, value


CASES = list(dict.fromkeys(case for model in MODELS for case in impostors(model)))


def test_cases_reach_every_model() -> None:
    assert {model.__name__ for model, _, _ in CASES} >= {
        "Config",
        "Read",
        "Update",
        "Weight",
        "Hardware",
        "ConstantStep",
    }


@pytest.mark.parametrize("model", sorted({case[0] for case in CASES}, key=lambda model: model.__name__))
def test_no_field_takes_a_value_of_another_type(model: type[BaseModel]) -> None:
    for owner, name, value in CASES:
        if owner is model:
            with pytest.raises(ValidationError) as refusal:
                model.model_validate({name: value})
            places = [error["loc"][0] for error in refusal.value.errors()]
            assert name in places, f"{model.__name__}.{name} takes {value!r}"


@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        ("seed=true", "seed = true: accepted: integer >= 0, <= 9223372036854775807 (every random source derives from it)"),
        ("seed='7'", "seed = '7': accepted: integer >= 0, <= 9223372036854775807 (every random source derives from it)"),
        ("learning_rate='0.02'", "learning_rate = '0.02': accepted: number > 0, <= 1 (eta)"),
        ("learning_rate=nan", "learning_rate = nan: accepted: number > 0, <= 1 (eta)"),
        (
            "array.replication=true",
            "array.replication = true: accepted: integer >= 1, <= 64 (devices per weight, along the array's short side)",
        ),
        (
            "array.forward.bound=true",
            "array.forward.bound = true: accepted: number > 0, <= 1024 or off (output bound alpha, in units of the output, or off)",
        ),
        (
            "array.forward.bound_management=true",
            "array.forward.bound_management = true: accepted: integer >= 0, <= 12 (most halvings of the input when an output saturates)",
        ),
        (
            "array.device.w_max=true",
            "array.device.w_max = true: accepted: number > 0, <= 8 or off (mean weight bound, each side, or off (the range of the word))",
        ),
        ("array.update.desired_bl=1.0", "array.update.desired_bl = 1.0: accepted: integer >= 1, <= 63 (BL, slots of a pulse train)"),
        ("layers.K1.bias=off", "layers.K1.bias = 'off': accepted: true, false (an input line held at 1)"),
        ("layers.K1.bias=0", "layers.K1.bias = 0: accepted: true, false (an input line held at 1)"),
        ("generator.width=64.0", "generator.width = 64.0: accepted: 32, 48, 64 (state bits)"),
        ("name=5", "name = 5: accepted: text (what reports call it: printable characters)"),
    ],
)  # fmt: skip
def test_the_message_has_the_words_of_the_documentation(assignment: str, line: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load("tiny", [assignment])
    assert str(refusal.value) == line
    documented = line.partition("accepted: ")[2].partition(" (")[0]
    assert f"| {documented} |" in (Path(__file__).parents[2] / "docs/configuration.md").read_text(encoding="utf-8")


def test_an_integer_is_a_number() -> None:
    assert load("tiny", ["learning_rate=1", "array.forward.bound=12"]).learning_rate == 1.0
    assert Read(noise=0) == Read(noise=0.0)


@pytest.mark.parametrize("value", [True, 1.0])
def test_a_choice_of_integers_is_no_comparison(value: object) -> None:
    """Python has ``True == 1 == 1.0``."""
    with pytest.raises(ValidationError):
        Hardware(port_lanes=value)  # type: ignore[arg-type]
    assert Hardware(port_lanes=1).port_lanes == 1
    with pytest.raises(ValidationError):
        Generator(width=32.0)  # type: ignore[arg-type]


def test_minus_zero_is_zero() -> None:
    paths = [
        "array.forward.noise", "array.backward.noise", "array.weight.initial_range", "array.device.dw_min_std",
        "array.device.up_down_dtod", "array.device.dw_min_dtod", "array.device.w_max_dtod",
    ]  # fmt: skip
    for path in paths:
        plus, minus = load("tiny", [f"{path}=0.0"]), load("tiny", [f"{path}=-0.0"])
        assert minus.digest == plus.digest != load("tiny").digest, path


def test_every_model_of_a_config_is_strict() -> None:
    for model in MODELS:
        assert issubclass(model, Frozen)
        for field in model.model_fields.values():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                assert issubclass(field.annotation, Frozen)


@pytest.mark.parametrize("name", preset_names())
def test_a_config_survives_its_own_dump(name: str) -> None:
    config = load(name)
    assert Config.model_validate(config.model_dump()).digest == config.digest


def network(names: list[str]) -> dict[str, Any]:
    """Layers of these names; the last one is a network's last."""
    hidden: dict[str, Any] = {name: {"type": "fully_connected", "outputs": 2} for name in names[:-1]}
    last = {"type": "fully_connected", "outputs": 2, "activation": "softmax"}
    return {"classes": 2, "input": {"height": 1, "width": 1}, "layers": {**hidden, names[-1]: last}}


@pytest.mark.parametrize("name", ["K1", "features.0", 'a "b"', "Schicht é", "convolution", "层", "x" * MOST_NAME])
def test_names_of_layers(name: str) -> None:
    assert [stage.name for stage in Config.model_validate(network([name])).stages] == [name]


@pytest.mark.parametrize("name", ["", "a\nb", "a\0b", "\x1b[2J", "\x7f", "\udce9", "x" * (MOST_NAME + 1), "\u202e"])
def test_names_of_layers_that_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=rf"layers: name .*: accepted: 1 \.\. {MOST_NAME} characters"):
        Config.model_validate(network([name]))


def test_numbers_of_layers() -> None:
    names = [f"W{number}" for number in range(MOST_LAYERS)]
    assert len(Config.model_validate(network(names)).stages) == MOST_LAYERS
    for number, wrong in ((MOST_LAYERS + 1, network([*names, "one"])), (0, {**network(["W"]), "layers": {}})):
        with pytest.raises(ValidationError, match=rf"layers: {number} of them: accepted: 1 \.\. {MOST_LAYERS}"):
            Config.model_validate(wrong)


@pytest.mark.parametrize(("field", "value"), [("name", "a\nb"), ("name", "\udce9"), ("description", "\udce9")])
def test_texts_that_cannot_be_written(field: str, value: str) -> None:
    with pytest.raises(ValidationError, match=f"{field} = .*: accepted: "):
        Config.model_validate({**network(["W"]), field: value})


def test_what_follows_softmax_is_not_suggested_where_it_is_refused() -> None:
    """A convolution as the last layer cannot have softmax: its type is the fault."""
    with pytest.raises(ConfigError) as refusal:
        load("tiny", ["layers={K={type='convolution', kernel=3, outputs=10}}"])
    assert str(refusal.value) == "layers.K.type = convolution: accepted: fully_connected as the last layer"
