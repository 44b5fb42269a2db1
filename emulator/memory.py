"""How much memory this process can still have, and the refusal of work that needs more, before it begins."""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path

from emulator.errors import MemoryNeedError

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")
KIBIBYTE = 1 << 10
GIGABYTE = 10**9


def require_memory(what: str, needed: int, accepted: str) -> None:
    """Raise MemoryNeedError if the work needs more bytes than are available; ``accepted`` says what would fit."""
    available = available_bytes()
    if needed > available:
        raise MemoryNeedError(
            f"{what}: needs about {_amount(needed)} of memory, {_amount(available)} available here; accepted: {accepted}"
        )


def available_bytes(proc: Path = PROC, cgroup: Path = CGROUP) -> int:
    """The least of what the system has, the process's limit of addresses leaves, and its container leaves. Memory that the
    system can take back, or swap, counts as available, so that nothing that fits is refused."""
    amounts = [_of_system(proc), _of_process(proc), _of_container(cgroup)]
    return max(0, min(amount for amount in amounts if amount is not None))


def _of_system(proc: Path) -> int:
    fields = _fields(proc / "meminfo")
    if "MemAvailable" in fields:
        return (fields["MemAvailable"] + fields.get("SwapFree", 0)) * KIBIBYTE
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_process(proc: Path) -> int | None:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _fields(proc / "self" / "status").get("VmSize", 0) * KIBIBYTE
    return None if limit == resource.RLIM_INFINITY else limit - used


def _of_container(cgroup: Path) -> int | None:
    """Of control groups of version 2 and 1, as a container sees its own. ``anon``, ``rss``: what cannot be taken back."""
    for limit_file, statistics_file, used in (
        (cgroup / "memory.max", cgroup / "memory.stat", "anon"),
        (cgroup / "memory" / "memory.limit_in_bytes", cgroup / "memory" / "memory.stat", "rss"),
    ):
        try:
            limit = limit_file.read_text().strip()
        except OSError:
            continue
        return int(limit) - _fields(statistics_file).get(used, 0) if limit.isdecimal() else None
    return None


def _fields(path: Path) -> dict[str, int]:
    """``NAME: NUMBER kB`` or ``NAME NUMBER`` by name; nothing where the system has no such file."""
    try:
        text = path.read_text()
    except OSError:
        return {}
    return {name: int(number) for name, number in re.findall(r"^(\w+):?\s+(\d+)(?: kB)?$", text, re.MULTILINE)}


def _amount(count: int) -> str:
    gigabytes = count / GIGABYTE
    return f"{gigabytes:.2g} GB" if gigabytes < 10 else f"{gigabytes:,.0f} GB"
