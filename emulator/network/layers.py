"""`layers`: what surrounds the tile of a stage: patches in, activation and pooling out, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emulator.config import Stage
from emulator.fixed import Integers, round_shift
from emulator.network.tile import Errors, Tile
from emulator.periphery.activation import activation, derivative
from emulator.periphery.block_exponent import block_exponent
from emulator.periphery.im2col import col2im, im2col
from emulator.periphery.pooling import pool, unpool


@dataclass(frozen=True)
class ForwardCycle:
    """What the backward and update cycles need of a stage's forward cycle."""

    x: Integers  # (positions, columns), the array's input with the bias line
    y: Integers  # (positions, rows), pre-activations at the ADC's LSB
    output: Integers  # (height, width, rows), activations after pooling
    where: Integers | None  # argmax of pooling


class StageModel:
    """One stage: a convolution or a fully connected layer with its array."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.tile = Tile(stage, seed)

    def forward(self, volume: Integers) -> ForwardCycle:
        """Activations ``(height, width, channels)`` to the next stage's volume."""
        stage = self.stage
        patches = im2col(volume, stage.kernel) if stage.convolutional else volume.reshape(1, -1)
        x = patches
        if stage.layer.bias:
            x = np.pad(patches, ((0, 0), (0, 1)), constant_values=1 << stage.activation_fraction)
        y = self.tile.forward(x)
        values = self.activate(y)
        output, where = pool(values) if stage.pooled else (values, None)
        return ForwardCycle(x, y, output, where)

    def activate(self, y: Integers) -> Integers:
        """Activations ``(height, width, rows)`` of pre-activations ``(positions, rows)``, before pooling."""
        stage = self.stage
        values = activation(
            y, stage.layer.activation, stage.adc_fraction, stage.activation_fraction, stage.activation_magnitude_bits
        )
        return values.reshape(stage.output_height, stage.output_width, stage.rows)

    def errors(self, cycle: ForwardCycle, sums: Integers, fraction: int) -> Errors:
        """Errors of the array's outputs from those of the stage's output volume, standing for ``s * 2**-fraction``.

        ``delta = z * activation'``: a shared exponent first, then the derivative, then back through the pooling.
        """
        stage = self.stage
        mantissas, exponent = self.share_exponent(sums, fraction)
        slope = derivative(cycle.output, stage.layer.activation, stage.activation_fraction)
        mantissas = round_shift(mantissas * slope, stage.activation_fraction)
        if cycle.where is not None:
            mantissas = unpool(mantissas, cycle.where, stage.output_height, stage.output_width)
        return Errors(mantissas.reshape(stage.positions, stage.rows), exponent)

    def share_exponent(self, sums: Integers, fraction: int) -> tuple[Integers, int]:
        """Mantissas of the stage's output volume and their exponent."""
        return block_exponent(sums, fraction, self.stage.error_magnitude_bits)

    def backward(self, errors: Errors) -> tuple[Integers, int]:
        """Errors of the stage's input volume ``(height, width, channels)``, wide sums, and their fraction bits."""
        stage = self.stage
        sums, fraction = self.tile.backward(errors)
        sums = sums[:, : stage.inputs]
        shape = stage.height, stage.width, stage.channels
        return (col2im(sums, stage.kernel, *shape) if stage.convolutional else sums.reshape(shape)), fraction
