"""What a device model is: a frozen part of the config that draws its devices and moves their weights.

A new model is one new file in this folder with a subclass of ``Device``: its fields are its parameters in the
config, ``draw`` gives every device its integers, ``move`` says in NumPy how coincidences change a weight, and
``MOVE_CPP`` says the same in C++ for the compiled engine. Tests hold the two together for every model found here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import Field

from emulator.fixed import Flags, Integers
from emulator.frozen import Frozen

#: Rounds products of a step and a factor to the LSB of the weight, as ``array.weight.rounding`` says.
Rounding = Callable[[Integers], Integers]

#: The integers of the devices of an array, by the names in ``Device.PARAMETERS``: int64 ``(rows, columns)`` each.
Parameters = dict[str, Integers]


class Device(Frozen):
    """Fields that the periphery must know of any device: the mean step, and whether steps are noisy."""

    model: Any
    dw_min: float = Field(0.001, gt=0, le=0.1, description="mean weight change of one coincidence")
    dw_min_std: float = Field(0.3, ge=0, le=2, description="cycle-to-cycle deviation of a step, relative")

    #: Names of the per-device integers, in the order in which the compiled engine gets them.
    PARAMETERS: ClassVar[tuple[str, ...]]
    #: How many Gaussians a device draws at birth.
    DRAWS: ClassVar[int]
    #: Body of ``double move(double weight, const int32_t* parameter, double factor, bool up, Rounding round)``: the new
    #: weight of a device with these parameters (in the order of PARAMETERS); ``round`` as in ``move`` below.
    MOVE_CPP: ClassVar[str]

    @abstractmethod
    def draw(self, gaussian: Callable[[int], Integers], weight_fraction: int, weight_limit: int) -> Parameters:
        """The parameters of all devices. ``gaussian(k)`` is the k-th Gaussian word of each, ``(rows, columns)``."""

    @abstractmethod
    def move(
        self, weights: Integers, parameters: Parameters, factors: Integers, up: Flags, round_product: Rounding
    ) -> Integers:
        """Weights after a move by ``factors`` steps (CYCLE_FRACTION_BITS), upwards where ``up``. A factor of 0
        changes nothing. All arrays have one shape."""

    @abstractmethod
    def bounds(self, parameters: Parameters) -> tuple[Integers, Integers]:
        """The lowest and highest weight of every device: where initial weights and exact updates are clipped."""
