"""Boards that several tests use."""

from __future__ import annotations

import pytest

from board.simulator import SimulatedBoard, simulated_link
from emulator.config import Config, load
from emulator.training.datasets import Dataset, load_dataset


@pytest.fixture(scope="session")
def tiny() -> Config:
    return load("tiny")


@pytest.fixture(scope="session")
def tiny_digits(tiny: Config) -> Dataset:
    return load_dataset("digits", height=tiny.input.height, width=tiny.input.width, classes=tiny.classes)


@pytest.fixture(scope="session")
def tiny_board(tiny: Config) -> SimulatedBoard:
    """The whole board in logic, Verilated. It is not reset between tests, as a board is not."""
    return SimulatedBoard(tiny, simulated_link(tiny))
