"""What the tests of crossbars, parallel and serial, are run with."""

from __future__ import annotations

STALL = 0.3
#: What the two reads and the update are about, by what it is for.
SETTINGS: dict[str, list[str]] = {
    "as it is": [],
    "often saturated": ["array.forward.bound=0.2", "array.backward.bound=0.2"],
    "one LSB": ["array.forward.bound=0.001", "array.backward.bound=0.001"],
    "no read noise": ["array.forward.noise=0", "array.backward.noise=0"],
    "noise in one direction": ["array.forward.noise=0", "array.backward.noise=3"],
    "no cycle noise": ["array.device.dw_min_std=0"],
    "loud devices": [
        "array.device.dw_min_std=2",
        "array.device.dw_min_dtod=1",
        "array.device.up_down_dtod=0.5",
        "array.device.w_max_dtod=1",
        "array.device.dw_min=0.1",
    ],
    "equal devices": ["array.device.dw_min_dtod=0", "array.device.up_down_dtod=0", "array.device.w_max_dtod=0"],
    "no bounds": ["array.device.w_max=off", "array.device.w_max_dtod=0", "array.device.dw_min=0.1"],
    "trains of 10": ["array.update.desired_bl=10"],
    "trains of 31": ["array.update.desired_bl=31", "generator.width=48"],
    "narrow words": [
        "array.converters.dac_fraction_bits=5",
        "array.converters.adc_fraction_bits=4",
        "array.weight.bits=8",
        "array.weight.fraction_bits=7",
        "array.device.dw_min=0.01",
        "generator.width=32",
    ],
    "weights coarser than a step": ["array.weight.bits=6", "array.weight.fraction_bits=5"],
    "rounded to nearest": ["array.weight.rounding=nearest"],
    "rounded to nearest without cycle noise": ["array.weight.rounding=nearest", "array.device.dw_min_std=0"],
    "replicated": ["array.replication=3"],
    "replicated, trains of 10": ["array.replication=4", "array.update.desired_bl=10"],
}
