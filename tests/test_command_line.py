"""The one place that turns what a user can cause into lines, and that every command line of the project goes through it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest

from emulator.command_line import run_command
from emulator.errors import CrosspointError

ROOT = Path(__file__).parents[1]
PACKAGES = ("benchmarks", "board", "emulator", "hdl", "sim")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def trees() -> dict[str, ast.Module]:
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


TREES = trees()


def starts(tree: ast.Module) -> list[ast.If]:
    """The statements ``if __name__ == "__main__"``."""
    return [node for node in tree.body if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)]


def calls_run_command(node: ast.AST) -> bool:
    return any(isinstance(call, ast.Call) and ast.unparse(call.func) == "run_command" for call in ast.walk(node))


def decorators(tree: ast.Module) -> list[str]:
    return [
        ast.unparse(decorator)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for decorator in function.decorator_list
    ]


STARTED = [file for file, tree in TREES.items() if file.endswith("__main__.py") or starts(tree)]


def test_there_are_command_lines_to_check() -> None:
    assert {"emulator/__main__.py", "sim/verify.py", "benchmarks/summary.py"} <= set(STARTED)


@pytest.mark.parametrize("file", STARTED)
def test_every_start_goes_through_run_command(file: str) -> None:
    """Straight, or through the function ``main`` of the package's cli.py, which does; and its exit code is the process's."""
    (start,) = starts(TREES[file])
    (statement,) = start.body
    text = ast.unparse(statement)
    assert text.startswith("sys.exit("), text
    if text == "sys.exit(main())":
        cli = TREES[f"{file.partition('/')[0]}/cli.py"]
        (main,) = (node for node in cli.body if isinstance(node, ast.FunctionDef) and node.name == "main")
        assert ast.unparse(main.body[-1]).startswith("return run_command(")
    else:
        assert calls_run_command(statement), text


def test_every_file_with_commands_starts_them_so() -> None:
    for file, tree in TREES.items():
        commands = [name for name in decorators(tree) if re.match(r"click\.(command|group)\b", name)]
        study = file == "benchmarks/study.py"  # its command is started by the modules of the studies
        assert not commands or study or calls_run_command(tree), file


def test_no_file_has_ways_of_its_own() -> None:
    for file, tree in TREES.items():
        called = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert not {"argparse.ArgumentParser", "ArgumentParser"} & set(called), file
        assert sum(name in {"sys.exit", "exit", "SystemExit"} for name in called) == len(starts(tree)), file


@pytest.mark.parametrize("module", ["benchmarks.summary", "sim.coverage", "sim.mutation", "sim.verify"])
def test_help_does_no_work_and_a_mistake_is_one_line(module: str) -> None:
    """Of commands that write into the checkout, or start simulators."""
    before = {path: path.stat().st_mtime_ns for folder in ("docs", "results") for path in (ROOT / folder).rglob("*")}
    before[ROOT / "README.md"] = (ROOT / "README.md").stat().st_mtime_ns
    helped, mistaken = (
        subprocess.run([sys.executable, "-m", module, option], cwd=ROOT, capture_output=True, text=True, check=False)
        for option in ("--help", "--unknown")
    )
    assert helped.returncode == 0 and helped.stdout.startswith(f"Usage: python -m {module}")
    assert mistaken.returncode == 2 and mistaken.stdout == ""
    assert re.fullmatch(r"error: No such option '--unknown'; accepted: [^\n]+\n", mistaken.stderr)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def ended(action: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    @click.command()
    def command() -> None:
        action()

    code = run_command(command, "program", [])
    return code, capsys.readouterr().err


def raises(error: BaseException) -> Callable[[], object]:
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (CrosspointError("thing = 1: accepted: 2"), 2, "error: thing = 1: accepted: 2\n"),
        (CrosspointError("two\nlines"), 2, "error: two lines\n"),
        (click.UsageError("no such thing."), 2, "error: no such thing\n"),
        (
            FileNotFoundError(2, "No such file or directory", "x"),
            2,
            "error: x: No such file or directory; accepted: .*\n",
        ),
        (MemoryError(), 2, "error: out of memory: the system gives this process no more; accepted: .*\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
    ],
)
def test_what_a_user_can_cause_is_one_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, printed = ended(raises(error), capsys)
    assert found == code
    assert re.fullmatch(line, printed), printed


def test_an_array_that_nothing_holds_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, printed = ended(lambda: np.zeros((1 << 40, 1 << 20), np.uint8), capsys)
    assert code == 2
    assert re.fullmatch(r"error: out of memory: Unable to allocate [^\n]+; accepted: [^\n]+\n", printed), printed


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = f"{sys.executable} -m emulator.config.fields | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    @click.command()
    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(command, "program", [])
