"""The house's own rules: mirrors, imports, presets and what may not be in the tree."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

from emulator.config import load, preset_names
from emulator.config.fields import document

ROOT = Path(__file__).parents[1]
PERIPHERY = sorted(path.stem for path in (ROOT / "emulator/periphery").glob("*.py") if path.stem != "__init__")


def tracked_files() -> list[Path]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("block", PERIPHERY)
def test_block_has_test_and_page_of_its_name(block: str) -> None:
    assert (ROOT / f"tests/periphery/test_{block}.py").is_file()
    assert (ROOT / f"docs/blocks/{block}.md").is_file()


def test_emulator_needs_no_hardware_packages() -> None:
    """Arrows go down only: nothing in emulator imports hdl, sim, board or Amaranth."""
    for path in (ROOT / "emulator").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.split(".")[0] not in {"hdl", "sim", "board", "amaranth"}, f"{path}: {name}"


#: Rows of the paper's table of MNIST results, and the presets that stand for them.
ROWS = {
    "1": ["lenet-fp"],
    "2": ["lenet-baseline"],
    "3": ["lenet-no-backward-noise"],
    "4": ["lenet-no-w4-bound"],
    "5": ["lenet-no-backward-noise-no-w4-bound"],
    "6": ["lenet-nm-bm"],
    "7, 8": ["lenet-no-variation", "lenet-no-variation-k1k2"],
    "9": ["lenet-no-variation-w3w4"],
    "10": ["lenet-no-variation-k2", "lenet-no-variation-k1"],
    "11": [f"lenet-no-imbalance{layers}" for layers in ("", "-k1k2", "-w3w4", "-k1", "-k2")],
    "12": ["lenet-k2x4", "lenet-k2x13"],
    "13, 14": ["lenet-bl40", "lenet-bl1"],
    "15": ["lenet-bl1-um"],
    "16": ["lenet"],
}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_paper_is_a_preset(row: str) -> None:
    for name in ROWS[row]:
        config = load(name)
        assert config.name == name
        assert [(s.rows, s.columns, s.positions) for s in config.stages] == [
            (16, 26, 576), (32, 401, 64), (128, 513, 1), (10, 129, 1),
        ]  # fmt: skip


def test_presets_differ() -> None:
    digests = {load(name).digest for name in preset_names()}
    assert len(digests) == len(preset_names())


def test_no_registry_host_and_no_machine_path_is_tracked() -> None:
    words = ["py" + "pi.org", "python" + "hosted", "deb." + "debian.org", "registry." + "npmjs"]
    for path in tracked_files():
        if path.suffix in {".gz", ".npz", ".png"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for word in words:
            assert word not in text, f"{path}: {word}"


def test_tracked_files_are_small() -> None:
    for path in tracked_files():
        assert path.stat().st_size < 1_500_000, path


def test_configuration_page_follows_the_schema() -> None:
    assert (ROOT / "docs/configuration.md").read_text(encoding="utf-8") == document()
