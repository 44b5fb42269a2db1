"""Estimates of a machine's memory against what machines take, and the refusal before anything is made."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from emulator import memory
from emulator.cli import main
from emulator.config import load
from emulator.machine import MACHINES
from emulator.machine_memory import machine_bytes

ROOT = Path(__file__).parents[1]
#: An estimate is at most what the machine takes, and at least so much of it.
LEAST = 0.6
#: Prints by how many bytes a machine makes the largest memory of the process grow, code and tables aside.
MEASURE = """
import sys
import numpy as np
from emulator.config import load
from emulator.machine import build_machine

def largest():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))

def work(config):
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (2, config.input.height, config.input.width)).astype(np.uint8)
    build_machine(name, config).train(images, np.array([1, 0], np.uint8))

name, preset, *assignments = sys.argv[1:]
work(load("tiny"))
config = load(preset, assignments)
before = largest()
work(config)
print(largest() - before)
"""
LARGE = ("lenet-bl1-um", "input.height=56", "input.width=56", "layers.W3.outputs=256")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say what a process takes")
@pytest.mark.parametrize("name", ["golden", "fast", "reference"])
@pytest.mark.parametrize("config", [("lenet-bl1-um",), ("lenet",), LARGE], ids=lambda config: "-".join(config[:2]))
def test_estimates_are_close_and_never_above(name: str, config: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", MEASURE, name, *config]
    taken = int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    estimate = machine_bytes(name, load(config[0], config[1:]))
    assert LEAST * taken <= estimate <= taken, f"{estimate:,} of {taken:,}"


def test_other_machines_hold_their_arrays_elsewhere() -> None:
    assert {name for name in MACHINES if not machine_bytes(name, load("tiny"))} == {"rtl", "board"}


@pytest.mark.parametrize("command", ["train --machine golden", "train", "train --machine reference", "compare"])
def test_too_large_a_network_is_refused_before_anything_is_made(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**9)
    large = ["--config", "lenet-bl1-um", *(f"--set={part}" for part in LARGE[1:3]), "--set=layers.W3.outputs=4096"]
    assert main([*command.split(), *large]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and not list(tmp_path.iterdir())
    assert re.fullmatch(
        r"error: machine [\w, ]+ with config lenet-bl1-um: needs about [\d.]+ GB of memory, 1 GB available here; "
        r"accepted: a smaller input[^\n]+\n",
        printed.err,
    ), printed.err


def test_too_many_cases_are_refused_before_they_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**9)
    assert main(["vectors", "im2col", "--count", str(10**20), "--out", str(tmp_path / "out")]) == 2
    assert re.fullmatch(
        rf"error: count = {10**20} of block im2col: needs about [\d,]+ GB of memory, 1 GB available here; [^\n]+\n",
        capsys.readouterr().err,
    )
    assert not (tmp_path / "out").exists()
