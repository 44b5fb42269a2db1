"""Drawn networks on shared hardware: one design, made for several networks, runs each of them with golden's bits.

What a network may choose by itself comes with its descriptors: kernels, channels, sizes, activations, bias lines, pooling,
replication, BL, modes, bounds, gains, devices. Formats belong to the hardware and are drawn once for all its networks.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from emulator.compare import state_difference
from emulator.config import Config
from emulator.network.network import GoldenMachine
from hdl.network.descriptor import output_beats
from hdl.network.network_parameters import NetworkParameters
from sim.machine import RtlMachine
from tests.engine.test_equality import random_images

#: `hardware.lanes`, `hardware.port_lanes` and `generator.width` of each hardware.
HARDWARES: tuple[tuple[int, int | str, int], ...] = (
    (1, "auto", 64),
    (3, "auto", 32),
    (8, 8, 48),
    (16, 2, 64),
    (32, "auto", 64),
)
NETWORKS = 8  # of each hardware: 40 in all; and of each those with the pooled rows and columns of UNEVEN
UNEVEN = ((3, 2), (2, 5), (5, 3))
#: Outputs of a layer that take more beats than a pooled volume of at most 2 pixels, whatever the lanes.
WIDER_THAN_POOLED = 70
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
            "desired_bl": draw(st.sampled_from((1, 2, 10, 31)) | st.integers(1, 31)),
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
def networks(draw: st.DrawFn, formats: dict[str, Any], hardware: dict[str, Any]) -> Config:
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
    return draw(around(formats, hardware, height, width, layers))


@st.composite
def uneven_networks(
    draw: st.DrawFn, formats: dict[str, Any], hardware: dict[str, Any], rows: int, columns: int
) -> Config:
    """So many rows and columns of positions are pooled, and a larger volume of errors has been where they end."""
    kernel = draw(st.integers(1, 3))
    kinds = st.sampled_from(("tanh", "identity"))
    layers: dict[str, Any] = {
        "K0": {
            "type": "convolution",
            "kernel": kernel,
            "outputs": draw(st.integers(1, 3)),
            "bias": draw(st.booleans()),
            "activation": draw(kinds),
            "array": draw(arrays(formats)),
        },
        "P0": {"type": "max_pooling"},
        "H": {
            "type": "fully_connected",
            "outputs": WIDER_THAN_POOLED,
            "bias": draw(st.booleans()),
            "activation": draw(kinds),
            "array": draw(arrays(formats)),
        },
    }
    return draw(around(formats, hardware, rows + kernel - 1, columns + kernel - 1, layers))


@st.composite
def around(
    draw: st.DrawFn, formats: dict[str, Any], hardware: dict[str, Any], height: int, width: int, layers: dict[str, Any]
) -> Config:
    """A network of these layers and a last one."""
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
        "hardware": hardware,
        "layers": layers,
    }
    return Config.model_validate(tree)


@st.composite
def networks_of_one_hardware(draw: st.DrawFn, hardware: dict[str, Any], generator_width: int) -> list[Config]:
    """Networks of the same formats."""
    formats = {
        "classes": draw(st.integers(2, 12)),
        "formats": {
            "activation_bits": draw(st.sampled_from((12, 16))),
            "activation_fraction_bits": draw(st.integers(6, 10)),
            "error_bits": draw(st.integers(8, 16)),
        },
        "generator": {"width": generator_width},
        "update": {"probability_bits": draw(st.integers(8, 24))},
        "converters": {
            "dac_fraction_bits": draw(st.integers(4, 10)),
            "adc_fraction_bits": draw(st.integers(4, 9)),
        },
        "weight": {"bits": 18, "fraction_bits": 17},
    }
    any_networks = draw(st.lists(networks(formats, hardware), min_size=NETWORKS, max_size=NETWORKS))
    return any_networks + [draw(uneven_networks(formats, hardware, *sizes)) for sizes in UNEVEN]


@cache
def drawn(lanes: int, port_lanes: int | str, generator_width: int) -> tuple[Config, ...]:
    """The networks of a hardware. The first example that Hypothesis makes is the simplest, so the second."""
    examples: list[list[Config]] = []

    @seed(lanes)
    @settings(max_examples=2, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    @given(networks_of_one_hardware({"lanes": lanes, "port_lanes": port_lanes}, generator_width))
    def draw(configs: list[Config]) -> None:
        examples.append(configs)

    draw()
    return tuple(examples[-1])


def test_the_networks_differ_in_all_that_a_descriptor_says() -> None:
    """What the runs of this file are said to cover, they do: nothing is left out by the way of the dice."""
    configs = [config for hardware in HARDWARES for config in drawn(*hardware)]
    stages = [stage for config in configs for stage in config.stages]
    reads = [read for stage in stages for read in (stage.array.forward, stage.array.backward)]
    updates = [stage.array.update for stage in stages]
    modes = {"none", "exact", "power_of_two"}
    assert len({config.digest for config in configs}) == len(HARDWARES) * (NETWORKS + len(UNEVEN))
    assert {len(config.stages) for config in configs} == {1, 2, 3, 4}
    assert {stage.kernel for stage in stages if stage.convolutional} == {1, 2, 3}
    assert len({stage.channels for stage in stages if stage.convolutional}) > 4
    assert {stage.pooled for stage in stages if stage.convolutional} == {True, False}
    assert {stage.layer.bias for stage in stages} == {True, False}
    assert {stage.layer.activation for stage in stages} == {"tanh", "identity", "softmax"}
    assert {stage.array.replication for stage in stages} == {1, 2, 3, 5}
    for side in ("forward", "backward"):
        assert {getattr(stage.array, side).noise_management for stage in stages} == modes | {"constant"}
    assert {read.bound_management for read in reads} == set(range(7))
    assert {update.management for update in updates} == modes
    assert {1, 31} < {update.desired_bl for update in updates} and len({each.desired_bl for each in updates}) > 10
    for hardware in HARDWARES:
        # Lines that do not fill their last beat, nor the last column of devices.
        lanes = drawn(*hardware)[0].hardware.beat_lanes
        uneven = [stage for config in drawn(*hardware) for stage in config.stages if stage.rows % lanes]
        assert lanes == 1 or len([stage for stage in uneven if stage.columns % lanes]) > 2
        # Odd rows and odd columns in front of pooling, and behind the volume the errors of a layer that was before.
        odd = {
            (stage.output_height % 2, stage.output_width % 2)
            for config in drawn(*hardware)
            for stage, after in pairwise(config.stages)
            if stage.pooled and output_beats(after, lanes) > output_beats(stage, lanes)
        }
        assert {(1, 0), (0, 1), (1, 1)} <= odd


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("hardware", HARDWARES, ids=lambda hardware: f"{hardware[0]}-lanes")
def test_drawn_networks_on_one_hardware(hardware: tuple[int, int | str, int]) -> None:
    configs = drawn(*hardware)
    parameters = NetworkParameters.of_configs(configs)
    for number, config in enumerate(configs):
        images, labels = random_images(config, IMAGES, seed=number)
        golden = GoldenMachine(config)
        logits = golden.train(images, labels)
        machine = RtlMachine(config, parameters=parameters)
        assert np.array_equal(machine.train(images, labels), logits), config
        difference = state_difference(("golden", "rtl"), [golden.state(), machine.state()])
        assert difference is None, f"{difference}: {config}"
