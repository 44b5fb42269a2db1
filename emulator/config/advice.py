"""What a valid config is told because it is far outside of what trains: one line for each kind of trouble."""

from __future__ import annotations

import math
from collections.abc import Callable

from emulator.config.schema import Config
from emulator.config.stages import Stage

#: Rounded stochastically, a move is at least one LSB of the weight. Up to this many steps, a coarse LSB costs no accuracy
#: that was measured (results/rounding_study); rounded to nearest, a step has to be an LSB.
LARGEST_LSB_IN_STEPS = {True: 2, False: 1}


def advice(config: Config) -> list[str]:
    """A line for every kind of trouble, with the layers concerned and what to do; none for a config that can train."""
    return [line for find in (_coarse_weights, _narrow_words, _no_management) if (line := find(config))]


def _coarse_weights(config: Config) -> str | None:
    layers = _layers(config, lambda stage: stage.step_in_lsb * LARGEST_LSB_IN_STEPS[stage.stochastic_rounding] < 1)
    if not layers:
        return None
    stage = layers[0]
    consequence = (
        "every move is at least one LSB" if stage.stochastic_rounding else "a step is rounded to one LSB or to 0"
    )
    return (
        f"{_names(layers)}: dw_min = {stage.array.device.dw_min:g} is {stage.step_in_lsb:.2g} LSB of the weight, and "
        f"{consequence}; more weight.fraction_bits train better"
    )


def _narrow_words(config: Config) -> str | None:
    layers = _layers(config, lambda stage: _word_end(stage) < _needed_range(stage))
    if not layers:
        return None
    stage = layers[0]
    return (
        f"{_names(layers)}: the weight word ends at +-{_word_end(stage):.3g} (bits = {stage.array.weight.bits}, "
        f"fraction_bits = {stage.array.weight.fraction_bits}), and weights need +-{_needed_range(stage):.3g}; fewer "
        "weight.fraction_bits or more weight.bits make room"
    )


def _word_end(stage: Stage) -> float:
    return math.ldexp(stage.weight_limit, -stage.array.weight.fraction_bits)


def _needed_range(stage: Stage) -> float:
    """The mean weight bound, or where devices have none the range of initial weights."""
    initial = stage.array.weight.initial_range / math.sqrt(stage.columns)
    bound = getattr(stage.array.device, "w_max", "off")
    return initial if bound == "off" else float(bound)


def _no_management(config: Config) -> str | None:
    def unmanaged(stage: Stage) -> bool:
        forward, backward = stage.array.forward, stage.array.backward
        managed = any(read.noise_management != "none" or read.bound_management for read in (forward, backward))
        is_read_backward = stage.index > 0
        return is_read_backward and backward.noise > 0 and not managed and stage.array.update.management == "none"

    layers = _layers(config, unmanaged)
    if not layers:
        return None
    return (
        f"{_names(layers)}: noise in backward reads and no management at all, which stops training early (paper, row 2); "
        'set backward.noise_management = "exact" and forward.bound_management, as the preset lenet-bl1-um does'
    )


def _layers(config: Config, concerned: Callable[[Stage], bool]) -> list[Stage]:
    """Those that train by pulses, and are concerned: exact updates stand for an ideal array."""
    return [stage for stage in config.stages if stage.array.update.mode == "pulsed" and concerned(stage)]


def _names(stages: list[Stage]) -> str:
    return "layers." + ", ".join(stage.name for stage in stages)
