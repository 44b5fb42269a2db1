import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from emulator import cli, compare
from emulator.cli import main
from emulator.config import load, preset_names
from emulator.errors import DataError
from emulator.training import loop

CHECKOUT = Path(__file__).resolve().parents[1]
TINY = ("--config", "tiny")
SHORT = (*TINY, "--machine", "golden", "--train-limit", "8", "--test-limit", "4", "--quiet")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def failure(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """The error line of a command that fails as it should."""
    assert main(arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"error: [^\n]+\n", printed.err), printed.err
    return printed.err.removeprefix("error: ").rstrip("\n")


# --- train ----------------------------------------------------------------------------------------------------------


def test_train_writes_its_files_and_ends_with_the_test_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *SHORT, "--epochs", "2", "--out", "run", "--checkpoint-every", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines[:2]] == ["epoch  1 ", "epoch  2 "]
    assert re.fullmatch(r"test error \d+\.\d\d %", lines[-1])
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"checkpoint.npz", "log.jsonl", "report.html"}
    assert [json.loads(line)["images"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()] == [8, 8]
    assert "of 2" in (tmp_path / "run" / "report.html").read_text()


def test_train_resumes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *SHORT, "--epochs", "1"]) == 0
    assert main(["train", *SHORT, "--epochs", "2", "--resume"]) == 0
    assert main(["train", *SHORT, "--epochs", "2", "--out", "whole"]) == 0
    capsys.readouterr()
    parts, whole = (
        [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
        for folder in ("runs/tiny-golden-digits", "whole")
    )
    for line in (*parts, *whole):
        line.update(seconds=0, images_per_second=0)
    assert parts == whole and len(parts) == 2


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        ((), "runs/tiny-golden-digits"),
        (("--seed", "5"), "runs/tiny-golden-digits-seed5"),
        (("--set", "name=a/b c"), "runs/a_b_c-golden-digits"),
        (("--data", "some/folder/"), "runs/tiny-golden-folder"),
    ],
)
def test_the_folder_of_a_run_is_named_after_it(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], out: str
) -> None:
    seen: list[Path] = []

    def fake_run(config: Any, machine: str, dataset: Any, **options: Any) -> loop.Outcome:
        seen.append(options["out"])
        return loop.Outcome(0.0, None)

    monkeypatch.setattr(loop, "run_training", fake_run)
    monkeypatch.setattr("emulator.training.datasets.load_dataset", lambda name, **options: name)
    assert main(["train", *SHORT, *arguments]) == 0
    assert seen == [Path(out)]


def test_every_option_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def fake_load(name: str, **options: Any) -> str:
        seen.update(options, data=name)
        return name

    def fake_run(config: Any, machine: str, dataset: Any, **options: Any) -> loop.Outcome:
        seen.update(
            options, seed=config.seed, rate=config.learning_rate, replication=config.stages[0].array.replication
        )
        seen.update(machine=machine)
        return loop.Outcome(None, signal.SIGTERM)

    monkeypatch.setattr(loop, "run_training", fake_run)
    monkeypatch.setattr("emulator.training.datasets.load_dataset", fake_load)
    arguments = (
        "--machine reference --data mnist --data-dir d --epochs 3 --train-limit 5 --test-limit 6 --seed 9 --out o"
    )
    settings = ("--set", "learning_rate=0.5", "--set", "layers.K1.array.replication=2")
    more = ("--resume", "--quiet", "--checkpoint-every", "7")
    assert main(["train", *TINY, *arguments.split(), *settings, *more]) == 143
    seen.pop("echo")
    assert callable(seen.pop("build"))
    assert seen == {
        "data": "mnist", "height": 6, "width": 6, "classes": 10, "data_dir": Path("d"), "train_limit": 5,
        "test_limit": 6, "machine": "reference", "seed": 9, "rate": 0.5, "replication": 2, "epochs": 3,
        "out": Path("o"), "resume": True, "quiet": True, "checkpoint_every": 7,
    }  # fmt: skip


