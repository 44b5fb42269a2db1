"""A design as a compiled library, driven from Python by whole arrays of words: the fast way to run it for long.

The loop over clock cycles is C++ (sim/native/driver.cpp), so that a call moves thousands of words. What a word means is in
the description of the design; sim/payload.py turns arrays of fields into words and back.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.native_build import NativeError, library
from sim.payload import Words, integers_of, limbs_of, pack, pack_words, unpack, unpack_words, words_of
from sim.runner import Design, Report, check_counts, phases_of
from sim.scoreboard import first_difference
from sim.transactions.base import Transactions

__all__ = ["Native", "NativeError", "input_words", "run_native", "run_phase"]

#: What `run` in driver.cpp ends with.
REACHED, LIMIT, VALID_FELL, WORD_CHANGED = range(4)
#: Cycles of one call into C++, after which Python may see an interrupt: a fraction of a second.
CYCLES_A_CALL = 20_000
#: More words than any queue holds.
NEVER = (1 << 64) - 1

_HANDLE, _SIZE, _UINT64, _ARRAY = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64, ctypes.c_void_p
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "new": (_HANDLE, ()),
    "delete": (None, (_HANDLE,)),
    "reset": (None, (_HANDLE,)),
    "cycles": (_UINT64, (_HANDLE,)),
    "stall": (None, (_HANDLE, _SIZE, _UINT64, _UINT64)),
    "feed": (None, (_HANDLE, _SIZE, _ARRAY, _SIZE)),
    "queued": (_SIZE, (_HANDLE, _SIZE)),
    "take": (None, (_HANDLE, _SIZE, _ARRAY, _SIZE)),
    "run": (ctypes.c_int, (_HANDLE, _ARRAY, ctypes.c_bool, _UINT64)),
    "broken": (_SIZE, (_HANDLE,)),
    "start_waves": (None, (_HANDLE, ctypes.c_char_p)),
    "stop_waves": (None, (_HANDLE,)),
}


@cache
def _load(path: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(path))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(loaded, f"simulation_{name}")
        function.restype, function.argtypes = result, arguments
    return loaded


class Native:
    """One instance of a design, in reset and out again, with a queue of words behind every stream.

    Words of a stream are ``uint64 (count, limbs)``, limbs of 64 bits with the least significant first. Input streams offer
    their queue in order; output streams take whatever comes. Instances know nothing of each other. Registers and memories
    start with the initial values that the Verilog gives them, as an FPGA loads them.

    ``waves``: a build that can write waves; slower even when it does not. Raises NativeError.
    """

    def __init__(self, design: Design, *, waves: bool = False) -> None:
        self.design, self._waves = design, waves
        self._numbers = {stream: number for number, stream in enumerate(design.streams)}
        self._library = _load(library(design, waves=waves))
        self._handle = self._library.simulation_new()
        self._finalizer = weakref.finalize(self, self._library.simulation_delete, self._handle)

    def close(self) -> None:
        """Free the instance, which is of no use afterwards. Happens by itself when nothing refers to it."""
        self._finalizer()

    @property
    def cycles(self) -> int:
        """Clock cycles since the last reset."""
        return int(self._library.simulation_cycles(self._handle))

    def reset(self) -> None:
        """Reset the design and empty all queues. Memories keep what they hold, and stalls stay as they are set."""
        self._library.simulation_reset(self._handle)

    def stall(self, probability: float | Mapping[str, float], *, seed: int = 1) -> None:
        """From now on the bench's side of every stream, or of those named, pauses a cycle with this probability (0 .. below
        1). An input pauses before a word, with random bits on its payload; an output by not being ready, and then its
        waiting word is held to the stream contract. Raises NativeError."""
        chances = probability if isinstance(probability, Mapping) else dict.fromkeys(self._numbers, probability)
        for stream, chance in chances.items():
            if not 0 <= chance < 1:
                raise NativeError(f"stream {stream}: stall {chance}: accepted: 0 .. below 1")
            number = self._number(stream)
            state = int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0]) | 1
            self._library.simulation_stall(self._handle, number, int(chance * 2.0**64), state)

    def feed(self, stream: str, words: Words) -> None:
        """Queue words for an input stream. Raises NativeError."""
        number = self._number(stream, "in")
        limbs = limbs_of(self.design.streams[stream]["width"])
        if words.ndim != 2 or words.shape[1] != limbs or words.dtype != np.uint64:
            raise NativeError(f"stream {stream}: words {words.dtype} {words.shape}: accepted: uint64 (count, {limbs})")
        spare = 64 * limbs - self.design.streams[stream]["width"]
        if spare and len(words) and int(words[:, -1].max()) >> (64 - spare):
            raise NativeError(
                f"stream {stream}: a word has more bits; accepted: {self.design.streams[stream]['width']}"
            )
        words = np.ascontiguousarray(words)
        self._library.simulation_feed(self._handle, number, words.ctypes.data, len(words))

    def send(self, stream: str, **fields: NDArray[Any]) -> None:
        """`feed` with words packed from their fields (sim/payload.py: pack_words). Raises NativeError and ValueError."""
        self._number(stream, "in")
        self.feed(stream, pack_words(self.design.streams[stream]["fields"], fields))

    def waiting(self, stream: str) -> int:
        """Words in a stream's queue: of an input those not yet taken, of an output those not yet fetched by `take`."""
        return int(self._library.simulation_queued(self._handle, self._number(stream)))

    def take(self, stream: str, count: int | None = None) -> Words:
        """Fetch the first ``count`` words that came out of a stream, or all of them. Raises NativeError."""
        number, waiting = self._number(stream, "out"), self.waiting(stream)
        count = waiting if count is None else count
        if not 0 <= count <= waiting:
            raise NativeError(
                f"stream {stream}: {count} words asked for; accepted: up to {waiting}, which have come out"
            )
        words = np.empty((count, limbs_of(self.design.streams[stream]["width"])), np.uint64)
        self._library.simulation_take(self._handle, number, words.ctypes.data, count)
        return words

    def receive(self, stream: str, count: int | None = None) -> dict[str, NDArray[Any]]:
        """`take` with the words unpacked to their fields (sim/payload.py: unpack_words). Raises NativeError."""
        return unpack_words(self.design.streams[stream]["fields"], self.take(stream, count))

    def run(self, until: Mapping[str, int] | None = None, *, limit: int, drain: bool = False) -> int:
        """Clock until every output stream of ``until`` has at least so many words waiting for `take`, and with ``drain``
        until every queued input word has been taken; returns the cycles that this took. Nothing to wait for is no cycle.
        After ``limit`` cycles raises NativeError, which says what every stream waits for; it does so too where the design
        breaks the stream contract under stalls. An interrupt is heeded, and the run can be gone on with.
        """
        goals = np.zeros(len(self._numbers), np.uint64)
        for stream, count in (until or {}).items():
            goals[self._number(stream, "out")] = count
        before = self.cycles
        if self._clock(goals, drain, limit) == LIMIT:
            raise NativeError(
                f"{self.design.name}: hung after {self.cycles - before} cycles: {self._hang(until or {})}"
            )
        return self.cycles - before

    def clock(self, cycles: int) -> None:
        """Clock so many cycles, whatever comes. Raises NativeError if the design breaks the stream contract."""
        self._clock(np.full(len(self._numbers), NEVER, np.uint64), False, cycles)

    def start_waves(self, path: Path | str) -> None:
        """Write a VCD from here on, until `stop_waves`. Raises NativeError and OSError."""
        if not self._waves:
            raise NativeError(f"{self.design.name}: built without waves; accepted: Native(design, waves=True)")
        Path(path).write_bytes(b"")  # Verilator says nothing where it cannot write
        self._library.simulation_start_waves(self._handle, os.fsencode(path))

    def stop_waves(self) -> None:
        """The file is complete after this."""
        self._library.simulation_stop_waves(self._handle)

    def _clock(self, goals: NDArray[np.uint64], drain: bool, limit: int) -> int:
        """Clock in calls short enough for interrupts; REACHED or LIMIT."""
        while True:
            part = min(limit, CYCLES_A_CALL)
            ending = self._library.simulation_run(self._handle, goals.ctypes.data, drain, part)
            limit -= part
            if ending in {VALID_FELL, WORD_CHANGED}:
                stream = list(self._numbers)[self._library.simulation_broken(self._handle)]
                what = "valid fell" if ending == VALID_FELL else "the word changed"
                raise NativeError(
                    f"{self.design.name}: {stream}: {what} before the word was taken, cycle {self.cycles}"
                )
            if ending == REACHED or not limit:
                return int(ending)

    def _hang(self, until: Mapping[str, int]) -> str:
        """What every stream waits for."""
        outputs = [
            f"{stream} has {self.waiting(stream)} of {count} words"
            for stream, count in until.items()
            if self.waiting(stream) < count
        ]
        inputs = [
            f"{stream} has {waiting} words not taken"
            for stream, description in self.design.streams.items()
            if description["direction"] == "in" and (waiting := self.waiting(stream))
        ]
        return "; ".join([*outputs, *inputs])

    def _number(self, stream: str, direction: str | None = None) -> int:
        """The number of a stream in the driver. Raises NativeError if there is none of this name and direction."""
        streams = self.design.streams
        if stream not in streams or direction not in {None, streams[stream]["direction"]}:
            accepted = [name for name, other in streams.items() if direction in {None, other["direction"]}]
            kind = {"in": "input stream", "out": "output stream", None: "stream"}[direction]
            raise NativeError(f"{self.design.name}: {kind} {stream!r}: accepted: {', '.join(accepted)}")
        return self._numbers[stream]


