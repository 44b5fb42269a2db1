"""What memory there is, and the refusal of what does not fit."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from emulator import memory
from emulator.errors import MemoryNeedError
from emulator.memory import available_bytes, require_memory

MEMINFO = "MemTotal:       32000 kB\nMemAvailable:    {} kB\nSwapFree:        {} kB\n"
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A system with 16000 kB available and 1000 kB of swap, without limits."""
    monkeypatch.setattr(resource, "getrlimit", lambda kind: UNLIMITED)
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    cgroup.mkdir()
    (proc / "meminfo").write_text(MEMINFO.format(16000, 1000))
    (proc / "self" / "status").write_text("Name:\tpython\nVmSize:\t    4000 kB\nVmHWM:\t    2000 kB\n")
    return proc, cgroup


def test_the_system_alone(places: tuple[Path, Path]) -> None:
    assert available_bytes(*places) == 17000 << 10


def test_the_limit_of_the_process(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (9000 << 10, resource.RLIM_INFINITY))
    assert available_bytes(*places) == 5000 << 10
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (3000 << 10, resource.RLIM_INFINITY))
    assert available_bytes(*places) == 0


def test_the_limit_of_the_container(places: tuple[Path, Path]) -> None:
    _, cgroup = places
    (cgroup / "memory.stat").write_text("anon 1000000\nfile 2000000\n")
    (cgroup / "memory.max").write_text("max\n")
    assert available_bytes(*places) == 17000 << 10
    (cgroup / "memory.max").write_text("8000000\n")
    assert available_bytes(*places) == 7_000_000


def test_the_limit_of_an_older_container(places: tuple[Path, Path]) -> None:
    _, cgroup = places
    (cgroup / "memory").mkdir()
    (cgroup / "memory" / "memory.limit_in_bytes").write_text("8000000\n")
    (cgroup / "memory" / "memory.stat").write_text("cache 5\nrss 3000000\n")
    assert available_bytes(*places) == 5_000_000


def test_a_system_that_does_not_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: UNLIMITED)
    assert available_bytes(tmp_path, tmp_path) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_this_system_has_some() -> None:
    assert 1 << 20 < available_bytes() < 1 << 50


def test_a_refusal_names_both_amounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 24_400_000_000)
    require_memory("thing", 24_400_000_000, "less")
    with pytest.raises(
        MemoryNeedError, match=r"^thing: needs about 41 GB of memory, 24 GB available here; accepted: less$"
    ):
        require_memory("thing", 41_000_000_000, "less")
