"""Every preset gives the same bits on golden and fast, on real images: MNIST with --mnist-dir, else digits."""

from __future__ import annotations

import pytest

from emulator.compare import compare_machines
from emulator.config import load, preset_names
from emulator.training.datasets import Dataset
from emulator.training.resample import resample

IMAGES = 3


@pytest.mark.parametrize("preset", preset_names())
def test_golden_equals_fast(preset: str, lenet_images: Dataset) -> None:
    config = load(preset)
    images = resample(lenet_images.train_images[:IMAGES], config.input.height, config.input.width)
    assert compare_machines(config, ["golden", "fast"], images, lenet_images.train_labels[:IMAGES]) is None


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["lenet-bl1-um", "lenet-nm-bm", "lenet"])
def test_golden_equals_fast_far_into_training(preset: str, lenet_images: Dataset) -> None:
    """Hundreds of images, after which outputs saturate and bound management repeats."""
    config = load(preset)
    images, labels = lenet_images.train_images[:600], lenet_images.train_labels[:600]
    assert compare_machines(config, ["golden", "fast"], images, labels) is None
