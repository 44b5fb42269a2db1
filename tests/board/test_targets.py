"""Boards: what is set of a config's hardware on each, and that what a user sets wins."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from board import cli
from board.cli import main
from board.targets import TARGETS, Target
from emulator.cli import main as emulator_main
from emulator.config import Config, Hardware
from emulator.errors import ConfigError

EVERY_TARGET = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
ULX3S, ICEBREAKER, COLORLIGHT = TARGETS.values()


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(hardware: str, base: str = "tiny") -> str:
    """A config file whose hardware is this table."""
    Path("own.toml").write_text(f'base = "{base}"\n[hardware]\n{hardware}\n')
    return "own.toml"


@EVERY_TARGET
def test_a_config_that_needs_less_than_a_board_has_is_left_as_it_is(target: Target) -> None:
    assert target.load("smallest").hardware == Hardware(lanes=1, compact=True)
    assert target.notes("smallest") == []


@pytest.mark.parametrize(("target", "lanes"), [(ULX3S, 4), (ICEBREAKER, 1), (COLORLIGHT, 2)])
def test_a_board_sets_what_a_config_leaves_open_or_has_no_room_for(target: Target, lanes: int) -> None:
    for config in (None, "lenet-board", "tiny", "small"):
        hardware = target.load(config).hardware
        assert (hardware.lanes, hardware.compact) == (lanes, target is ICEBREAKER)
    note = f"board {target.name!r}: hardware.lanes={lanes}, not 8 as config 'small' has it; --set hardware.lanes=8 keeps it"
    assert target.notes("small") == [note]
    assert target.notes("lenet-board") == []


def test_a_config_s_own_lanes_count() -> None:
    assert ULX3S.load(written("lanes = 2")).hardware.lanes == 2
    assert ULX3S.load(written("lanes = 4")).hardware.lanes == 4
    assert ULX3S.load(written("lanes = 16")).hardware.lanes == 4
    assert ICEBREAKER.load(written("compact = false")).hardware.compact
    assert len(ICEBREAKER.notes(written("lanes = 2\ncompact = false"))) == 2


@EVERY_TARGET
def test_what_a_user_sets_wins(target: Target) -> None:
    for assignment in ("hardware.lanes=16", 'hardware . "lanes" = 16'):
        chosen = (assignment, "hardware.compact=false")
        assert target.load("small", chosen).hardware.lanes == 16
        assert target.notes("small", chosen) == []


@pytest.mark.parametrize("wrong", ['lanes = "4"', "lanes = true", "lanes = 2.0", "lanes = 0", "lanes = [4]"])
def test_a_board_does_not_hide_a_wrong_value(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"^hardware\.lanes = .*: accepted: integer >= 1, <= 64"):
        ULX3S.load(written(wrong))


def test_a_refusal_names_the_board_that_is_its_cause() -> None:
    with pytest.raises(ConfigError) as refusal:
        ULX3S.load("lenet-board", ["hardware.compact=true"])
    line = "hardware.compact: accepted: with lanes = 1, not 4; board 'ulx3s-85f' sets hardware.lanes=4, over which --set wins"
    assert str(refusal.value) == line
    for assignments in (["seed=true"], ["hardware.lanes=65"]):
        with pytest.raises(ConfigError) as refusal:
            ULX3S.load("lenet-board", assignments)
        assert "board" not in str(refusal.value)


def test_commands_load_a_config_as_its_board_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Config] = []

    def simulated(config: Config, target: object) -> None:
        seen.append(config)
        raise ConfigError("enough")

    monkeypatch.setattr(cli, "_simulated", simulated)
    for command in ("simulate", "bench"):
        assert main([command, "--config", "smallest"]) == 2
        assert main([command, "--config", "small"]) == 2
        assert main([command, "--config", "small", "--set", "hardware.lanes=8"]) == 2
    assert [config.hardware.lanes for config in seen] == [1, 4, 8] * 2
    assert capsys.readouterr().err.count("board 'ulx3s-85f': hardware.lanes=4, not 8") == 2


def test_training_is_given_a_config_as_its_board_holds_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Config] = []

    def run(config: Config, *arguments: object, **options: object) -> None:
        seen.append(config)
        raise ConfigError("enough")

    monkeypatch.setattr("emulator.training.loop.run_training", run)
    for config in ("smallest", "small"):
        assert main(["train", "--config", config, "--port", "/dev/absent", "--seed", "3"]) == 2
    assert [(config.hardware.lanes, config.seed) for config in seen] == [(1, 3), (4, 3)]
    capsys.readouterr()
    assert main(["train", "--config", "lenet-board", "--set", "hardware.compact=true", "--port", "/dev/absent"]) == 2
    assert re.fullmatch(r"error: hardware\.compact: .* board 'ulx3s-85f' sets .*\n", capsys.readouterr().err)


@pytest.mark.parametrize("machine", ["rtl", "board"])
def test_machines_in_hardware_refuse_shared_generators_by_layer(
    machine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    port = ("--port", "/dev/absent") if machine == "board" else ()
    arguments = ("--config", "tiny", "--set", "layers.W2.array.update.generator_sharing=2", "--train-limit", "4", *port)
    assert emulator_main(["train", "--machine", machine, *arguments, "--out", "run"]) == 2
    line = f"error: machine '{machine}': layers.W2.array.update.generator_sharing = 2: accepted: 1 on hardware, "
    printed = capsys.readouterr().err
    assert printed.startswith(line) and printed.count("\n") == 1 and "machines golden and fast" in printed
