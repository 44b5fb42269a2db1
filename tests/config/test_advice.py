"""Configs far outside of what trains are told so in one line, by `show` and at the start of `train`; others are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.cli import main
from emulator.config import load
from emulator.config.advice import advice
from emulator.errors import ConfigError

#: What is said, by the assignments that ask for it.
TROUBLE = {
    "coarse weights": (["array.weight.bits=8", "array.weight.fraction_bits=7"], "0.13 LSB of the weight"),
    "narrow words": (["array.weight.bits=8"], "the weight word ends at +-0.000969"),
    "no management": (
        [
            "array.backward.noise_management=none",
            "array.forward.bound_management=0",
            "array.backward.bound_management=0",
            "array.update.management=none",
        ],
        "noise in backward reads and no management at all",
    ),
}


@pytest.mark.parametrize("name", ("lenet", "lenet-bl1-um", "lenet-nm-bm", "lenet-fp", "perfect", "tiny", "smallest"))
def test_says_nothing_of_configs_that_train(name: str) -> None:
    assert advice(load(name)) == []


@pytest.mark.parametrize("trouble", TROUBLE)
def test_names_layers_and_values(trouble: str) -> None:
    assignments, said = TROUBLE[trouble]
    (line,) = advice(load("lenet-bl1-um", assignments))
    assert line.startswith("layers.") and "W4" in line and said in line and "\n" not in line


def test_names_only_the_layers_concerned() -> None:
    config = load("lenet-bl1-um", ["layers.K2.array.weight.fraction_bits=9", "layers.K2.array.device.dw_min=0.0005"])
    (line,) = advice(config)
    assert line.startswith("layers.K2: dw_min = 0.0005 is 0.26 LSB")


def test_show_and_train_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coarse = ["--config", "tiny", *(f"--set={assignment}" for assignment in TROUBLE["coarse weights"][0])]
    assert main(["show", *coarse]) == 0
    assert capsys.readouterr().out.count("\n# warning: layers.K1, W2, W3: dw_min = 0.001 is 0.13 LSB") == 1
    limits = ["--epochs", "1", "--train-limit", "2", "--test-limit", "2", "--quiet"]
    assert main(["train", *coarse, *limits, "--out", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().err.count("warning: layers.K1, W2, W3: dw_min") == 1


@pytest.mark.parametrize("bits", (8, 3))
def test_a_step_that_rounds_to_nothing_is_refused(bits: int) -> None:
    """With the value that would do, which then is taken."""
    coarse = ["array.weight.rounding=nearest", f"array.weight.fraction_bits={bits}"]
    with pytest.raises(ConfigError, match="no coincidence moves a weight: accepted: at least") as refused:
        load("tiny", coarse)
    assert "layers.K1.array.device.dw_min = 0.001" in str(refused.value)
    least = str(refused.value).partition("at least ")[2].split()[0]
    load("tiny", [*coarse, f"array.device.dw_min={least}"])
    load("tiny", [*coarse, "array.weight.rounding=stochastic"])
