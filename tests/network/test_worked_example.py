"""The worked example of docs/arithmetic.md is what the golden model computes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from emulator.array.noise import cycle_factor, gaussian, mix, rounding_words
from emulator.config import Config, load
from emulator.fixed import ROUNDING_ROUNDS
from emulator.network.network import GoldenMachine

PAGE = Path(__file__).parents[2] / "docs" / "arithmetic.md"
IMAGE, LABEL = [51, 204], 1


@pytest.fixture(scope="module")
def example() -> str:
    return PAGE.read_text(encoding="utf-8").partition("## 19. Worked example")[2]


@pytest.fixture(scope="module")
def config(example: str, tmp_path_factory: pytest.TempPathFactory) -> Config:
    found = re.search(r"```toml\n(.*?)```", example, re.DOTALL)
    assert found and tomllib.loads(found[1])
    path = tmp_path_factory.mktemp("example") / "example.toml"
    path.write_text(found[1])
    return load(path)


@pytest.fixture(scope="module")
def machines(config: Config) -> tuple[GoldenMachine, GoldenMachine]:
    """Before and after the image."""
    before, after = GoldenMachine(config), GoldenMachine(config)
    after.train(np.array([[IMAGE]], dtype=np.uint8), np.array([LABEL], dtype=np.uint8))
    return before, after


def moves(example: str) -> list[list[str]]:
    """The rows of the table of moves: device, mixed word, xi, c, factor, step, rounding word, its part, move, weights."""
    rows = re.findall(r"^\| (\d), (\d) \| (.*) \|$", example, re.MULTILINE)
    return [[row, column, *cells.replace("`", "").split(" | ")] for row, column, cells in rows]


def test_every_move(example: str, config: Config, machines: tuple[GoldenMachine, GoldenMachine]) -> None:
    before, after = (machine.stages[0].tile.crossbar for machine in machines)
    rows, columns = (after.generator.word(words).tolist() for words in (after.row_noise, after.column_noise))
    gains = np.array(config.stages[0].cycle_gains)
    table = moves(example)
    assert len(table) == 6
    for row, column, mixed_text, xi, count, factor, step, word, part, move, weights in table:
        place = int(row), int(column)
        mixed = mix(np.array([rows[place[0]] ^ columns[place[1]]]))
        assert f"{mixed[0]:06x}" == mixed_text and int(xi) == gaussian(mixed)[0]
        assert int(factor) == cycle_factor(np.array([int(count)]), gaussian(mixed), gains)[0]
        assert int(step) == before.parameters["step_up"][place]
        assert f"{rounding_words(mixed)[0]:06x}" == word and int(part) == rounding_words(mixed)[0] >> 10
        assert int(move) == int(step) * int(factor) + int(part) >> 14
        was, became = (int(text) for text in weights.partition(":")[0].split(", "))
        assert (was, became) == (before.weights[place], after.weights[place])


def test_the_other_array_and_the_logits(example: str, machines: tuple[GoldenMachine, GoldenMachine]) -> None:
    before, after = machines
    was, became = (machine.stages[1].tile.crossbar.weights[0, 2] for machine in (before, after))
    assert f"the weight goes\nfrom {was} by {became - was} to {became}" in example
    logits = GoldenMachine(before.config).train(np.array([[IMAGE]], dtype=np.uint8), np.array([LABEL], dtype=np.uint8))
    assert f"gives the logits `{', '.join(map(str, logits[0].tolist()))}`" in example


def test_known_answers_of_the_mixings(example: str) -> None:
    for name, rounds in (("mix", None), ("mix3", ROUNDING_ROUNDS)):
        row = re.search(rf"^\| `{name}` \| (.*) \| (.*) \|$", example, re.MULTILINE)
        assert row
        arguments, results = ([int(word, 16) for word in re.findall(r"`(\w+)`", cells)] for cells in row.groups())
        assert (mix(np.array(arguments)) if rounds is None else mix(np.array(arguments), rounds)).tolist() == results