def test_the_defaults_are_those_of_the_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def fake_run(config: Any, machine: str, dataset: Any, **options: Any) -> loop.Outcome:
        seen.update(options, config=config.name, machine=machine)
        return loop.Outcome(0.5, None)

    monkeypatch.setattr(loop, "run_training", fake_run)
    monkeypatch.setattr("emulator.training.datasets.load_dataset", lambda name, **options: name)
    assert main(["train"]) == 0
    assert callable(seen.pop("build"))
    assert seen == {
        "config": "lenet-bl1-um", "machine": "fast", "epochs": 30, "out": Path("runs/lenet-bl1-um-fast-digits"),
        "resume": False, "quiet": False, "checkpoint_every": 10_000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing command; accepted: compare, show, train, vectors"),
        (("fly",), "'fly'; accepted: compare, show, train, vectors"),
        (("train", "--fly"), "'--fly'; accepted: --config, --set"),
        (("train", "extra"), "extra"),
        (("train", "--epochs", "0"), "0 is not in the range x>=1"),
        (("train", "--epochs", "many"), "'many'"),
        (("train", "--epochs"), "'--epochs' requires an argument"),
        (("train", "--machine", "abacus"), "'abacus' is not one of 'golden', 'fast'"),
        (("train", "--seed", "-1"), "-1 is not in the range"),
        (("train", "--train-limit", "0"), "0 is not in the range"),
        (("train", "--checkpoint-every", "0"), "0 is not in the range"),
        (("train", "--config", "lenett"), "'lenett'"),
        (("train", "--config", "absent.toml"), "'absent.toml'"),
        (("train", "--config", "."), "'.'"),
        (("train", "--set", "learning_rate"), "'learning_rate'"),
        (("train", "--set", "learning_rate=fast"), "learning_rate = 'fast'"),
        (("train", "--set", "learning_rat=1"), "learning_rat"),
        (("train", "--set", "layers.K1.array.replication=0"), "replication = 0"),
        (("train", *SHORT, "--data", "absent"), "absent"),
        (("train", *SHORT, "--data", "a\nb"), "data set"),
        (("train", *SHORT, "--data", "mnist", "--data-dir", "absent"), "absent"),
        (("train", *SHORT, "--data", "mnist", "--data-dir", ""), "'--data-dir': '': accepted: the path of a folder"),
        (("train", *SHORT, "--data", ""), "data set '': No such file"),
        (("train", *SHORT, "--resume"), "checkpoint.npz': missing"),
        (("compare", *TINY, "--images", "0"), "0 is not in the range"),
        (("compare", *TINY, "--machines", "golden"), "'golden': accepted: two or more of golden, fast"),
        (("compare", *TINY, "--machines", ""), "'': accepted: two or more"),
        (("compare", *TINY, "--machines", "golden,abacus"), "'golden,abacus'"),
        (("compare", *TINY, "--machines", "golden,,fast"), "'golden,,fast'"),
        (("show", "--config", "nothing"), "'nothing'"),
        (("show", "--set", "=1"), "'=1'"),
        (("vectors",), "'BLOCK'"),
        (("vectors", "lfsr"), "'--out'"),
        (("vectors", "lfsr", "--out", "o", "--count", "-1"), "-1 is not in the range"),
    ],
)
def test_a_bad_command_line_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert said in failure(capsys, *arguments)


def test_a_run_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *SHORT, "--epochs", "1", "--out", "run"]) == 0
    capsys.readouterr()
    before = {path.name: path.read_bytes() for path in Path("run").iterdir()}
    assert "--resume" in failure(capsys, "train", *SHORT, "--out", "run")
    assert "seed = 1" in failure(capsys, "train", *SHORT, "--out", "run", "--resume", "--seed", "3")
    assert "of other data" in failure(capsys, "train", *SHORT, "--out", "run", "--resume", "--train-limit", "9")
    Path("run/checkpoint.npz").write_bytes(before["checkpoint.npz"][:-5])
    assert "truncated" in failure(capsys, "train", *SHORT, "--out", "run", "--resume")
    Path("run/checkpoint.npz").write_bytes(before["checkpoint.npz"])
    assert {path.name: path.read_bytes() for path in Path("run").iterdir()} == before


def test_an_out_that_is_no_folder_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    assert "'file' is a file" in failure(capsys, "train", *SHORT, "--out", "file")
    assert "file/run: Not a directory" in failure(capsys, "train", *SHORT, "--out", "file/run")


def test_a_full_disk_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fail)
        assert "No space left on device" in failure(capsys, "train", *SHORT, "--out", "run")
    assert not Path("run").exists()


def test_corrupt_data_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").mkdir()
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        Path(f"data/{name}-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x05abc"))
    assert "data/train-images-idx3-ubyte.gz" in failure(capsys, "train", *SHORT, "--data", "data")


def test_an_interrupt_outside_a_run_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "load", interrupt)
    assert main(["show"]) == 130
    # click leaves the line that holds the terminal's ^C first.
    assert capsys.readouterr().err.strip() == "interrupted"


