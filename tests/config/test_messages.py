"""Messages: the path as a user writes it, whatever a layer is called; values cut; nothing suggested that was just refused."""

from __future__ import annotations

import pytest

from emulator.config import load
from emulator.config.messages import MOST_SHOWN, shown, toml_key, toml_path
from emulator.errors import ConfigError


def refusal(*assignments: str, source: str = "tiny") -> str:
    with pytest.raises(ConfigError) as refused:
        load(source, assignments)
    return str(refused.value)


@pytest.mark.parametrize(
    "name", ["convolution", "max_pooling", "array", "device", "float", "int", "constant_step", "type", "layers", "literal['off']"]
)  # fmt: skip
def test_a_layer_may_be_called_as_parts_of_the_schema(name: str) -> None:
    place = f"layers.{toml_key(name)}"
    layer = [f"{place}={{type='fully_connected', outputs=10}}"]
    assert refusal(*layer, f"{place}.outputs=true").startswith(
        f"{place}.outputs = true: accepted: integer >= 1, <= 4096"
    )
    assert refusal(*layer, f"{place}.array.replication=0").startswith(
        f"{place}.array.replication = 0: accepted: integer"
    )
    assert refusal(*layer, f"{place}.array.forward.bound=[]").startswith(
        f"{place}.array.forward.bound = []: accepted: number > 0, <= 1024 or off"
    )
    assert refusal(*layer, f"{place}.array.device.dw_min=2").startswith(
        f"{place}.array.device.dw_min = 2: accepted: number"
    )
    assert refusal(*layer) == "layers.W3.activation = softmax: accepted: tanh, identity, but on the last layer"
    assert (
        refusal("layers.W3.activation=tanh", *layer)
        == f"{place}.activation = tanh: accepted: softmax, on the last layer"
    )


@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        ("layers.P1.kernel=3", "layers.P1.kernel: unknown field; accepted: type"),
        ("layers.W2.kernel=3", "layers.W2.kernel: unknown field; accepted: type, outputs, bias, activation, array"),
        ("layers.P1.array.replication=3", "layers.P1.array: unknown field; accepted: type"),
        ("sed=3", "sed: unknown field; accepted: name, description, seed, learning_rate, classes, input, formats, generator, hardware, layers"),
        ("array.device.w_maxx=3", "array.device.w_maxx: unknown field; accepted: model, dw_min, dw_min_std, dw_min_dtod, up_down_dtod, w_max, w_max_dtod"),
        ("layers.K1.type=conv", "layers.K1.type = 'conv': accepted: convolution, max_pooling, fully_connected"),
        ("layers.K1.type=true", "layers.K1.type = true: accepted: convolution, max_pooling, fully_connected"),
        ("layers.K9.outputs=3", "layers.K9.type: missing; accepted: convolution, max_pooling, fully_connected, or a layer that there is: K1, P1, W2, W3"),
        ("layers.K1.activation=softmax", "layers.K1.activation = 'softmax': accepted: tanh, identity (of every output)"),
        ("layers.K1={type='convolution', outputs=3}", "layers.K1.kernel: missing; accepted: integer >= 1, <= 15 (k, pixels)"),
        ("layers.K1=5", "layers.K1 = 5: accepted: a table with type, kernel, outputs, bias, activation, array"),
        ("layers=5", "layers = 5: accepted: a table (the network, in order: convolution, max_pooling, fully_connected)"),
        ("array=5", "array = 5: accepted: a table with replication, forward, backward, update, converters, weight, device"),
        ("array.forward=5", "array.forward = 5: accepted: a table with noise, bound, noise_management, constant_exponent, bound_management"),
        ("layers.K1.array=5", "layers.K1.array = 5: accepted: a table with replication, forward, backward, update, converters, weight, device"),
        ("hardware.port_lanes=3", "hardware.port_lanes = 3: accepted: auto, 1, 2, 4, 8 (elements a beat of the tile's streams; a divisor of lanes; auto: at most 4)"),
    ],
)  # fmt: skip
def test_lines(assignment: str, line: str) -> None:
    assert refusal(assignment) == line


def test_names_in_paths_are_quoted_where_toml_needs_it() -> None:
    assert toml_path(["layers", "K_1-a", "outputs"]) == "layers.K_1-a.outputs"
    assert toml_path(["layers", "features.0"]) == 'layers."features.0"'
    assert toml_key('a "b" é\U0001f600') == '"a \\"b\\" é\U0001f600"'
    assert len(toml_path(["x" * 5000])) < 2 * MOST_SHOWN


def test_values_are_short() -> None:
    assert (shown(True), shown("a"), shown(0.5)) == ("true", "'a'", "0.5")
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (10**5000, "x" * 5000, [1] * 5000, [10**5000], deep):
        assert len(shown(value)) <= MOST_SHOWN + len("...")
