"""The house's own rules: mirrors, imports, presets and what may not be in the tree."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from emulator.config import load, preset_names
from emulator.config.fields import document

ROOT = Path(__file__).parents[1]
PERIPHERY = sorted(path.stem for path in (ROOT / "emulator/periphery").glob("*.py") if path.stem != "__init__")
RTL = sorted(f"periphery/{path.stem}" for path in (ROOT / "hdl/periphery").glob("*.py") if path.stem != "__init__")
RTL += ["array/crossbar", "network/tile"]


def tracked_files() -> list[Path]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("block", PERIPHERY)
def test_block_has_test_and_page_of_its_name(block: str) -> None:
    assert (ROOT / f"tests/periphery/test_{block}.py").is_file()
    assert (ROOT / f"docs/blocks/{block}.md").is_file()


@pytest.mark.parametrize("block", RTL)
def test_rtl_has_model_transactions_test_and_page_of_its_name(block: str) -> None:
    folder, name = block.split("/")
    for mirror in (
        f"emulator/{block}.py",
        f"sim/transactions/{name}.py",
        f"tests/hdl/{folder}/test_{name}.py",
        f"docs/blocks/{name}.md",
    ):
        assert (ROOT / mirror).is_file(), mirror


@pytest.mark.parametrize("block", RTL)
def test_page_of_rtl_describes_hardware_and_verification(block: str) -> None:
    page = (ROOT / f"docs/blocks/{block.split('/')[1]}.md").read_text(encoding="utf-8")
    assert "\n## Hardware\n" in page
    assert "\n## Verification\n" in page
    for named in re.findall(r"`(tests/[\w/]+\.py)", page):
        assert (ROOT / named).is_file(), named


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports; of `from package import name`, `package.name` too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_emulator_needs_no_hardware_packages() -> None:
    """Arrows go down only: nothing in emulator imports hdl, sim, board or Amaranth."""
    for path in (ROOT / "emulator").rglob("*.py"):
        for name in imports(path):
            assert name.split(".")[0] not in {"hdl", "sim", "board", "amaranth"}, f"{path}: {name}"


#: What hardware may know of the emulator; and its command line, of the house's ways with errors and files.
SHARED = ("emulator.config", "emulator.fixed")
SHARED_BY_COMMANDS = (*SHARED, "emulator.atomic", "emulator.building", "emulator.command_line", "emulator.errors")
COMMANDS = {"cli.py", "export.py", "report.py", "tools.py"}


def test_hdl_knows_config_and_fixed_point_alone() -> None:
    for path in (ROOT / "hdl").rglob("*.py"):
        commands = path.parent.name == "hdl" and path.name in COMMANDS
        for name in imports(path):
            assert name.split(".")[0] not in {"sim", "board"}, f"{path}: {name}"
            if name.split(".")[0] == "emulator":
                allowed = SHARED_BY_COMMANDS if commands else SHARED
                assert any(f"{name}.".startswith(f"{module}.") for module in allowed), f"{path}: {name}"


def test_sim_knows_nothing_of_boards() -> None:
    for path in (ROOT / "sim").rglob("*.py"):
        assert "board" not in {name.split(".")[0] for name in imports(path)}, path


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