def test_an_error_of_several_lines_becomes_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise DataError("one\n  two")

    monkeypatch.setattr(cli, "load", fail)
    assert failure(capsys, "show") == "one two"


# --- compare --------------------------------------------------------------------------------------------------------


def test_compare_says_bit_exact_and_how_much(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *TINY, "--machines", "golden, golden", "--images", "12"]) == 0
    assert capsys.readouterr().out == "bit-exact: 155 weights, 12 images\n"


def test_compare_names_the_difference(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def fake(config: Any, names: list[str], images: Any, labels: Any, *, build: Any) -> str:
        seen.update(names=names, images=len(images), seed=config.seed)
        return "first difference: there"

    monkeypatch.setattr(compare, "compare_machines", fake)
    # More images than the data set has: later epochs follow.
    assert main(["compare", *TINY, "--machines", "golden,fast", "--images", "3000", "--seed", "4"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "first difference: there"
    assert seen == {"names": ["golden", "fast"], "images": 3000, "seed": 4}


def test_compare_of_checkpoints(capsys: pytest.CaptureFixture[str]) -> None:
    for machine in ("golden", "fast"):
        assert main(["train", *SHORT, "--machine", machine, "--epochs", "2", "--out", machine]) == 0
    assert main(["train", *SHORT, "--epochs", "1", "--out", "shorter"]) == 0
    capsys.readouterr()
    assert main(["compare", "--checkpoints", "golden", "fast/checkpoint.npz"]) == 0
    assert capsys.readouterr().out == "bit-exact: 155 weights, 16 images\n"
    assert "training images 16 and 8; accepted: the same" in failure(
        capsys, "compare", "--checkpoints", "golden", "shorter"
    )
    assert "--checkpoints A B alone" in failure(capsys, "compare", "--checkpoints", "golden", "fast", "--images", "100")


# --- show -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", preset_names())
def test_what_show_prints_is_again_the_config(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["show", "--config", name]) == 0
    Path("shown.toml").write_text(capsys.readouterr().out)
    assert load("shown.toml") == load(name)


def test_show_takes_settings_and_odd_texts(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--set", 'description="a \\"b\\" \\\\ é # c"', "--set", "layers.W2.array.forward.bound=off"]
    assert main(["show", *TINY, *arguments, "--seed", "12"]) == 0
    Path("shown.toml").write_text(capsys.readouterr().out)
    shown = load("shown.toml")
    assert (shown.seed, shown.description) == (12, 'a "b" \\ é # c')
    assert shown == load("tiny", arguments[1::2], 12)


def test_show_counts_the_final_model_of_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--config", "lenet"]) == 0
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines() if line.startswith("# ")]
    assert ["#", "K2", "32", "x", "401", "416", "x", "401", "64", "13", "12,832", "166,816"] in rows
    assert ["#", "total", "80,202", "234,186"] in rows
    # C_x C_delta = eta / (BL dw_min) = 0.01 / 0.001; 18-bit weights; LFSRs of 64 bits.
    gains = next(row for row in rows if row[1] == "K1" and "LSB" in row)
    assert float(gains[2]) == pytest.approx(10**0.5, rel=1e-4)
    assert gains[6:9] == ["0.06", "/", "0.06"]
    memory = next(row for row in rows if row[1] == "K1" and len(row) == 6)
    lines = 16 + 26
    assert memory[2:] == [f"{bits:,}" for bits in (16 * 26 * 18, lines * 4 * 24, lines * 2 * 64, 28 * 28 * 8)]


# --- the process ----------------------------------------------------------------------------------------------------


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "emulator", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_process_cleanly(number: signal.Signals, code: int) -> None:
    process = start("train", *TINY, "--machine", "golden", "--epochs", "1000", "--out", "run", "--quiet")
    deadline = time.monotonic() + 60
    while not Path("run/log.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors == ""
    assert re.search(r"^stopped in epoch \d+ after image \d+ of 1437; .* --resume", out.splitlines()[-1])
    assert Path("run/checkpoint.npz").exists()


def test_an_error_of_the_process_is_one_line() -> None:
    process = start("show", "--config", "none")
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert re.fullmatch(r"error: [^\n]+\n", errors)


def test_a_reader_that_leaves_is_no_traceback() -> None:
    process = start("show", "--config", "lenet")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.wait(timeout=60)
    process.stderr.close()
    assert errors == ""
