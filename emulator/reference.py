"""`reference`: the paper's equations in float64 with ideal Gaussian noise, for the same configs. Never bit-exact.

The equations are those of Gokmen et al. 2017 and, for the update, of Gokmen and Vlasov 2016. What it leaves out on
purpose is everything digital: words, rounding, converters, generators of few bits. Replicas, noise, bounds and
management are as the config says; ``power_of_two`` management stands for the exact one, which it approximates.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from emulator.array.devices.constant_step import ConstantStep
from emulator.config import Config, Stage
from emulator.config.schema import Read
from emulator.errors import DivergenceError, MachineError, StateError
from emulator.machine import Ranges, State, check_images, check_labels, check_state

Floats = NDArray[np.float64]


class Array:
    """The device array of a stage: weights, steps and bounds of every physical device."""

    def __init__(self, stage: Stage, random: np.random.Generator) -> None:
        device = stage.array.device
        if not isinstance(device, ConstantStep):
            raise MachineError(f"machine 'reference': device.model = {device.model!r}: accepted: constant_step")
        self.stage, self.device, self.random = stage, device, random
        self.copies = stage.array.replication
        self.across_rows = stage.replicate_rows
        shape = (stage.physical_rows, stage.physical_columns)
        step = device.dw_min * np.maximum(0, 1 + device.dw_min_dtod * random.standard_normal(shape))
        half_ratio = device.up_down_dtod / 2 * random.standard_normal(shape)
        self.step_up, self.step_down = step * (1 + half_ratio), step * (1 - half_ratio)
        if device.w_max == "off":
            self.high = self.low = np.full(shape, np.inf)
        else:
            self.high = device.w_max * np.maximum(0, 1 + device.w_max_dtod * random.standard_normal(shape))
            self.low = device.w_max * np.maximum(0, 1 + device.w_max_dtod * random.standard_normal(shape))
        reach = stage.array.weight.initial_range / math.sqrt(stage.columns)
        weights = random.uniform(-reach, reach, (stage.rows, stage.columns))
        self.weights = np.clip(np.tile(weights, self._tiling), -self.low, self.high)

    @property
    def _tiling(self) -> tuple[int, int]:
        return (self.copies, 1) if self.across_rows else (1, self.copies)

    # --- the three cycles -----------------------------------------------------------------------------------------

    def forward(self, x: Floats) -> Floats:
        """y = W x for the rows of ``x`` (positions, columns)."""
        return self._read(x, self.weights.T, self.stage.array.forward, driven_replicated=not self.across_rows)

    def backward(self, delta: Floats) -> Floats:
        """z = W^T delta for the rows of ``delta`` (positions, rows)."""
        return self._read(delta, self.weights, self.stage.array.backward, driven_replicated=self.across_rows)

    def _read(self, vectors: Floats, weights: Floats, read: Read, driven_replicated: bool) -> Floats:
        scale = self._noise_management(vectors, read)
        inputs = vectors / scale
        if driven_replicated:
            inputs = _copies(inputs, self.copies)
        outputs = self._bounded(inputs, weights, read) * scale
        if driven_replicated:
            return outputs / self.copies
        return outputs.reshape(len(outputs), self.copies, -1).mean(axis=1)

    def _noise_management(self, vectors: Floats, read: Read) -> Floats | float:
        """delta_max of every vector, or the constant of the mode."""
        if read.noise_management in ("exact", "power_of_two"):
            largest = np.abs(vectors).max(axis=1, keepdims=True)
            return np.where(largest > 0, largest, 1.0)
        return 2.0**-read.constant_exponent if read.noise_management == "constant" else 1.0

    def _bounded(self, inputs: Floats, weights: Floats, read: Read) -> Floats:
        """Noise and output bound, and bound management: halve and repeat while an output saturates."""
        bound = np.inf if read.bound == "off" else read.bound
        inputs = np.clip(inputs, -1, 1)
        outputs = inputs @ weights
        if read.noise:
            outputs = outputs + read.noise * self.random.standard_normal(outputs.shape)
        factor = 1.0
        if bound == np.inf:
            return outputs
        saturated = np.flatnonzero((np.abs(outputs) >= bound).any(axis=1))
        for _ in range(read.bound_management):
            if not len(saturated):
                break
            factor *= 2
            again = inputs[saturated] / factor @ weights
            again += read.noise * self.random.standard_normal(again.shape)
            outputs[saturated] = np.clip(again, -bound, bound) * factor
            saturated = saturated[(np.abs(again) >= bound).any(axis=1)]
        return np.clip(outputs, -bound, bound) if factor == 1 else outputs

    def update(self, x: Floats, delta: Floats, learning_rate: float) -> None:
        """W <- W + eta delta x^T, by pulses or exactly."""
        if self.stage.array.update.mode == "exact":
            self.weights += np.tile(learning_rate * delta.T @ x, self._tiling)
            np.clip(self.weights, -self.low, self.high, out=self.weights)
            return
        slots = self.stage.array.update.desired_bl
        gain = math.sqrt(learning_rate / (slots * self.device.dw_min))
        m = self._update_management(x, delta)
        pulse_update(
            self.weights,
            (self.step_up, self.step_down, -self.low, self.high),
            _copies(np.sign(x), self._tiling[1]),
            _copies(np.sign(delta), self._tiling[0]),
            _copies(np.abs(x) * gain * m, self._tiling[1]),
            _copies(np.abs(delta) * gain / m, self._tiling[0]),
            slots,
            self.device.dw_min_std,
            self.random,
        )

    def _update_management(self, x: Floats, delta: Floats) -> Floats | float:
        """m = sqrt(delta_max / x_max) per update cycle."""
        if self.stage.array.update.management == "none":
            return 1.0
        x_max = np.abs(x).max(axis=1, keepdims=True)
        delta_max = np.abs(delta).max(axis=1, keepdims=True)
        usable = (x_max > 0) & (delta_max > 0)
        return np.where(usable, np.sqrt(np.where(usable, delta_max, 1) / np.where(usable, x_max, 1)), 1.0)


@numba.njit(cache=True)
def pulse_update(
    weights: Floats,
    devices: tuple[Floats, Floats, Floats, Floats],
    x_sign: Floats,
    delta_sign: Floats,
    x_probability: Floats,
    delta_probability: Floats,
    slots: int,
    deviation: float,
    random: np.random.Generator,
) -> None:
    """The stochastic update, slot by slot: every coincidence moves its device by one noisy step and
    clips it. Column pulses matter only in slots in which a row fires, and are drawn only there."""
    step_up, step_down, low, high = devices
    rows, columns = weights.shape
    fires = np.zeros(columns, dtype=np.bool_)
    for cycle in range(len(x_sign)):
        for _ in range(slots):
            drawn = False
            for i in range(rows):
                if delta_probability[cycle, i] == 0 or random.random() >= delta_probability[cycle, i]:
                    continue
                if not drawn:
                    drawn = True
                    for j in range(columns):
                        fires[j] = random.random() < x_probability[cycle, j]
                for j in range(columns):
                    if fires[j]:
                        sign = x_sign[cycle, j] * delta_sign[cycle, i]
                        step = step_up[i, j] if sign > 0 else step_down[i, j]
                        moved = weights[i, j] + sign * step * (1 + deviation * random.standard_normal())
                        weights[i, j] = min(max(moved, low[i, j]), high[i, j])


def _without_warnings() -> np.errstate:
    """No warnings of values that are not finite: weights are looked at after every image."""
    return np.errstate(over="ignore", invalid="ignore")


class ReferenceMachine:
    """The whole network in float64; logits are floats. Training raises DivergenceError once weights are not finite."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.random = np.random.Generator(np.random.PCG64(config.seed))
        self.arrays = [Array(stage, self.random) for stage in config.stages]

    def train(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Floats:
        """See Machine."""
        check_images(images, self.config)
        check_labels(labels, len(images), self.config)
        logits = []
        with _without_warnings():
            for index, (image, label) in enumerate(zip(images, labels, strict=True)):
                logits.append(self._train_image(image, int(label)))
                for array in self.arrays:
                    if not np.isfinite(array.weights).all():
                        raise DivergenceError(array.stage.name, index, self.config.learning_rate)
        return np.array(logits).reshape(-1, self.config.classes)

    def infer(self, images: NDArray[np.uint8]) -> Floats:
        """See Machine."""
        check_images(images, self.config)
        with _without_warnings():
            logits = [self._forward(image)[-1][1][0] for image in images]
        return np.array(logits).reshape(-1, self.config.classes)

    def state(self) -> State:
        """See Machine."""
        generator = self.random.bit_generator.state
        words = (*_halves(generator["state"]["state"]), *_halves(generator["state"]["inc"]))
        state = {f"{array.stage.name}.weights": array.weights.copy() for array in self.arrays}
        state["random"] = np.array([*words, generator["has_uint32"], generator["uinteger"]], dtype=np.uint64)
        return state

    def load(self, state: State) -> None:
        """See Machine."""
        check_state(state, self.state(), self._ranges())
        words = [int(word) for word in state["random"]]
        if words[3] % 2 == 0:
            raise StateError(f"state 'random'[3] = {words[3]}: accepted: an odd number")
        for array in self.arrays:
            array.weights = state[f"{array.stage.name}.weights"].copy()
        self.random.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": {"state": words[0] << 64 | words[1], "inc": words[2] << 64 | words[3]},
            "has_uint32": words[4],
            "uinteger": words[5],
        }

    def _ranges(self) -> Ranges:
        """Finite weights in the devices' bounds; the words of PCG64, and whether it keeps half a word, and which."""
        weights = {
            f"{array.stage.name}.weights": (np.nan_to_num(-array.low), np.nan_to_num(array.high))
            for array in self.arrays
        }
        return {**weights, "random": (0, np.array([*[2**64 - 1] * 4, 1, 2**32 - 1], dtype=np.uint64))}

    def _forward(self, image: NDArray[np.uint8]) -> list[tuple[Floats, Floats, Floats]]:
        """Per stage: the array's inputs x, its outputs y, and the activations ``(height, width, rows)``."""
        volume = image.astype(np.float64)[..., None] / 255
        passes = []
        for array in self.arrays:
            stage = array.stage
            x = _patches(volume, stage.kernel) if stage.convolutional else volume.reshape(1, -1)
            if stage.layer.bias:
                x = np.hstack((x, np.ones((len(x), 1))))
            y = array.forward(x)
            a = np.tanh(y) if stage.layer.activation == "tanh" else y
            a = a.reshape(stage.output_height, stage.output_width, stage.rows)
            passes.append((x, y, a))
            volume = _windows(a).max(axis=-1) if stage.pooled else a
        return passes

    def _train_image(self, image: NDArray[np.uint8], label: int) -> Floats:
        passes = self._forward(image)
        logits = passes[-1][1][0]
        powers = np.exp(logits - logits.max())
        z = -powers / powers.sum()
        z[label] += 1  # delta = onehot - softmax, the negative gradient
        for array, (x, _, a) in zip(reversed(self.arrays), reversed(passes), strict=True):
            stage = array.stage
            if stage.pooled:
                z = _unpool(z.reshape(stage.output_shape), a)
            delta = z.reshape(-1, stage.rows)
            if stage.layer.activation == "tanh":
                delta = delta * (1 - a.reshape(-1, stage.rows) ** 2)
            if array is not self.arrays[0]:
                sums = array.backward(delta)[:, : stage.inputs]
                z = _scatter(sums, stage) if stage.convolutional else sums
            array.update(x, delta, self.config.learning_rate)
        return logits


