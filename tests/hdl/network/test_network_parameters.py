"""What a network's hardware refuses of a config: one line with layer and value, of the config's own words."""

from __future__ import annotations

import re

import pytest

from emulator.config import load, preset_names
from hdl.network.network_parameters import NetworkParameters

DEEP = [
    *(f"layers.X{number}={{type='fully_connected', outputs=4}}" for number in range(70)),
    "layers.W3.activation=tanh",
    "layers.Y={type='fully_connected', outputs=10, activation='softmax'}",
]


@pytest.mark.parametrize(
    ("assignments", "line"),
    [
        (["layers.W2.array.weight.bits=12"], "layers.W2.array.weight.bits = 12: accepted: 18, as layer K1, on hardware"),
        (
            ["layers.W2.array.weight.fraction_bits=16"],
            "layers.W2.array: weight.fraction_bits + converters.dac_fraction_bits - converters.adc_fraction_bits = 18: "
            "accepted: 19, as layer K1, on hardware",
        ),
        (
            ["layers.W2.array.converters.dac_fraction_bits=off"],
            "layers.W2.array.converters.dac_fraction_bits = off: accepted: 9, as layer K1, on hardware",
        ),
        (
            ["layers.W3.array.update.probability_bits=9"],
            "layers.W3.array.update.probability_bits = 9: accepted: 24, as layer K1, on hardware",
        ),
        (["layers.W3.array.update.mode=exact"], "layers.W3.array.update.mode = exact: accepted: pulsed, on hardware"),
        (
            ["learning_rate=1e-60"],
            "layers.K1.array: learning_rate = 1e-60 with update.desired_bl = 1 and device.dw_min = 0.001: "
            "power shift = 205: gives shifts of ",
        ),
        (["layers.W2.outputs=4096"], "layers.W3: channels = 4096: accepted: integer >= 1, <= 1024 ("),
        (DEEP, "layers = 74: accepted: integer >= 1, <= 64 ("),
    ],
)  # fmt: skip
def test_refusals_name_layer_and_value(assignments: list[str], line: str) -> None:
    with pytest.raises(ValueError) as refusal:
        NetworkParameters.of_config(load("tiny", assignments))
    assert str(refusal.value).startswith(line)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("number", [2, 4])
@pytest.mark.parametrize("name", [name for name in preset_names() if name != "lenet-fp"])
def test_shared_generators_are_refused_by_layer_value_and_machines(name: str, number: int) -> None:
    config = load(name, [f"array.update.generator_sharing={number}"])
    first = config.stages[0].name
    with pytest.raises(ValueError) as refusal:
        NetworkParameters.of_config(config)
    assert str(refusal.value) == (
        f"layers.{first}.array.update.generator_sharing = {number}: accepted: 1 on hardware, where lines that share a "
        "generator lie in one beat; machines golden and fast run it"
    )


def test_a_layer_with_dots_in_its_name_is_named_as_set_takes_it() -> None:
    layer = ['layers."a.b"={type="fully_connected", outputs=10, activation="softmax"}', "layers.W3.activation=tanh"]
    place = 'layers."a.b".array.update.generator_sharing'
    with pytest.raises(ValueError, match=f"^{re.escape(place)} = 2: accepted: 1 on hardware"):
        NetworkParameters.of_config(load("tiny", [*layer, f"{place}=2"]))
