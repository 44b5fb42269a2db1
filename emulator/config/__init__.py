"""The configuration: one frozen, validated object that builds the models and the hardware."""

from emulator.config.loading import load, preset_names
from emulator.config.schema import Array, Config
from emulator.config.stages import ReadQuantities, Stage

__all__ = ["Array", "Config", "ReadQuantities", "Stage", "load", "preset_names"]