def _copies(vectors: Floats, count: int) -> Floats:
    """Every vector driven on ``count`` replicas of its lines."""
    return vectors if count == 1 else np.tile(vectors, (1, count))


def _halves(word: int) -> tuple[int, int]:
    return word >> 64, word & (1 << 64) - 1


def _patches(volume: Floats, kernel: int) -> Floats:
    windows = sliding_window_view(volume, (kernel, kernel), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    return windows.reshape(windows.shape[0] * windows.shape[1], -1)


def _scatter(patches: Floats, stage: Stage) -> Floats:
    parts = patches.reshape(stage.output_height, stage.output_width, stage.kernel, stage.kernel, stage.channels)
    volume = np.zeros((stage.height, stage.width, stage.channels))
    for row, column in np.ndindex(stage.kernel, stage.kernel):
        volume[row : row + stage.output_height, column : column + stage.output_width] += parts[:, :, row, column]
    return volume


def _windows(volume: Floats) -> Floats:
    height, width = volume.shape[0] // 2, volume.shape[1] // 2
    windows = volume[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1)
    return windows.transpose(0, 2, 4, 1, 3).reshape(height, width, -1, 4)


def _unpool(z: Floats, activations: Floats) -> Floats:
    """Each pooled error back to where its maximum was."""
    where = _windows(activations).argmax(axis=-1)
    volume = np.zeros_like(activations)
    row, column, channel = np.ogrid[: z.shape[0], : z.shape[1], : z.shape[2]]
    volume[2 * row + where // 2, 2 * column + where % 2, channel] = z
    return volume
