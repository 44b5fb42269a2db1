"""Building the engine: the cache's key, and clear lines when it cannot be built."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.engine import build
from emulator.errors import MachineError


@pytest.fixture(autouse=True)
def fresh_library() -> None:
    build.library.cache_clear()


def test_no_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    with pytest.raises(MachineError, match=r"^machine 'fast': no C\+\+ compiler found; accepted: .*$"):
        build.library()


def test_failing_compiler_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "BUILD_FOLDER", tmp_path / "build")
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-Dsum=%%"))
    with pytest.raises(MachineError, match=r"^machine 'fast': .* failed: .*; accepted: a C\+\+20 compiler$"):
        build.library()
    assert list((tmp_path / "build").iterdir()) == []


def test_unwritable_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(build, "BUILD_FOLDER", tmp_path / "file" / "build")
    with pytest.raises(MachineError, match=r"^machine 'fast': cannot write .*; accepted: a writable folder$"):
        build.library()


def test_key_follows_source_and_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build._library_path("g++", "devices")
    assert build._library_path("g++", "other devices") != first
    assert build._library_path("g++", "devices") == first
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-g"))
    assert build._library_path("g++", "devices") != first
