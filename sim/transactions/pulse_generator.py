"""`pulse_generator`: states are loaded, update cycles of one or several arrays follow, and the states are read back, one
cycle cut in two by a read that has to wait for its end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emulator.periphery.lfsr import Lfsr, Words
from emulator.periphery.pulse_generator import pulse_trains
from hdl.periphery.pulse_generator import PulseGeneratorParameters
from sim.payload import Value, Values
from sim.transactions.base import Transactions, draw

#: One mask in so many has all lanes.
FULL_MASK_INTERVAL = 2
#: Chance that a beat is the last of a vector.
LAST = 0.4


@dataclass(frozen=True)
class Array:
    """Where the states of its update cycles begin, how many beats these have, and BL."""

    base: int
    beats: int
    desired_bl: int


def pulse_generator_transactions(
    parameters: PulseGeneratorParameters, generator: np.random.Generator, vectors: int
) -> Transactions:
    """``vectors`` update cycles, at least two, of arrays drawn at random; one array where the memory has no room for
    others. The longest trains are those of the first one."""
    p, cycles = parameters, max(2, vectors)
    arrays = _arrays(p, generator)
    count, largest = p.beats * p.generators, (1 << p.generator_width) - 1
    states = generator.integers(1, largest, count, dtype=np.uint64, endpoint=True)
    # The first generator is loaded with 0, which is stored as 1.
    states[0] = 1
    loads = [_access(p, number, state if number else 0) for number, state in enumerate(states.tolist())]
    taken: list[Values] = []
    given: list[Values] = []
    for _ in range(cycles):
        array = arrays[int(generator.integers(len(arrays)))]
        inputs, outputs = _update_cycle(p, generator, array, states)
        taken += inputs
        given += outputs

    reads = [_access(p, number, None) for number in range(len(states))]
    answers: list[Values] = [{"state": state} for state in states.tolist()]
    cut = len(taken) - array.beats // 2
    return Transactions(
        {"access": loads, "i": []},
        {"answer": [], "o": []},
        (
            Transactions({"i": taken[:cut]}, {"o": given[:cut]}),
            Transactions({"i": taken[cut:], "access": reads}, {"o": given[cut:], "answer": answers}),
        ),
    )


def _arrays(p: PulseGeneratorParameters, generator: np.random.Generator) -> list[Array]:
    """One after the other in the memory, as many as fit."""
    arrays = []
    base = 0
    while p.beats - base >= p.fewest_beats:
        beats = int(generator.integers(p.fewest_beats, p.beats - base, endpoint=True))
        slots = int(generator.integers(1, p.desired_bl, endpoint=True)) if arrays else p.desired_bl
        arrays.append(Array(base, beats, slots))
        base += beats
    return arrays


def _update_cycle(
    p: PulseGeneratorParameters, generator: np.random.Generator, array: Array, states: Words
) -> tuple[list[Values], list[Values]]:
    """Beats that go in and those that come out; the array's part of ``states`` is advanced."""
    probabilities = np.array(draw(generator, array.beats * p.lanes, 0, 1 << p.probability_bits))
    own = slice(array.base * p.generators, (array.base + array.beats) * p.generators)
    pulses, after = pulse_trains(
        Lfsr(p.generator_width),
        states[own],
        probabilities[None],
        array.desired_bl,
        p.probability_bits,
        p.generator_sharing,
    )
    states[own] = after
    trains = (pulses[0].astype(np.int64) << np.arange(array.desired_bl)[:, None]).sum(axis=0)
    taken: list[Values] = []
    given: list[Values] = []
    for number in range(array.beats):
        lines = slice(number * p.lanes, (number + 1) * p.lanes)
        mask = (1 << int(generator.integers(1, p.lanes, endpoint=True))) - 1
        if generator.integers(0, FULL_MASK_INTERVAL) == 0:
            mask = (1 << p.lanes) - 1
        end = number == array.beats - 1
        common: dict[str, Value] = {
            "mask": mask,
            "last": int(end or generator.random() < LAST),
            "negative": _bits(generator, p.lanes),
        }
        if p.sideband_bits:
            common["sideband"] = _bits(generator, p.sideband_bits)
        # Idle lanes hold any word at all.
        inputs = [
            value if mask >> lane & 1 else _bits(generator, p.probability_bits + 1)
            for lane, value in enumerate(probabilities[lines].tolist())
        ]
        outputs = [t if mask >> lane & 1 else None for lane, t in enumerate(trains[lines].tolist())]
        cycle = {"end": int(end), "desired_bl": array.desired_bl, "base": array.base}
        taken.append({"elements": inputs, **common, **cycle})
        given.append({"elements": outputs, **common})
    return taken, given


def _access(parameters: PulseGeneratorParameters, number: int, state: int | None) -> Values:
    """Write, or with None read, the state of a generator counted through the beats."""
    beat, generator = divmod(number, parameters.generators)
    return {"beat": beat, "generator": generator, "write": int(state is not None), "state": state or 0}


def _bits(generator: np.random.Generator, bits: int) -> int:
    return int.from_bytes(generator.bytes(8), "little") & ((1 << bits) - 1)
