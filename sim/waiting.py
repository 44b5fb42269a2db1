"""How many cycles a simulation waits for a block, by the block's latency and cycles per beat: the same in all simulators."""

from __future__ import annotations

#: Cycles without a transfer on any stream before a run counts as hung, beside what the block states of itself.
PATIENCE = 400
#: Cycles after the last word in which nothing more may come, likewise.
TAIL = 32


def patience(latency: int, cycles_per_beat: int) -> int:
    return PATIENCE + 4 * (latency + cycles_per_beat)


def tail(latency: int, cycles_per_beat: int) -> int:
    return TAIL + latency + cycles_per_beat
