"""`fast`: the machine protocol on the compiled engine."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator import fixed
from emulator.array.devices import DEVICE_MODELS
from emulator.config import Config, ReadQuantities, Stage
from emulator.config.tables import EXPONENTIAL_RANGE, FINE_FRACTION_BITS, exponential_tables, tanh_table
from emulator.engine.build import library
from emulator.engine.records import read_records
from emulator.fixed import TAPS, Integers
from emulator.machine import State, check_images, check_labels, check_state
from emulator.network.network import GoldenMachine
from emulator.trace import Trace

MANAGEMENT = {"none": 0, "exact": 1, "power_of_two": 2, "constant": 3}
ACTIVATION = {"tanh": 0, "identity": 1, "softmax": 2}
INT = ctypes.c_int64
INTEGER_POINTER = ctypes.POINTER(INT)


class ReadDescription(ctypes.Structure):
    _fields_ = [(name, INT) for name in "noise_gain limit noise_management constant_exponent bound_management".split()]


class Gain(ctypes.Structure):
    _fields_ = [("mantissa", INT), ("shift", INT)]


class StageDescription(ctypes.Structure):
    """The same fields, in the same order, as description.hpp."""

    _fields_ = [
        *((name, INT) for name in "height width channels kernel convolutional pooled bias activation".split()),
        *((name, INT) for name in "rows columns replication replicate_rows positions output_height".split()),
        *((name, INT) for name in "output_width activation_fraction activation_magnitude_bits".split()),
        *((name, INT) for name in "error_magnitude_bits dac_fraction adc_fraction adc_shift".split()),
        *((name, INT) for name in "average_reciprocal average_guard_bits".split()),
        ("forward", ReadDescription),
        ("backward", ReadDescription),
        *((name, INT) for name in "exact_update desired_bl update_management probability_bits".split()),
        ("generator_sharing", INT),
        ("pulse_gain", Gain),
        ("pulse_power", Gain),
        ("rate_gain", Gain),
        *((name, INT) for name in "cycle_noise weight_fraction move_shift stochastic_rounding".split()),
        *((name, INT) for name in "device_model device_parameters".split()),
        ("generator_width", INT),
        ("taps", INT * 4),
        ("cycle_gains", INTEGER_POINTER),
        ("tanh_table", INTEGER_POINTER),
        ("tanh_entries", INT),
    ]


#: The same list for the type checker, to which ctypes allows a third member.
FIELDS: list[tuple[str, Any]] = [(field[0], field[1]) for field in StageDescription._fields_]


class Constants(ctypes.Structure):
    _fields_ = [
        *((name, INT) for name in "gain_bits reciprocal_guard_bits average_bits cycle_fraction_bits".split()),
        *((name, INT) for name in "draw_fraction_bits softmax_fraction_bits largest_exponent".split()),
        *((name, INT) for name in "exponential_range fine_fraction_bits".split()),
        ("coarse", INTEGER_POINTER),
        ("fine", INTEGER_POINTER),
    ]


STATE_NAMES = ("weights", "row_pulse", "column_pulse", "row_noise", "column_noise", "counters")


class StageState(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in STATE_NAMES]


class FastMachine:
    """The compiled engine with the golden model's initial state. Not to be shared between threads."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._library = library()
        self._kept: list[Any] = []  # arrays that the engine points into
        golden = GoldenMachine(config)
        stages = config.stages
        self._library.crosspoint_trace.restype = INTEGER_POINTER
        descriptions = (StageDescription * len(stages))(*(self._describe(stage) for stage in stages))
        constants = self._constants(stages[-1].adc_fraction)
        self._kept += [descriptions, constants]
        self._library.crosspoint_create.restype = ctypes.c_void_p
        self._network = ctypes.c_void_p(
            self._library.crosspoint_create(descriptions, INT(len(stages)), ctypes.byref(constants))
        )
        for index, model in enumerate(golden.stages):
            crossbar = model.tile.crossbar
            columns = [crossbar.parameters[name] for name in crossbar.device.PARAMETERS]
            parameters = np.ascontiguousarray(np.stack(columns, axis=-1), dtype=np.int32)
            low, high = (bound.astype(np.float64) for bound in crossbar.device.bounds(crossbar.parameters))
            self._library.crosspoint_set_devices(
                self._network, INT(index), _pointer(parameters), _pointer(low), _pointer(high)
            )
        self._state, self._ranges = golden.state(), golden.ranges()
        self.load(self._state)

    def __del__(self) -> None:
        if getattr(self, "_network", None):
            self._library.crosspoint_destroy(self._network)

    def train(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Integers:
        """See Machine."""
        check_images(images, self.config)
        check_labels(labels, len(images), self.config)
        images, labels = np.ascontiguousarray(images), np.ascontiguousarray(labels)
        logits = np.zeros((len(images), self.config.classes), dtype=np.int64)
        self._library.crosspoint_train(
            self._network, _pointer(images), _pointer(labels), INT(len(images)), _pointer(logits)
        )
        return logits

    def trace(self, image: NDArray[np.uint8], label: int) -> Trace:
        """See Traceable. The items of records.py."""
        check_images(image[None], self.config)
        check_labels(np.array([label], dtype=np.uint8), 1, self.config)
        image = np.ascontiguousarray(image)
        logits, count = np.zeros(self.config.classes, dtype=np.int64), INT()
        words = self._library.crosspoint_trace(
            self._network, _pointer(image), INT(label), _pointer(logits), ctypes.byref(count)
        )
        return read_records(np.ctypeslib.as_array(words, (count.value,)), self.config.stages)

    def infer(self, images: NDArray[np.uint8]) -> Integers:
        """See Machine."""
        check_images(images, self.config)
        images = np.ascontiguousarray(images)
        logits = np.zeros((len(images), self.config.classes), dtype=np.int64)
        self._library.crosspoint_infer(self._network, _pointer(images), INT(len(images)), _pointer(logits))
        return logits

    def state(self) -> State:
        """See Machine."""
        state = {name: np.zeros_like(values) for name, values in self._state.items()}
        for index, stage in enumerate(self.config.stages):
            self._library.crosspoint_save(self._network, INT(index), ctypes.byref(_stage_state(stage, state)))
        return state

    def load(self, state: State) -> None:
        """See Machine."""
        check_state(state, self._state, self._ranges)
        state = {name: np.ascontiguousarray(values) for name, values in state.items()}
        for index, stage in enumerate(self.config.stages):
            self._library.crosspoint_load(self._network, INT(index), ctypes.byref(_stage_state(stage, state)))

    def _describe(self, stage: Stage) -> StageDescription:
        update, device = stage.array.update, stage.array.device
        table = tanh_table(stage.adc_fraction, stage.activation_fraction)
        description = StageDescription(
            kernel=stage.kernel,
            convolutional=stage.convolutional,
            bias=stage.layer.bias,
            activation=ACTIVATION[stage.layer.activation],
            replication=stage.array.replication,
            forward=_describe_read(stage.forward),
            backward=_describe_read(stage.backward),
            exact_update=update.mode == "exact",
            desired_bl=update.desired_bl,
            update_management=MANAGEMENT[update.management],
            probability_bits=update.probability_bits,
            generator_sharing=update.generator_sharing,
            pulse_gain=Gain(*stage.pulse_gain),
            pulse_power=Gain(*stage.pulse_power),
            rate_gain=Gain(*stage.rate_gain),
            weight_fraction=stage.array.weight.fraction_bits,
            device_model=list(DEVICE_MODELS).index(device.model),
            device_parameters=len(device.PARAMETERS),
            taps=(INT * 4)(*TAPS[stage.generator_width]),
            cycle_gains=self._keep(np.array(stage.cycle_gains, dtype=np.int64)),
            tanh_table=self._keep(table),
            tanh_entries=len(table),
        )
        for name, kind in FIELDS:
            if kind is INT and hasattr(stage, name):
                setattr(description, name, int(getattr(stage, name)))
        return description

    def _constants(self, fraction: int) -> Constants:
        coarse, fine = exponential_tables(fraction)
        return Constants(
            gain_bits=fixed.GAIN_BITS,
            reciprocal_guard_bits=fixed.RECIPROCAL_GUARD_BITS,
            average_bits=fixed.AVERAGE_BITS,
            cycle_fraction_bits=fixed.CYCLE_FRACTION_BITS,
            draw_fraction_bits=fixed.DRAW_FRACTION_BITS,
            softmax_fraction_bits=fixed.SOFTMAX_FRACTION_BITS,
            largest_exponent=fixed.LARGEST_EXPONENT,
            exponential_range=EXPONENTIAL_RANGE,
            fine_fraction_bits=FINE_FRACTION_BITS,
            coarse=self._keep(coarse),
            fine=self._keep(fine),
        )

    def _keep(self, values: Integers) -> Any:
        self._kept.append(values)
        return values.ctypes.data_as(INTEGER_POINTER)


def _describe_read(read: ReadQuantities) -> ReadDescription:
    return ReadDescription(
        noise_gain=read.noise_gain,
        limit=read.limit,
        noise_management=MANAGEMENT[read.noise_management],
        constant_exponent=read.constant_exponent,
        bound_management=read.bound_management,
    )


def _stage_state(stage: Stage, state: State) -> StageState:
    return StageState(*(state[f"{stage.name}.{name}"].ctypes.data for name in STATE_NAMES))


def _pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    """The address of a C-contiguous array, which the caller keeps alive during the call."""
    return ctypes.c_void_p(array.ctypes.data)
