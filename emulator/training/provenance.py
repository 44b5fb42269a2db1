"""Where a run comes from: version and git commit of the program, and the date."""

from __future__ import annotations

import subprocess
import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Provenance:
    """Facts for reports; what cannot be found out is ``unknown``."""

    version: str
    commit: str
    date: str

    @staticmethod
    def find() -> Provenance:
        """Those of this checkout, now."""
        return Provenance(_version(), _commit(), datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"))


def _version() -> str:
    try:
        project = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return str(project["version"])
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        return "unknown"


def _commit() -> str:
    """The commit's hash, with ``(modified)`` if files differ from it."""
    # A copy without its own repository may lie inside another one, whose commit would say nothing.
    folder, commit = _git("rev-parse", "--show-toplevel"), _git("rev-parse", "HEAD")
    if folder is None or commit is None or Path(folder).resolve() != _CHECKOUT:
        return "unknown"
    return commit + (" (modified)" if _git("status", "--porcelain") != "" else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(_CHECKOUT), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
