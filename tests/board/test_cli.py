"""The commands around boards: what they print, that every mistake is one line, and that a run that was cut off goes on."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from board import link
from board.cli import main
from board.simulator import serving
from board.targets import TARGETS
from emulator import cli as emulator_cli
from emulator.command_line import INTERRUPTED_EXIT
from emulator.config import Config, load
from emulator.machine import Connection
from emulator.training.datasets import Dataset, load_dataset
from emulator.training.loop import run_training
from tests.board.lines import Served, golden_board

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def failure(capsys: pytest.CaptureFixture[str], *arguments: str, run=main) -> str:
    """The error line of a command that fails as it should."""
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert re.fullmatch(r"error: [^\n]+\n", printed.err), printed.err
    return printed.err.removeprefix("error: ").rstrip("\n")


TRAIN = ("train", "--config", "tiny", "--epochs", "1", "--train-limit", "12", "--test-limit", "4", "--quiet")


# --- list -------------------------------------------------------------------------------------------------------------


def test_list_names_every_board(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == list(TARGETS)
    for line, target in zip(lines[1::2], TARGETS.values(), strict=True):
        assert f"{target.baud} baud, --config {target.config}" in line


def test_the_speed_of_a_port_is_that_of_the_first_board() -> None:
    assert next(iter(TARGETS.values())).baud == Connection.baud


# --- training ---------------------------------------------------------------------------------------------------------


def final_state(out: Path) -> dict[str, np.ndarray]:
    with np.load(out / "checkpoint.npz") as stored:
        return {name: stored[name] for name in stored.files if "." in name}


def assert_same_run(first: Path, second: Path) -> None:
    expected, got = final_state(first), final_state(second)
    assert len(expected) > 10
    assert expected.keys() == got.keys()
    assert all(np.array_equal(values, got[name]) for name, values in expected.items())


def test_a_run_that_loses_its_board_is_resumed_to_the_same_bits(
    tiny: Config, tiny_digits: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    """The device vanishes in the middle; then there is another one."""
    dataset = load_dataset("digits", height=6, width=6, classes=10, train_limit=12, test_limit=4)
    run_training(tiny, "golden", dataset, epochs=1, out=Path("golden"), quiet=True)
    arguments = (*TRAIN, "--out", "board", "--checkpoint-every", "4")
    board, model = golden_board(tiny)
    images, seen = model.network.image, []

    def counting(pixels: bytes, label: int, train: bool) -> list[int]:
        seen.append(label)
        return images(pixels, label, train)

    model.network.image = counting
    with serving(board, going=lambda: len(seen) < 10) as port:
        text = failure(capsys, *arguments, "--port", port.device)
    assert re.fullmatch(r"port '.*': vanished \(.*\); accepted: a port that stays, with its board at the end", text)
    board, _ = golden_board(tiny)
    with serving(board) as port:
        assert main([*arguments, "--port", port.device, "--resume"]) == 0
    printed = capsys.readouterr().out
    assert "resuming in epoch 1 after image " in printed
    assert printed.splitlines()[-1].startswith("test error ")
    assert_same_run(Path("golden"), Path("board"))


def test_compare_over_a_port(tiny: Config, capsys: pytest.CaptureFixture[str]) -> None:
    board, _ = golden_board(tiny)
    with serving(board) as port:
        arguments = (
            "compare",
            "--config",
            "tiny",
            "--images",
            "6",
            "--machines",
            "golden,board",
            "--port",
            port.device,
        )
        assert emulator_cli.main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "bit-exact: 155 weights, 6 images"


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "HELLO_SECONDS", 0.6)


def test_ports_that_are_missing_or_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    emulated = emulator_cli.main
    assert "machine 'board': no port; accepted: --port" in failure(capsys, *TRAIN)
    text = failure(capsys, *TRAIN, "--machine", "fast", "--port", "/dev/x", run=emulated)
    assert text == "port '/dev/x' with machine fast: accepted: a port with board"
    text = failure(capsys, "compare", "--machines", "golden,fast", "--port", "/dev/x", run=emulated)
    assert text == "port '/dev/x' with machine golden, fast: accepted: a port with board"
    assert "--baud without --port" in failure(capsys, *TRAIN, "--machine", "fast", "--baud", "9600", run=emulated)
    assert "--patience without --port" in failure(capsys, *TRAIN, "--machine", "board", "--patience", "9", run=emulated)


def test_no_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert "port '/dev/no-such': no such port; accepted: " in failure(capsys, *TRAIN, "--port", "/dev/no-such")


def test_no_permission(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refuse(path, *arguments, **options):
        if path == "/dev/ttyUSB0":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert "port '/dev/ttyUSB0': permission denied; accepted: " in failure(capsys, *TRAIN, "--port", "/dev/ttyUSB0")


@pytest.mark.usefixtures("impatient")
def test_wrong_baud(tiny: Config, capsys: pytest.CaptureFixture[str]) -> None:
    board, _ = golden_board(tiny)
    with serving(board, baud=1_000_000) as port:
        text = failure(capsys, *TRAIN, "--port", port.device, "--baud", "115200")
        # What the board makes of it is no frame, so that it may say nothing at all.
        assert re.search(r"(no answer|only garbage comes) at 115200 baud; accepted: ", text)


@pytest.mark.usefixtures("impatient")
def test_another_program_and_none(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Served(lambda came: b"AT\r\nERROR\r\n" if came else b"")) as port:
        assert "only garbage comes at" in failure(capsys, *TRAIN, "--port", port.device)
    with serving(Served(lambda came: b"")) as port:
        assert "no answer at" in failure(capsys, *TRAIN, "--port", port.device)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also where the tests were started with it ignored, as in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_ends_a_wait_for_a_board(capsys: pytest.CaptureFixture[str]) -> None:
    """As soon as the host waits: it has said hello."""
    main_thread = threading.get_ident()

    def serve(came: bytes) -> bytes:
        if came:
            signal.pthread_kill(main_thread, signal.SIGINT)
        return b""

    start = time.monotonic()
    with serving(Served(serve)) as port:
        assert main((*TRAIN, "--port", port.device)) == INTERRUPTED_EXIT
    assert capsys.readouterr().err.split() == ["interrupted"]
    assert time.monotonic() - start < link.HELLO_SECONDS


def test_bitstream_of_another_config(capsys: pytest.CaptureFixture[str]) -> None:
    board, _ = golden_board(load("small"))
    with serving(board) as port:
        text = failure(capsys, *TRAIN, "--port", port.device)
    assert re.search(r"the board holds hardware [0-9a-f]{16}; accepted: [0-9a-f]{16}, the bitstream of this", text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("simulate", "--config", "tiny", "--faults", "flop=1"), "fault 'flop=1': accepted: "),
        (("simulate", "--config", "none"), "config 'none'"),
        (("simulate", "--board", "none"), "'none' is not one of"),
        (("simulate", "--config", "tiny", "--set", "array.update.mode=exact"), "machine 'board': "),
        (("build", "--board", "none"), "'none' is not one of"),
        (("program", "--bitstream", "no.bit", "--config", "tiny"), "--bitstream with --config or --set"),
        (("campaign", "--runs", "0"), "0 is not in the range"),
        (("none",), "No such command 'none'; accepted: bench, build, campaign, list, program, simulate, train"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in failure(capsys, *arguments)


# --- simulate ---------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(1200)  # it may have to be compiled
@pytest.mark.usefixtures("tiny_board")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_simulate_serves_a_device_until_it_is_interrupted(tmp_path: Path, ending: signal.Signals) -> None:
    """As two programs, of which only the name of the device is between them."""
    device = tmp_path / "board"
    command = [sys.executable, "-m", "board", "simulate", "--config", "tiny", "--link", str(device)]
    command += ["--faults", "drop=1e-4,seed=3"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as simulator:
        try:
            assert simulator.stdout is not None
            line = simulator.stdout.readline()
            assert line == f"{device}: ulx3s-85f with tiny, {Connection.baud} baud; ends with Ctrl-C\n"
            arguments = ("compare", "--config", "tiny", "--images", "3", "--machines", "golden,board")
            assert emulator_cli.main((*arguments, "--port", str(device))) == 0
        finally:
            simulator.send_signal(ending)
            out, err = simulator.communicate(timeout=60)
    assert re.fullmatch(r"faults: (drop \d+|none)\n", out)
    assert (simulator.returncode, err, device.is_symlink()) == (0, "", False)


def test_a_link_that_cannot_be_made(tmp_path: Path) -> None:
    from board.device_link import DeviceLinkError
    from board.simulator import PseudoPort

    board, _ = golden_board(load("tiny"))
    (tmp_path / "file").write_text("mine")
    for name in ("file", "no/folder"):
        with pytest.raises(DeviceLinkError, match=r"--link '.*': .*; accepted: a name in a writable folder") as caught:
            PseudoPort(board, baud=9600, link=tmp_path / name)
        assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "link").symlink_to("/dev/pts/none")  # left by a simulator that was killed
    with PseudoPort(board, baud=9600, link=tmp_path / "link") as port:
        assert (tmp_path / "link").readlink() == Path(port.device)
    assert not (tmp_path / "link").is_symlink()


def test_an_idle_simulator_rests(tiny: Config) -> None:
    board, _ = golden_board(tiny)
    board.restless = 0.0
    turns: list[float] = []

    def going() -> bool:
        turns.append(time.monotonic())
        return True

    with serving(board, going=going):
        time.sleep(1.0)
    assert 3 <= len(turns) <= 20
