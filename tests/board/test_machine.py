"""Machine `board` returns the golden model's bits, on the simulated board and on the model of one."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from board.bench import HEADER, measure
from board.gateware.uart import LEAST_CLOCKS_PER_BIT
from board.gateware.wire import LOGIT_BYTES
from board.machine import BoardMachine
from board.simulator import SimulatedBoard, serving, simulated_link
from board.targets import TARGETS
from emulator.compare import compare_machines, state_difference
from emulator.config import Config, load
from emulator.errors import MachineError
from emulator.machine import CONNECTED, MACHINES, Connection, build_machine, builder
from emulator.network.network import GoldenMachine
from emulator.training.datasets import Dataset, load_dataset
from tests.board.lines import WatchedBoard, golden_board

NAMES = ("golden", "board")
#: On the line, with its start and stop bit.
BITS_OF_A_BYTE = 10


def assert_equal(golden: GoldenMachine, machine: BoardMachine) -> None:
    assert state_difference(NAMES, [golden.state(), machine.state()]) is None


@pytest.mark.timeout(1200)  # it may have to be compiled
def test_training_inference_and_loading_are_golden(tiny: Config, tiny_digits: Dataset, tiny_board) -> None:
    images, labels = tiny_digits.train_images[:12], tiny_digits.train_labels[:12]
    golden = GoldenMachine(tiny)
    board = WatchedBoard(tiny_board)
    with serving(board) as port:
        machine = build_machine("board", tiny, Connection(port.device))
        assert isinstance(machine, BoardMachine)
        assert_equal(golden, machine)
        logits = golden.train(images, labels)
        parts = [machine.train(images[part], labels[part]) for part in (slice(0, 1), slice(1, 5), slice(5, None))]
        assert np.array_equal(np.concatenate(parts), logits)
        assert_equal(golden, machine)
        assert np.array_equal(machine.infer(images[:3]), golden.infer(images[:3]))
        assert_equal(golden, machine)
        # Another host goes on from another state.
        machine.close()
        before = golden.state()
        golden.train(images[:2], labels[:2])
        machine = BoardMachine(tiny, Connection(port.device))
        assert_equal(GoldenMachine(tiny), machine)
        machine.load(before)
        machine.train(images[:2], labels[:2])
        assert_equal(golden, machine)
        assert machine.train(images[:0], labels[:0]).shape == (0, tiny.classes)
        machine.close()
    # Logic drops what is beyond its limit, and all comes again: only the line shows it.
    assert len(board.beyond) > 50
    assert not any(board.beyond)


def test_a_rate_counts_what_passes_the_line(tiny: Config, tiny_digits: Dataset, tiny_board: SimulatedBoard) -> None:
    images, labels = tiny_digits.train_images[:5], tiny_digits.train_labels[:5]
    target = TARGETS["ulx3s-85f"]
    rate = measure(target, tiny, tiny_board, images, labels)
    logits = len(images) * tiny.classes * LOGIT_BYTES
    assert rate.cycles > logits * BITS_OF_A_BYTE * LEAST_CLOCKS_PER_BIT
    assert rate.images_per_second == pytest.approx(5 * 60e6 / rate.cycles)
    # The host takes no time, so nothing but the board and the line counts.
    tiny_board.reset()
    assert measure(target, tiny, tiny_board, images, labels) == rate
    cells = [cell.strip() for cell in rate.row().strip("|").split("|")]
    assert len(cells) == HEADER.splitlines()[0].count("|") - 1
    assert cells[:5] == ["ulx3s-85f", "tiny", "4", "60", "5"]


def test_compare_with_other_machines(tiny: Config, tiny_digits: Dataset) -> None:
    images, labels = tiny_digits.train_images[:10], tiny_digits.train_labels[:10]
    board, _ = golden_board(tiny)
    with serving(board) as port:
        build = builder(["fast", "board"], Connection(port.device))
        assert compare_machines(tiny, ["fast", "board"], images, labels, build=build) is None


def test_a_wrong_weight_is_seen(tiny: Config, tiny_digits: Dataset) -> None:
    """One bit of a word, as a fault that the line's CRC does not know of."""
    images, labels = tiny_digits.train_images[:3], tiny_digits.train_labels[:3]
    board, model = golden_board(tiny)
    write = model.network.write

    with serving(board) as port:
        machine = BoardMachine(tiny, Connection(port.device))
        place = int(machine.memory.places["K1.weights"][0, 0])

        def spoil(address: int, word: int) -> None:
            write(address, word ^ (address == place))

        model.network.write = spoil
        machine.load(GoldenMachine(tiny).state())
        machine.train(images, labels)
        golden = GoldenMachine(tiny)
        golden.train(images, labels)
        assert "layer K1" in state_difference(NAMES, [golden.state(), machine.state()])
        machine.close()


