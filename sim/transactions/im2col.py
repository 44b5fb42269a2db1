"""`im2col` and `im2col_back`: volumes and patches of words of every length."""

from __future__ import annotations

import numpy as np

from emulator.periphery.im2col import col2im, im2col
from hdl.periphery.im2col import Im2colBackParameters, Im2colParameters
from sim.transactions.base import Transactions, beats
from sim.transactions.volumes import drawn_volume, volume_beats


def im2col_transactions(parameters: Im2colParameters, generator: np.random.Generator, vectors: int) -> Transactions:
    p = parameters
    largest = (1 << p.magnitude_bits) - 1
    segments = [p.channels] * p.kernel**2 + [1] * p.bias
    inputs, outputs = [], []
    for _ in range(vectors):
        volume = drawn_volume(generator, (p.height, p.width, p.channels), -largest, largest)
        inputs += volume_beats(volume, p.lanes, fill=generator, fill_bits=p.magnitude_bits)
        for patch in im2col(volume, p.kernel).tolist():
            outputs += beats(patch + [p.one] * p.bias, p.lanes, segments=segments)
    return Transactions({"i": inputs}, {"o": outputs})


def im2col_back_transactions(
    parameters: Im2colBackParameters, generator: np.random.Generator, vectors: int
) -> Transactions:
    """Every third volume is of largest words, so that its sums are the largest."""
    p = parameters
    largest = (1 << p.magnitude_bits) - 1
    shape = (p.rows * p.columns, p.kernel**2, p.channels)
    inputs, outputs = [], []
    for number in range(vectors):
        patches = np.full(shape, -largest) if number % 3 == 1 else drawn_volume(generator, shape, -largest, largest)
        for patch in patches:
            inputs += beats(
                patch.ravel().tolist(),
                p.lanes,
                segments=[p.channels] * p.kernel**2,
                fill=generator,
                fill_bits=p.magnitude_bits,
            )
        outputs += volume_beats(col2im(patches, p.kernel, p.height, p.width, p.channels), p.lanes)
    return Transactions({"i": inputs}, {"o": outputs})
