"""Bytes that a machine needs for a config, estimated from its arrays before anything is made.

The figures per device are counts of words, rounded down to what was measured (tests/test_machine_memory.py measures again):
an estimate is at most what the machine takes, so that nothing that fits is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.config import Config, Stage
from emulator.memory import require_memory


@dataclass(frozen=True)
class PerDevice:
    """Bytes for each device of an array: ``kept``, and ``making`` on top while that array is made."""

    kept: int
    making: int


#: Weight and four parameters, in words of 8 bytes; Gaussians while they are drawn.
GOLDEN = PerDevice(kept=40, making=30)
#: What the engine has beside the golden machine that it starts from: weights, parameters and bounds, and their copies.
ENGINE = PerDevice(kept=40, making=64)
REFERENCE = PerDevice(kept=40, making=38)
#: Of golden while it trains: bytes for each line and position of the largest array (words, draws, pulses, products), and for
#: each device and position that may coincide.
GOLDEN_LINE, GOLDEN_COINCIDENCE = 80, 1.2


def machine_bytes(name: str, config: Config) -> int:
    """Of a machine; 0 where it is not the host that holds the arrays."""
    devices = [stage.physical_rows * stage.physical_columns for stage in config.stages]
    golden_kept = GOLDEN.kept * sum(devices)
    if name == "golden":
        return max(_peak(GOLDEN, devices), golden_kept + max(map(_golden_working, config.stages)))
    if name == "fast":
        return golden_kept + _peak(ENGINE, devices)
    return _peak(REFERENCE, devices) if name == "reference" else 0


def check_machines(names: Sequence[str], config: Config) -> None:
    """Raise MemoryNeedError if machines of these names, all at once, need more memory than there is."""
    require_memory(
        f"machine {', '.join(names)} with config {config.name}",
        sum(machine_bytes(name, config) for name in names),
        "a smaller input, fewer outputs or devices per weight (`python -m emulator show` has the sizes), or a larger machine",
    )


def _peak(bytes_of: PerDevice, devices: Sequence[int]) -> int:
    """Arrays are made one after another, and kept."""
    return max(bytes_of.kept * sum(devices[: k + 1]) + bytes_of.making * count for k, count in enumerate(devices))


def _golden_working(stage: Stage) -> int:
    lines, devices = stage.physical_rows + stage.physical_columns, stage.physical_rows * stage.physical_columns
    return round(stage.positions * (GOLDEN_LINE * lines + GOLDEN_COINCIDENCE * devices))
