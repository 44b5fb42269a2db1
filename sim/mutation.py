"""Faults put into the source on purpose, as patches of its text: what checks the checks.

`python -m sim.mutation` tries the faults of sim/faults.py one by one on a copy of the tree, runs the tests of the faulty part on
it, and writes docs/mutations.md. Most faults are in the RTL, others in the compiled engine and the host's end of a board's
line. Proofs (tests/formal) load a faulty module beside the sound one.
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
#: What a run of tests needs. Each copy has folders of its own where its tests are and what they import of the RTL; the folder of
#: the faulty file; and links to all else.
FOLDERS = ("hdl", "sim", "tests", "emulator", "board")
COPIED = ("hdl", "sim", "tests")
FILES = ("pyproject.toml",)
#: Compiled engines and simulations, named by their source: a faulty one is found by no sound tree.
CACHE = "build"
#: Folders of hdl whose blocks have serial variants.
SERIAL_BESIDE = ("periphery", "array")
PROCESSES = 2


@dataclass(frozen=True)
class Fault:
    """``old``, which stands in ``file`` exactly once, becomes ``new``. ``tests``: the file of tests that has to see it, unless
    that is the mirror of ``file``."""

    file: str
    old: str
    new: str
    description: str
    tests: str | None = None

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


def snapshot(target: Path) -> None:
    """The tree as it is now."""
    for name in FOLDERS:
        _copy_folder(ROOT / name, target / name)
    for name in FILES:
        shutil.copy(ROOT / name, target / name)


def copy_tree(source: Path, target: Path, fault: Fault | None) -> None:
    """The tree of a snapshot with the fault."""
    faulty = None if fault is None else Path(fault.file).parts[0]
    for name in FOLDERS:
        if name in COPIED or name == faulty:
            _copy_folder(source / name, target / name)
        else:
            (target / name).symlink_to(source / name)
    for name in FILES:
        (target / name).symlink_to(source / name)
    (ROOT / CACHE).mkdir(exist_ok=True)
    (target / CACHE).symlink_to(ROOT / CACHE)
    if fault is not None:
        file = target / fault.file
        file.write_text(fault.patched(file.read_text(encoding="utf-8")), encoding="utf-8")


def _copy_folder(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))


def caught(source: Path, fault: Fault | None, tests: str) -> str | None:
    """The first test of the file ``tests`` that fails on a copy of the snapshot ``source`` with the fault."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_tree(source, tree, fault)
        command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-x", "-q", "-rf", "--tb=no", tests]
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider"], cwd=tree, capture_output=True, text=True, check=False
        )
    if done.returncode == 0:
        return None
    failed = re.search(r"^FAILED (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if failed is None:
        raise RuntimeError(f"{fault}: the tests did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return failed[1]


def tests_of(fault: Fault) -> str:
    """Those that the fault names, else the mirror of its file: the part's own tests. Those of most blocks hold its serial
    variant too; tests of models lie in the folders of the models."""
    if fault.tests:
        return fault.tests
    path = Path("tests", *Path(fault.file).parts[fault.file.startswith("emulator/") :])
    folders = [path.parent, *(path.parent.with_name(name) for name in SERIAL_BESIDE if path.parent.name == "serial")]
    return next(str(tests) for tests in (folder / f"test_{path.name}" for folder in folders) if (ROOT / tests).exists())


def run(faults: list[Fault], quiet: bool = False) -> list[Verdict]:
    """All faults, PROCESSES at a time, on the tree as it is now. Raises if tests fail without a fault, which would catch
    anything."""

    def sound(tests: str) -> None:
        failed = caught(tree, None, tests)
        if failed:
            raise RuntimeError(f"{failed} fails without a fault")

    def faulty(fault: Fault) -> Verdict:
        return Verdict(fault, caught(tree, fault, tests_of(fault)))

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(PROCESSES) as pool:
        tree = Path(folder)
        snapshot(tree)
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
            f"Made by `python -m sim.mutation`. {count} of {len(verdicts)} faults put into the source on purpose are caught",
            "by the tests of the faulty part itself. The faults are patches in `sim/faults.py`. With `--block` only the",
            "rows of one block are made anew, with `--new` only those that are missing; the others stay from the run before.",
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
@click.option("--block", multiple=True, help="Only the faults of files of this name; other rows of the page stay.")
@click.option("--new", is_flag=True, help="Only faults that the page does not yet show as caught.")
def main(block: tuple[str, ...], new: bool) -> int:
    """Put faults into a copy of the source, one at a time, and see the tests of the faulty part catch them all."""
    from sim.faults import FAULTS

    page = ROOT / PAGE
    before = recorded(page.read_text(encoding="utf-8"), FAULTS) if page.exists() else []
    done = {verdict.fault for verdict in before if verdict.test} if new else set()
    faults = [fault for fault in FAULTS if (not block or Path(fault.file).stem in block) and fault not in done]
    if not faults and not new:
        names = ", ".join(sorted({Path(fault.file).stem for fault in FAULTS}))
        raise click.UsageError(f"--block {', '.join(block)}: accepted: {names}")
    verdicts = run(faults)
    latest = {verdict.fault: verdict for verdict in [*before, *verdicts]}
    write_atomically(page, document([latest[fault] for fault in FAULTS if fault in latest]).encode())
    missed = [verdict.fault for verdict in verdicts if verdict.test is None]
    for fault in missed:
        click.echo(f"not caught: {fault.file}: {fault.description}")
    click.echo(f"{len(verdicts) - len(missed)} of {len(verdicts)} faults caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(run_command(main, "python -m sim.mutation"))
