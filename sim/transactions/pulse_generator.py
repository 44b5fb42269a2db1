"""`pulse_generator`: states are loaded, update cycles follow, and the states are read back, one cycle cut in two by a read
that has to wait for its end.
"""

from __future__ import annotations

import numpy as np

from emulator.periphery.lfsr import Lfsr
from emulator.periphery.pulse_generator import pulse_trains
from hdl.periphery.pulse_generator import PulseGeneratorParameters
from sim.payload import Value, Values
from sim.transactions.base import Transactions, draw

#: One mask in so many has all lanes.
FULL_MASK_INTERVAL = 2
#: Chance that a beat is the last of a vector.
LAST = 0.4


def pulse_generator_transactions(
    parameters: PulseGeneratorParameters, generator: np.random.Generator, vectors: int
) -> Transactions:
    """``vectors`` update cycles, at least two."""
    p, cycles = parameters, max(2, vectors)
    one = 1 << p.probability_bits
    count, largest = p.beats * p.generators, (1 << p.generator_width) - 1
    states = generator.integers(1, largest, count, dtype=np.uint64, endpoint=True)
    # The first generator is loaded with 0, which is stored as 1.
    states[0] = 1
    loads = [_access(p, number, state if number else 0) for number, state in enumerate(states.tolist())]
    probabilities = np.array(draw(generator, cycles * p.beats * p.lanes, 0, one)).reshape(cycles, p.beats * p.lanes)
    model = Lfsr(p.generator_width)
    pulses, after = pulse_trains(model, states, probabilities, p.desired_bl, p.probability_bits, p.generator_sharing)
    trains = (pulses.astype(np.int64) << np.arange(p.desired_bl)[:, None]).sum(axis=1)

    taken: list[Values] = []
    given: list[Values] = []
    for cycle in range(cycles):
        for number in range(p.beats):
            lines = slice(number * p.lanes, (number + 1) * p.lanes)
            mask = (1 << int(generator.integers(1, p.lanes, endpoint=True))) - 1
            if generator.integers(0, FULL_MASK_INTERVAL) == 0:
                mask = (1 << p.lanes) - 1
            common: dict[str, Value] = {
                "mask": mask,
                "last": int(number == p.beats - 1 or generator.random() < LAST),
                "negative": _bits(generator, p.lanes),
            }
            if p.sideband_bits:
                common["sideband"] = _bits(generator, p.sideband_bits)
            # Idle lanes hold any word at all.
            inputs = [
                value if mask >> lane & 1 else _bits(generator, p.probability_bits + 1)
                for lane, value in enumerate(probabilities[cycle, lines].tolist())
            ]
            outputs = [t if mask >> lane & 1 else None for lane, t in enumerate(trains[cycle, lines].tolist())]
            taken.append({"elements": inputs, **common})
            given.append({"elements": outputs, **common})

    reads = [_access(p, number, None) for number in range(len(states))]
    answers: list[Values] = [{"state": state} for state in after.tolist()]
    cut = len(taken) - p.beats // 2
    return Transactions(
        {"access": loads, "i": []},
        {"answer": [], "o": []},
        (
            Transactions({"i": taken[:cut]}, {"o": given[:cut]}),
            Transactions({"i": taken[cut:], "access": reads}, {"o": given[cut:], "answer": answers}),
        ),
    )


def _access(parameters: PulseGeneratorParameters, number: int, state: int | None) -> Values:
    """Write, or with None read, the state of a generator counted through the beats."""
    beat, generator = divmod(number, parameters.generators)
    return {"beat": beat, "generator": generator, "write": int(state is not None), "state": state or 0}


def _bits(generator: np.random.Generator, bits: int) -> int:
    return int.from_bytes(generator.bytes(8), "little") & ((1 << bits) - 1)