def run_native(design: Design, transactions: Transactions, *, stall: float = 0.0, seed: int = 1) -> Report:
    """Run the transactions, as the runners of sim/runner.py do; each side of each stream pauses with probability ``stall``.
    Raises SimulationError."""
    phases = phases_of(design, transactions)
    native = Native(design)
    native.stall(stall, seed=seed)
    compared: dict[str, int] = {}
    for number, phase in enumerate(phases):
        run_phase(native, phase, input_words(design, phase))
        native.clock(design.tail)
        for stream, expected in phase.outputs.items():
            fields = design.streams[stream]["fields"]
            seen = [unpack(fields, word) for word in integers_of(native.take(stream))]
            difference = first_difference(stream, expected, seen)
            if difference:
                raise NativeError(f"{design.name}: phase {number}: {difference}")
            compared[stream] = compared.get(stream, 0) + len(seen)
    check_counts(design, phases, compared)
    return Report(compared, native.cycles)


def input_words(design: Design, phase: Transactions) -> dict[str, Words]:
    """The words of every input stream of a phase."""
    return {
        stream: words_of(
            [pack(design.streams[stream]["fields"], payload) for payload in payloads], design.streams[stream]["width"]
        )
        for stream, payloads in phase.inputs.items()
    }


def run_phase(native: Native, phase: Transactions, inputs: Mapping[str, Words]) -> None:
    """Feed the inputs of a phase and run until all of its words have passed. The outputs are not taken."""
    outputs = {stream: len(payloads) for stream, payloads in phase.outputs.items()}
    for stream, words in inputs.items():
        native.feed(stream, words)
    transfers = sum(map(len, inputs.values())) + sum(outputs.values())
    native.run(outputs, limit=native.design.patience * (transfers + 1), drain=True)
