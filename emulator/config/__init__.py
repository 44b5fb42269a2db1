"""The configuration: one frozen, validated object that builds the models and the hardware."""

from emulator.config.loading import load, preset_names
from emulator.config.schema import BITLESS, Array, Config, Hardware
from emulator.config.stages import ReadQuantities, Stage

__all__ = ["BITLESS", "Array", "Config", "Hardware", "ReadQuantities", "Stage", "load", "preset_names"]
