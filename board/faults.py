"""Faults of a serial line, and of the board at its end, drawn from a seed: what the link has to bear."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from emulator.errors import CrosspointError

BYTE_BITS = 8


class FaultError(CrosspointError):
    """Faults that cannot be had."""


@dataclass(frozen=True)
class Rates:
    """How often each kind strikes, per byte of either direction: a bit ``flip``; a byte is lost (``drop``), comes twice
    (``duplicate``), or after its successor (``reorder``); a ``burst`` of wrong bytes begins; the line is ``cut`` for a
    while. And per byte to the board: its ``reset``. ``burst_bytes`` and ``cut_seconds``: how long, on average; ``seed``."""

    flip: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    burst: float = 0.0
    cut: float = 0.0
    reset: float = 0.0
    burst_bytes: float = 20.0
    cut_seconds: float = 0.2
    seed: int = 1


KINDS = ("flip", "drop", "duplicate", "reorder", "burst", "cut", "reset")


def parse_rates(text: str) -> Rates:
    """``kind=rate,...``, such as ``flip=1e-4,cut=1e-5,seed=3``. Raises FaultError."""
    types = {field.name: {"float": float, "int": int}[str(field.type)] for field in fields(Rates)}
    values: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not equals or name not in types:
            raise FaultError(f"fault {part!r}: accepted: NAME=NUMBER with {', '.join(types)}")
        try:
            values[name] = types[name](value)
        except ValueError:
            raise FaultError(f"fault {name} = {value!r}: accepted: a number") from None
        if not 0 <= values[name] <= (1 if name in KINDS else math.inf):
            raise FaultError(f"fault {name} = {value}: accepted: {'0 .. 1' if name in KINDS else 'a number above 0'}")
    if sum(values.get(kind, 0) for kind in KINDS) > 1:
        raise FaultError(f"faults {text!r}: together more than one a byte; accepted: rates whose sum is at most 1")
    return Rates(**values)  # type: ignore[arg-type]


class Direction:
    """Bytes of one direction, with the faults of single bytes."""

    def __init__(self, rates: Rates, kinds: Sequence[str], seed: str, counts: Counter[str]) -> None:
        self._rates, self._counts = rates, counts
        self._random = random.Random(seed)
        self._limits = [(kind, getattr(rates, kind)) for kind in kinds]
        self._held: int | None = None
        self._burst = 0

    def strike(self) -> str | None:
        """The kind of fault at a byte."""
        draw = self._random.random()
        for kind, rate in self._limits:
            if draw < rate:
                self._counts[kind] += 1
                return kind
            draw -= rate
        return None

    def changed(self, byte: int, kind: str | None) -> bytes:
        """What comes of a byte."""
        if kind == "burst":
            self._burst = 1 + int(self._random.expovariate(1 / max(1.0, self._rates.burst_bytes)))
        if self._burst:
            self._burst -= 1
            return bytes([self._random.randrange(1 << BYTE_BITS)])
        held, self._held = self._held, None
        if kind == "reorder":
            self._held = byte
            came = b""
        elif kind == "drop":
            came = b""
        elif kind == "duplicate":
            came = bytes([byte, byte])
        elif kind == "flip":
            came = bytes([byte ^ 1 << self._random.randrange(BYTE_BITS)])
        else:
            came = bytes([byte])
        return came if held is None else came + bytes([held])


class FaultyLine:
    """Both directions of a line. ``counts``: how often each kind struck."""

    def __init__(self, rates: Rates, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rates, self._clock = rates, clock
        self.counts: Counter[str] = Counter()
        self._random = random.Random(f"{rates.seed} cuts")
        self._restored = 0.0
        line = [kind for kind in KINDS if kind != "reset"]
        self._to_board = Direction(rates, KINDS, f"{rates.seed} to board", self.counts)
        self._from_board = Direction(rates, line, f"{rates.seed} from board", self.counts)

    def to_board(self, line: bytes) -> list[bytes | None]:
        """What arrives at the board; None where it is reset."""
        arrived: list[bytes | None] = [b""]
        for byte in line:
            kind = self._strike(self._to_board)
            if kind == "reset":
                arrived += [None, b""]
            elif not self._cut:
                last = arrived[-1]
                assert last is not None
                arrived[-1] = last + self._to_board.changed(byte, kind)
        return arrived

    def from_board(self, line: bytes) -> bytes:
        """What arrives at the host."""
        arrived = bytearray()
        for byte in line:
            kind = self._strike(self._from_board)
            if not self._cut:
                arrived += self._from_board.changed(byte, kind)
        return bytes(arrived)

    def _strike(self, direction: Direction) -> str | None:
        if self._cut:
            return None
        kind = direction.strike()
        if kind == "cut":
            self._restored = self._clock() + self._random.expovariate(1 / max(1e-3, self._rates.cut_seconds))
        return kind

    @property
    def _cut(self) -> bool:
        return self._clock() < self._restored
