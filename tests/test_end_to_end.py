"""The command line on real machines, as a user runs it: killed, resumed, interrupted, compared."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from emulator.training.checkpoint import Checkpoint, read_checkpoint

ROOT = Path(__file__).parents[1]
TRAIN = ["train", "--config", "small", "--data", "digits", "--epochs", "4", "--checkpoint-every", "300", "--quiet"]


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "emulator", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: str) -> tuple[int, str, str]:
    process = start(*arguments)
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def checkpoint(folder: Path) -> Checkpoint:
    return read_checkpoint(folder / "checkpoint.npz")


def logged(folder: Path) -> list[dict[str, object]]:
    """The log without what depends on the clock."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if "second" not in key} for line in lines]


def test_killed_at_random_moments_and_resumed_on_other_machines_to_the_same_bits(tmp_path: Path) -> None:
    """SIGKILL strikes a run on the compiled engine again and again; golden and fast take turns to finish it."""
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    code, output, _ = run(*TRAIN, "--out", str(unbroken))
    assert code == 0
    assert output.splitlines()[-1].startswith("test error ")
    moments = random.Random(3)
    kills = 0
    for machine in ("fast", "golden", "fast", "golden"):
        resume = ["--resume"] if (broken / "checkpoint.npz").exists() else []
        process = start(*TRAIN, "--out", str(broken), "--machine", machine, *resume)
        time.sleep(moments.uniform(0.8, 4.0))
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills >= 1
    resume = ["--resume"] if (broken / "checkpoint.npz").exists() else []
    code, _, errors = run(*TRAIN, "--out", str(broken), *resume)
    assert code == 0, errors
    states = checkpoint(unbroken).state, checkpoint(broken).state
    assert states[0].keys() == states[1].keys()
    for name, values in states[0].items():
        assert np.array_equal(values, states[1][name]), name
    assert logged(unbroken) == logged(broken)


def test_interrupt_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = start("train", "--config", "lenet-bl1-um", "--machine", "golden", "--data", "digits", "--quiet",
                    "--out", str(tmp_path))  # fmt: skip
    for _ in range(600):
        if (tmp_path / "checkpoint.npz").exists():
            break
        time.sleep(0.1)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in output + errors
    assert "Traceback" not in errors
    assert checkpoint(tmp_path).header.image > 0


def test_compare_says_bit_exact() -> None:
    code, output, _ = run("compare", "--machines", "golden,fast", "--config", "tiny", "--images", "200")
    assert (code, output.splitlines()[-1]) == (0, "bit-exact: 155 weights, 200 images")


def test_reference_trains_from_the_command_line(tmp_path: Path) -> None:
    code, output, _ = run(*TRAIN, "--machine", "reference", "--out", str(tmp_path), "--train-limit", "400")
    assert code == 0
    assert float(output.split()[-2]) < 60
