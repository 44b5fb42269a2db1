"""`network`: the golden machine. Forward through all stages, softmax error, and back, image by image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emulator.config import Config
from emulator.fixed import SOFTMAX_FRACTION_BITS, Integers
from emulator.machine import Ranges, State, check_images, check_labels, check_state
from emulator.network.layers import ForwardCycle, StageModel
from emulator.network.tracing import traced
from emulator.periphery.softmax import softmax_error
from emulator.trace import Trace


def pixels_to_activations(image: NDArray[np.uint8], fraction: int) -> Integers:
    """Pixels 0 .. 255 as 0 .. 1: ``round(pixel * 2**fraction / 255)``, halves upwards. Adds the channel axis."""
    return ((image.astype(np.int64) << (fraction + 1)) + 255)[..., None] // 510


class GoldenMachine:
    """The machine that owns the truth: NumPy integers, block by block as the hardware has them."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.stages = [StageModel(stage, config.seed) for stage in config.stages]

    def train(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Integers:
        """See Machine."""
        check_images(images, self.config)
        check_labels(labels, len(images), self.config)
        logits = [self._train_image(image, int(label)) for image, label in zip(images, labels, strict=True)]
        return np.array(logits, dtype=np.int64).reshape(-1, self.config.classes)

    def trace(self, image: NDArray[np.uint8], label: int) -> Trace:
        """See Traceable. Every item of emulator/trace.py, as far as the config has it."""
        trace = Trace(self.config.stages)
        with traced(self.stages, trace):
            self.train(image[None], np.array([label], dtype=np.uint8))
        return trace

    def infer(self, images: NDArray[np.uint8]) -> Integers:
        """See Machine."""
        check_images(images, self.config)
        logits = [self._forward(image)[-1].y[0] for image in images]
        return np.array(logits, dtype=np.int64).reshape(-1, self.config.classes)

    def state(self) -> State:
        """See Machine."""
        return {name: values for stage in self.stages for name, values in stage.tile.state().items()}

    def ranges(self) -> Ranges:
        """Of every array of a state: what training can lead to."""
        return {name: ends for stage in self.stages for name, ends in stage.tile.ranges().items()}

    def load(self, state: State) -> None:
        """See Machine."""
        check_state(state, self.state(), self.ranges())
        for stage in self.stages:
            stage.tile.load(state)

    def _forward(self, image: NDArray[np.uint8]) -> list[ForwardCycle]:
        volume = pixels_to_activations(image, self.config.formats.activation_fraction_bits)
        cycles: list[ForwardCycle] = []
        for stage in self.stages:
            cycles.append(stage.forward(volume))
            volume = cycles[-1].output
        return cycles

    def _train_image(self, image: NDArray[np.uint8], label: int) -> Integers:
        cycles = self._forward(image)
        logits = cycles[-1].y[0]
        sums = softmax_error(logits, label, self.stages[-1].stage.adc_fraction).reshape(1, 1, -1)
        fraction = SOFTMAX_FRACTION_BITS
        for stage, cycle in zip(reversed(self.stages), reversed(cycles), strict=True):
            errors = stage.errors(cycle, sums, fraction)
            if stage is not self.stages[0]:
                sums, fraction = stage.backward(errors)
            stage.tile.update(cycle.x, errors)
        return logits
