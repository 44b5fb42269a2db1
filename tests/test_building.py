"""Folders of builds: they do not meet, and nothing of them stays but the logs of a tool that failed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from emulator.building import building_folder
from emulator.termination import ending_group

#: A command that builds until it is ended.
COMMAND = """
import sys, time, click
from pathlib import Path
from emulator.building import building_folder
from emulator.command_line import run_command

@click.group()
def commands(): pass

@commands.command()
def build():
    with building_folder(Path(sys.argv[1])) as folder:
        (folder / "file").touch()
        print(folder, flush=True)
        time.sleep(60)

sys.exit(run_command(commands, "build", ["build"]))
"""


def start(folder: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_folder_goes_in_the_end(tmp_path: Path) -> None:
    with building_folder(tmp_path / "new") as one, building_folder(tmp_path / "new") as other:
        assert one.is_dir() and other.is_dir() and one != other
        (one / "file").touch()
    with pytest.raises(ZeroDivisionError), building_folder(tmp_path / "new"):
        raise ZeroDivisionError
    assert list((tmp_path / "new").iterdir()) == []


def test_logs_of_a_failure_stay_until_the_next_build(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), building_folder(tmp_path, kept_after=(ZeroDivisionError,)) as folder:
        (folder / "log").touch()
        raise ZeroDivisionError
    assert (folder / "log").is_file()
    with building_folder(tmp_path):
        assert not folder.exists()


def test_a_request_to_terminate_leaves_nothing_and_a_killed_build_goes_with_the_next(tmp_path: Path) -> None:
    (ended, first), (killed, second), (living, third) = (start(tmp_path) for _ in range(3))
    try:
        ended.terminate()
        assert ended.communicate(timeout=30) == ("", "terminated\n") and ended.returncode == 143
        assert not first.exists()
        killed.kill()
        killed.wait()
        assert second.is_dir() and third.is_dir()
        with building_folder(tmp_path):
            assert not second.exists() and (third / "file").is_file()
    finally:
        for process in (ended, killed, living):
            process.terminate()
            process.communicate(timeout=30)


def test_programs_end_with_those_that_they_started(tmp_path: Path) -> None:
    """As a compiler's driver and its compilers."""
    program = ["sh", "-c", "sleep 60 & echo $!; wait"]
    with pytest.raises(KeyboardInterrupt), subprocess.Popen(
        program, stdout=subprocess.PIPE, text=True, process_group=0
    ) as driver, ending_group(driver):  # fmt: skip
        assert driver.stdout is not None
        started = int(driver.stdout.readline())
        raise KeyboardInterrupt
    deadline = time.monotonic() + 10
    while is_running(started) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(started)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
