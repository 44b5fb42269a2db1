"""`constant_step`: every coincidence moves the weight by the device's own step, up to its own bounds (Gokmen et al. 2017).

    w <- clip(w +- dw_min_ij^(+-) (c + dw_min_std sqrt(c) xi), -b_ij^-, b_ij^+)

for c coincidences in an update cycle; the change is rounded to the LSB of the weight. Steps, up/down ratio and both bounds differ from device to device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from emulator.array.devices.base import Device, Parameters, Rounding
from emulator.fixed import (
    DRAW_FRACTION_BITS,
    GAUSSIAN_DEVIATION,
    RATIO_FRACTION_BITS,
    Flags,
    Integers,
    round_shift,
    step_fraction_bits,
)


class ConstantStep(Device):
    """Parameters of the constant-step device; deviations are relative standard deviations."""

    model: Literal["constant_step"] = Field("constant_step", description="device model")
    dw_min_dtod: float = Field(0.3, ge=0, le=1, description="device-to-device deviation of dw_min, relative")
    up_down_dtod: float = Field(0.02, ge=0, le=0.5, description="device-to-device deviation of the up/down step ratio")
    w_max: Annotated[float, Field(gt=0, le=8)] | Literal["off"] = Field(
        0.6, description="mean weight bound, each side, or off (the range of the word)"
    )
    w_max_dtod: float = Field(0.3, ge=0, le=1, description="device-to-device deviation of each bound, relative")

    PARAMETERS = ("step_up", "step_down", "bound_high", "bound_low")
    DRAWS = 4
    MOVE_CPP = """
        const double change = round(double(up ? parameter[0] : parameter[1]) * factor);
        const double moved = up ? weight + change : weight - change;
        return std::min(std::max(moved, double(parameter[3])), double(parameter[2]));
    """

    def draw(self, gaussian: Callable[[int], Integers], weight_fraction: int, weight_limit: int) -> Parameters:
        """Steps with ``step_fraction_bits``, bounds in LSBs of the weight; a step drawn negative is 0 (stuck)."""
        mean_step = math.ldexp(self.dw_min, step_fraction_bits(weight_fraction))
        step = np.maximum(_spread(gaussian(0), mean_step, self.dw_min_dtod), 0)
        one = 1 << RATIO_FRACTION_BITS
        half_ratio = _spread(gaussian(1), one, self.up_down_dtod / 2) - one
        if self.w_max == "off":
            high = low = np.full_like(step, weight_limit)
        else:
            bound = math.ldexp(self.w_max, weight_fraction)
            high = np.clip(_spread(gaussian(2), bound, self.w_max_dtod), 0, weight_limit)
            low = np.clip(_spread(gaussian(3), bound, self.w_max_dtod), 0, weight_limit)
        return {
            "step_up": np.maximum(round_shift(step * (one + half_ratio), RATIO_FRACTION_BITS), 0),
            "step_down": np.maximum(round_shift(step * (one - half_ratio), RATIO_FRACTION_BITS), 0),
            "bound_high": high,
            "bound_low": -low,
        }

    def move(
        self, weights: Integers, parameters: Parameters, factors: Integers, up: Flags, round_product: Rounding
    ) -> Integers:
        """See the module. The product of step and factor is rounded once, before it gets its direction."""
        change = round_product(np.where(up, parameters["step_up"], parameters["step_down"]) * factors)
        moved = weights + np.where(up, change, -change)
        return np.clip(moved, parameters["bound_low"], parameters["bound_high"])

    def bounds(self, parameters: Parameters) -> tuple[Integers, Integers]:
        """The device's own bounds."""
        return parameters["bound_low"], parameters["bound_high"]


def _spread(draws: Integers, mean: float, deviation: float) -> Integers:
    """``mean * (1 + deviation * xi)`` in integers: ``round(mean) + round_shift(xi * gain, DRAW_FRACTION_BITS)``."""
    gain = round(math.ldexp(mean * deviation / GAUSSIAN_DEVIATION, DRAW_FRACTION_BITS))
    return round(mean) + round_shift(draws * gain, DRAW_FRACTION_BITS)
