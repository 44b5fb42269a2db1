import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.training.order import epoch_order, first_images

MASK = (1 << 64) - 1
seeds = st.integers(0, 2**63 - 1)


def splitmix64(value: int) -> int:
    z = (value + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 1000), st.integers(1, 200))
def test_every_epoch_is_the_permutation_of_the_specification(seed: int, epoch: int, count: int) -> None:
    shuffle = 1
    key = splitmix64(splitmix64(splitmix64(seed) ^ shuffle) ^ epoch)
    expected = sorted(range(count), key=lambda image: splitmix64(key ^ image))
    assert epoch_order(seed, epoch, count).tolist() == expected


def test_orders_differ_between_epochs_and_seeds() -> None:
    orders = {tuple(epoch_order(seed, epoch, 50)) for seed in range(10) for epoch in range(1, 11)}
    assert len(orders) == 100


def test_images_are_spread_evenly_over_the_places_of_an_epoch() -> None:
    epochs, count = 2000, 8
    places = np.zeros((count, count))
    for epoch in range(1, epochs + 1):
        places[np.arange(count), epoch_order(3, epoch, count)] += 1
    expected = epochs / count
    chi_squared = ((places - expected) ** 2 / expected).sum()
    assert chi_squared < 100  # 49 degrees of freedom: exceeded once in 50,000 seeds


@pytest.mark.parametrize("length", [0, 1, 6, 7, 8, 20])
def test_the_first_images_go_on_into_later_epochs(length: int) -> None:
    whole = [*epoch_order(5, 1, 7), *epoch_order(5, 2, 7), *epoch_order(5, 3, 7)]
    assert first_images(5, 7, length).tolist() == whole[:length]
