"""Faults put into the RTL on purpose, as patches of its text: what checks the checks.

`python -m sim.mutation` tries the faults of sim/faults.py one by one on a copy of the RTL, runs the tests of the block on
it, and writes docs/mutations.md. Proofs (tests/formal) load a faulty module beside the sound one.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import click
from tqdm import tqdm

from emulator.atomic import write_atomically
from emulator.command_line import run_command

ROOT = Path(__file__).parents[1]
PAGE = Path("docs/mutations.md")
#: What a run of tests needs: copied, as a fault goes into it or its imports must find the copy; and only read.
COPIED = ("hdl", "sim", "tests")
LINKED = ("emulator", "pyproject.toml")
#: Folders of hdl whose blocks have serial variants.
SERIAL_BESIDE = ("periphery", "array")
PROCESSES = 2


@dataclass(frozen=True)
class Fault:
    """``old``, which stands in ``file`` exactly once, becomes ``new``."""

    file: str
    old: str
    new: str
    description: str

    def patched(self, text: str) -> str:
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file}: {self.old!r} stands there {text.count(self.old)} times: accepted: once")
        return text.replace(self.old, self.new)


@contextmanager
def faulty_module(fault: Fault) -> Iterator[ModuleType]:
    """The module of ``fault.file`` with the fault, beside the sound one. What it imports is sound."""
    name = "faulty_" + Path(fault.file).stem
    module = ModuleType(name)
    sys.modules[name] = module  # pydantic looks annotations up there
    try:
        text = fault.patched((ROOT / fault.file).read_text(encoding="utf-8"))
        exec(compile(text, f"{name}.py", "exec"), module.__dict__)
        yield module
    finally:
        del sys.modules[name]


@dataclass(frozen=True)
class Verdict:
    """The first test that failed, None if none did."""

    fault: Fault
    test: str | None


def copy_tree(source: Path, target: Path) -> None:
    for name in COPIED:
        shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in LINKED:
        (target / name).symlink_to(ROOT / name)


def caught(source: Path, fault: Fault | None, tests: str) -> str | None:
    """The first test of the file ``tests`` that fails on a copy of the tree ``source`` with the fault."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_tree(source, tree)
        if fault is not None:
            file = tree / fault.file
            file.write_text(fault.patched(file.read_text(encoding="utf-8")), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-x", "-q", "-rf", "--tb=no", tests]
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider"], cwd=tree, capture_output=True, text=True, check=False
        )
    if done.returncode == 0:
        return None
    failed = re.search(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
    if failed is None:
        raise RuntimeError(f"{fault}: the tests did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return failed[1]


def tests_of(fault: Fault) -> str:
    """The block's own tests. Most hold its serial variant too."""
    path = Path("tests") / fault.file
    folders = [path.parent, *(path.parent.with_name(name) for name in SERIAL_BESIDE if path.parent.name == "serial")]
    return next(str(tests) for tests in (folder / f"test_{path.name}" for folder in folders) if (ROOT / tests).exists())


def run(faults: list[Fault], quiet: bool = False) -> list[Verdict]:
    """All faults, PROCESSES at a time, on the tree as it is now. Raises if tests fail on the sound RTL, which would catch
    anything."""

    def sound(tests: str) -> None:
        failed = caught(tree, None, tests)
        if failed:
            raise RuntimeError(f"{failed} fails without a fault")

    def faulty(fault: Fault) -> Verdict:
        return Verdict(fault, caught(tree, fault, tests_of(fault)))

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(PROCESSES) as pool:
        tree = Path(folder)
        copy_tree(ROOT, tree)
        for fault in faults:
            fault.patched((tree / fault.file).read_text(encoding="utf-8"))
        files = sorted({tests_of(fault) for fault in faults})
        for _ in tqdm(pool.map(sound, files), "sound", len(files), disable=quiet):
            pass
        return list(tqdm(pool.map(faulty, faults), "faults", len(faults), disable=quiet))


def recorded(page: str, faults: list[Fault]) -> list[Verdict]:
    """What a page says of those faults that are still listed."""
    known = {(fault.file, fault.description): fault for fault in faults}
    rows = re.findall(r"^\| `(.*)` \| (.*) \| (?:`(.*)`|.*) \|$", page, re.MULTILINE)
    return [Verdict(known[file, text], test or None) for file, text, test in rows if (file, text) in known]


def document(verdicts: list[Verdict]) -> str:
    rows = [f"| `{verdict.fault.file}` | {verdict.fault.description} | {_cell(verdict.test)} |" for verdict in verdicts]
    count = sum(verdict.test is not None for verdict in verdicts)
    return "\n".join(
        [
            "# Mutation run",
            "",
            f"Made by `python -m sim.mutation`. {count} of {len(verdicts)} faults put into the RTL on purpose are caught by",
            "the tests of the block itself. The faults are patches of the source in `sim/faults.py`. With `--block` the rows of",
            "one block are made anew and the others stay from the run before.",
            "",
            "| file | fault | first test that fails |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _cell(test: str | None) -> str:
    return "**not caught**" if test is None else f"`{test.rpartition('/')[2]}`"


@click.command()
@click.option("--block", help="Only the faults of this file of hdl/periphery; other rows of the page stay.")
def main(block: str | None) -> int:
    """Put faults into a copy of the RTL, one at a time, and see the blocks' tests catch them all."""
    from sim.faults import FAULTS

    faults = [fault for fault in FAULTS if block in (None, Path(fault.file).stem)]
    if not faults:
        names = ", ".join(sorted({Path(fault.file).stem for fault in FAULTS}))
        raise click.UsageError(f"--block {block!r}: accepted: {names}")
    verdicts = run(faults)
    page = ROOT / PAGE
    before = recorded(page.read_text(encoding="utf-8"), FAULTS) if block and page.exists() else []
    latest = {verdict.fault: verdict for verdict in [*before, *verdicts]}
    write_atomically(page, document([latest[fault] for fault in FAULTS if fault in latest]).encode())
    missed = [verdict.fault for verdict in verdicts if verdict.test is None]
    for fault in missed:
        click.echo(f"not caught: {fault.file}: {fault.description}")
    click.echo(f"{len(verdicts) - len(missed)} of {len(verdicts)} faults caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m sim.mutation"))
