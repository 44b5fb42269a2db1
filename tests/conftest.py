"""Options and data shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from emulator.training.datasets import Dataset, load_dataset

# The same examples in every run: a failure of CI is a failure everywhere, and no run is luckier than another.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mnist-dir", type=Path, help="folder of the MNIST idx files; digits stand in without it")


@pytest.fixture(scope="session")
def lenet_images(request: pytest.FixtureRequest) -> Dataset:
    """28 x 28 images: MNIST where --mnist-dir says where it is, else the embedded digits."""
    folder = request.config.getoption("--mnist-dir")
    return load_dataset("mnist" if folder else "digits", height=28, width=28, classes=10, data_dir=folder)


@pytest.fixture
def garbling(monkeypatch: pytest.MonkeyPatch) -> None:
    """All exclusive memories give the complement of a word that is read while it is written."""
    from tests.hdl.garbling import Garbling

    monkeypatch.setattr("hdl.memory.Memory", Garbling)
