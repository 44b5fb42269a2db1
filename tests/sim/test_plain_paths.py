"""A checkout in a folder that make cannot build in works, or says in one line that it cannot."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sim.plain_paths import PathError, build_folder, check_separators, is_plain, keep_folder, plain_link

ROOT = Path(__file__).parents[2]
#: Characters that make, a shell or a linker's flags give a meaning.
ODD = "my 'odd' \"projects\" $HOME #1 (ü) & y% \\x"


def checkout(folder: Path) -> Path:
    """A small checkout: the packages as copies, so that nothing finds its way back, and the same environment."""
    folder.mkdir(parents=True)
    for package in ("emulator", "hdl", "sim"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs" / "examples", folder / "docs" / "examples")
    (folder / ".venv").symlink_to(Path(sys.prefix).resolve())
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(folder / ".venv" / "bin" / "python"), "-m", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_simulations_are_built_in_a_checkout_with_an_odd_name(tmp_path: Path) -> None:
    """Both simulators, with the environment in the same folder; nothing of the build is left but what was built."""
    folder = checkout(tmp_path / ODD)
    done = run(folder, "sim.verify", "docs/examples/max_search.v", "--vectors", "20")
    assert done.returncode == 0, done.stderr
    assert [line.partition(",")[0] for line in done.stdout.splitlines()] == [
        "verilator: 20 words equal",
        "icarus: 20 words equal",
    ]
    kept = sorted(path.name.partition("-")[0] for path in (folder / "build" / "sim").iterdir())
    assert kept == ["max_search", "runtime"]


@pytest.mark.slow
def test_the_native_library_is_built_in_a_checkout_with_an_odd_name(tmp_path: Path) -> None:
    folder = checkout(tmp_path / ODD)
    done = run(folder, "sim", "waves", "--config", "smallest", "--layer", "W1", "--out", "w.vcd")
    assert done.returncode == 0, done.stderr
    assert (folder / "w.vcd").exists()


def test_a_checkout_that_lists_of_paths_cannot_hold_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"accepted: a checkout and a .venv without ':' in their path"):
        check_separators(tmp_path / "a:b")
    check_separators(tmp_path / ODD)


def test_builds_are_done_in_a_plain_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, odd = tmp_path / "cache", tmp_path / "my cache"
    with build_folder(plain) as folder:
        assert folder.parent == plain
    with build_folder(odd) as folder:
        assert is_plain(folder) and odd.is_dir()
    assert not folder.exists()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(odd))
    with pytest.raises(PathError, match=r"my cache.*: accepted: one of them of letters"), build_folder(odd):
        pass


def test_links_have_plain_paths(tmp_path: Path) -> None:
    odd = tmp_path / "my files" / "verilator"
    odd.mkdir(parents=True)
    assert plain_link(tmp_path, tmp_path) == tmp_path
    link = plain_link(odd, tmp_path)
    assert is_plain(link) and link.samefile(odd)


def test_what_was_built_is_kept_across_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built, done = tmp_path / "there" / "model", tmp_path / "cache" / "model-1"
    built.mkdir(parents=True)
    done.parent.mkdir()
    (built / "library").write_text("code")
    rename = Path.rename

    def other_file_system(path: Path, target: Path) -> Path:
        if path.parent.name == "there":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", other_file_system)
    keep_folder(built, done)
    assert (done / "library").read_text() == "code"
    assert [path.name for path in done.parent.iterdir()] == ["model-1"]
    keep_folder(built, done)  # another process was first
