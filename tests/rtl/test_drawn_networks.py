"""Drawn networks on shared hardware: one design, made for several networks, runs each of them with golden's bits.

What a network may choose by itself comes with its descriptors: kernels, channels, sizes, activations, bias lines, pooling,
replication, BL, modes, bounds, gains, devices. Formats belong to the hardware and are drawn once for all its networks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from emulator.compare import state_difference
from emulator.config import Config
from emulator.network.network import GoldenMachine
from hdl.network.network_parameters import NetworkParameters
from sim.machine import RtlMachine
from tests.engine.test_equality import random_images

LANES = (1, 3, 8, 16, 32)
NETWORKS = 8  # of each hardware: 40 in all
IMAGES = 3


@st.composite
def reads(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "noise": draw(st.sampled_from((0.0, 0.06, 0.5))),
        "bound": draw(st.sampled_from(("off", 12.0, 1.0, 0.3, 0.05))),
        "noise_management": draw(st.sampled_from(("none", "exact", "power_of_two", "constant"))),
        "constant_exponent": draw(st.integers(-4, 8)),
        "bound_management": draw(st.integers(0, 6)),
    }


@st.composite
def arrays(draw: st.DrawFn, formats: dict[str, Any]) -> dict[str, Any]:
    return {
        "replication": draw(st.sampled_from((1, 1, 2, 3, 5))),
        "forward": draw(reads()),
        "backward": draw(reads()),
        "update": {
            "desired_bl": draw(st.sampled_from((1, 2, 10, 31))),
            "management": draw(st.sampled_from(("none", "exact", "power_of_two"))),
            **formats["update"],
        },
        "converters": formats["converters"],
        "weight": {**formats["weight"], "initial_range": draw(st.sampled_from((1.0, 8.0)))},
        "device": {
            "dw_min": draw(st.sampled_from((0.001, 0.0005, 0.02))),
            "dw_min_std": draw(st.sampled_from((0.0, 0.3, 2.0))),
            "dw_min_dtod": draw(st.sampled_from((0.0, 0.3))),
            "up_down_dtod": draw(st.sampled_from((0.0, 0.02, 0.5))),
            "w_max": draw(st.sampled_from(("off", 0.6, 0.05))),
        },
    }


@st.composite
def networks(draw: st.DrawFn, formats: dict[str, Any], lanes: int) -> Config:
    """One to four arrays; most sizes are no multiples of lanes."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    layers: dict[str, Any] = {}
    rest = (height, width)
    kinds = st.sampled_from(("tanh", "identity"))
    for index in range(draw(st.integers(0, 2))):
        kernel = draw(st.integers(1, min(3, *rest)))
        layers[f"K{index}"] = {
            "type": "convolution",
            "kernel": kernel,
            "outputs": draw(st.integers(1, 9)),
            "bias": draw(st.booleans()),
            "activation": draw(kinds),
            "array": draw(arrays(formats)),
        }
        rest = (rest[0] - kernel + 1, rest[1] - kernel + 1)
        if min(rest) >= 2 and draw(st.booleans()):
            layers[f"P{index}"] = {"type": "max_pooling"}
            rest = (rest[0] // 2, rest[1] // 2)
    if draw(st.booleans()):
        layers["H"] = {
            "type": "fully_connected",
            "outputs": draw(st.sampled_from((1, 7, 20, 33))),
            "bias": draw(st.booleans()),
            "activation": draw(kinds),
            "array": draw(arrays(formats)),
        }
    layers["W"] = {
        "type": "fully_connected",
        "outputs": formats["classes"],
        "bias": draw(st.booleans()),
        "activation": "softmax",
        "array": draw(arrays(formats)),
    }
    tree = {
        "seed": draw(st.integers(0, 2**63 - 1)),
        "learning_rate": draw(st.sampled_from((0.01, 0.1))),
        "classes": formats["classes"],
        "input": {"height": height, "width": width},
        "formats": formats["formats"],
        "generator": formats["generator"],
        "hardware": {"lanes": lanes},
        "layers": layers,
    }
    return Config.model_validate(tree)


@st.composite
def hardwares(draw: st.DrawFn, lanes: int) -> list[Config]:
    """Networks of the same formats."""
    formats = {
        "classes": draw(st.integers(2, 12)),
        "formats": {
            "activation_bits": draw(st.sampled_from((12, 16))),
            "activation_fraction_bits": draw(st.integers(6, 10)),
            "error_bits": draw(st.integers(8, 16)),
        },
        "generator": {"width": draw(st.sampled_from((32, 48, 64)))},
        "update": {"probability_bits": draw(st.integers(8, 24))},
        "converters": {
            "dac_fraction_bits": draw(st.integers(4, 10)),
            "adc_fraction_bits": draw(st.integers(4, 9)),
        },
        "weight": {"bits": 18, "fraction_bits": 17},
    }
    return draw(st.lists(networks(formats, lanes), min_size=NETWORKS, max_size=NETWORKS))


@pytest.mark.slow
@pytest.mark.parametrize("lanes", LANES)
def test_drawn_networks_on_one_hardware(lanes: int) -> None:
    """One example of the drawn lists for each hardware; the first that Hypothesis makes is the simplest, so the second."""
    drawn: list[list[Config]] = []

    @settings(max_examples=2, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    @given(hardwares(lanes))
    def draw(configs: list[Config]) -> None:
        drawn.append(configs)

    draw()
    configs = drawn[-1]
    assert len(configs) == NETWORKS
    parameters = NetworkParameters.of_configs(configs)
    for number, config in enumerate(configs):
        images, labels = random_images(config, IMAGES, seed=number)
        golden = GoldenMachine(config)
        logits = golden.train(images, labels)
        machine = RtlMachine(config, parameters=parameters)
        assert np.array_equal(machine.train(images, labels), logits), config
        difference = state_difference(("golden", "rtl"), [golden.state(), machine.state()])
        assert difference is None, f"{difference}: {config}"