def test_images_are_sent_while_others_are_at_work(tiny: Config, tiny_digits: Dataset) -> None:
    images, labels = tiny_digits.train_images[:20], tiny_digits.train_labels[:20]
    board, model = golden_board(tiny)
    with serving(board) as port:
        machine = BoardMachine(tiny, Connection(port.device))
        before = model._taken
        model.busy = True
        logits: list[np.ndarray] = []
        thread = threading.Thread(target=lambda: logits.append(machine.train(images, labels)))
        thread.start()
        end = time.monotonic() + 20
        while model._taken - before < 300 and time.monotonic() < end:
            time.sleep(0.01)
        ahead = model._taken - before
        model.busy = False
        thread.join()
        assert ahead >= 300  # ten images and more, none of which was answered
        assert np.array_equal(logits[0], GoldenMachine(tiny).train(images, labels))
        machine.close()


def test_hardware_of_another_config_is_refused(tiny: Config) -> None:
    board, _ = golden_board(load("tiny", ["hardware.lanes=2"]))
    with serving(board) as port:
        with pytest.raises(MachineError, match=r"the board holds hardware [0-9a-f]{16}; accepted: [0-9a-f]{16}, the"):
            BoardMachine(tiny, Connection(port.device))
        BoardMachine(load("tiny", ["hardware.lanes=2"]), Connection(port.device)).close()  # the port is free again


def test_seeds_and_rates_need_no_other_bitstream(tiny: Config) -> None:
    board, _ = golden_board(tiny)
    with serving(board) as port:
        for other in (load("tiny", seed=2), load("tiny", ["learning_rate=0.0101"])):
            BoardMachine(other, Connection(port.device)).close()


def test_a_config_that_hardware_does_not_hold() -> None:
    with pytest.raises(MachineError, match=r"machine 'board': .*update\.mode = exact"):
        BoardMachine(load("tiny", ["array.update.mode=exact"]), Connection("/dev/none"))


# --- connections ------------------------------------------------------------------------------------------------------


def test_machines_with_a_port_and_without(tiny: Config) -> None:
    assert CONNECTED == {"board"}
    assert CONNECTED < set(MACHINES)
    with pytest.raises(MachineError, match="machine 'board': no port; accepted: --port DEVICE"):
        build_machine("board", tiny)
    with pytest.raises(MachineError, match="machine 'fast': port '/dev/x'; accepted: a port with board"):
        build_machine("fast", tiny, Connection("/dev/x"))
    with pytest.raises(MachineError, match="port '/dev/x' with machine golden, fast: accepted: a port with board"):
        builder(["golden", "fast"], Connection("/dev/x"))
    assert builder(["golden", "board"], Connection("/dev/x"))("golden", tiny).state()


# --- long -------------------------------------------------------------------------------------------------------------


def train_alike(config: Config, board: SimulatedBoard, dataset: Dataset, count: int) -> None:
    """On the board and on the compiled engine, with every bit compared on the way and at the end."""
    with serving(board) as port:
        build = builder(["fast", "board"], Connection(port.device, patience=600))
        images, labels = dataset.train_images[:count], dataset.train_labels[:count]
        assert len(images) == count
        assert compare_machines(config, ["fast", "board"], images, labels, build=build) is None


@pytest.mark.timeout(1200)  # it may have to be compiled
def test_a_compact_network() -> None:
    """Its host takes words of the bus in its own way."""
    config = load("smallest")
    dataset = load_dataset("digits", height=config.input.height, width=config.input.width, classes=config.classes)
    train_alike(config, SimulatedBoard(config, simulated_link(config)), dataset, 8)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_images_of_tiny(tiny: Config, tiny_digits: Dataset, tiny_board: SimulatedBoard) -> None:
    train_alike(tiny, tiny_board, tiny_digits, 1000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_images_of_small() -> None:
    config = load("small")
    dataset = load_dataset("digits", height=config.input.height, width=config.input.width, classes=config.classes)
    train_alike(config, SimulatedBoard(config, simulated_link(config)), dataset, 200)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_three_images_of_the_network_for_a_board(lenet_images: Dataset) -> None:
    config = load("lenet-board")
    train_alike(config, SimulatedBoard(config, simulated_link(config)), lenet_images, 3)
