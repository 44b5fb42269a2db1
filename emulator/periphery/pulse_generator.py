"""`pulse_generator`: the stochastic translator of a line, from a probability word to a train of BL pulses.

In every slot a line draws a fresh word ``r`` and fires if ``r < p``, where ``p`` in ``0 .. 2**probability_bits``
stands for ``p / 2**probability_bits``: 0 never fires and 1.0 always does. (Gokmen, Vlasov 2016.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emulator.fixed import WORD_BITS, Integers
from emulator.periphery.lfsr import Lfsr, Words


def line_words(words: Integers, lines: int, sharing: int) -> Integers:
    """Words of the generators (last axis) -> words of the lines, ``sharing`` neighbours on one generator.

    The k-th line of a generator sees its word rotated left by ``k * (WORD_BITS // sharing)`` bits, so that lines
    that share a generator compare different bits first.
    """
    line = np.arange(lines)
    own = words[..., line // sharing]
    rotation = line % sharing * (WORD_BITS // sharing)
    mask = (1 << WORD_BITS) - 1
    return (own << rotation | own >> (WORD_BITS - rotation)) & mask


def pulse_trains(
    generator: Lfsr, states: Words, probabilities: Integers, slots: int, probability_bits: int, sharing: int
) -> tuple[NDArray[np.bool_], Words]:
    """Pulse trains of successive update cycles, and the generators' states after them.

    ``probabilities``: ``(cycles, lines)`` words. Returns pulses ``(cycles, slots, lines)`` and new states. Every
    line draws ``slots`` words in every cycle, whatever its probability.
    """
    cycles, lines = probabilities.shape
    history = generator.sequence(states, cycles * slots)
    words = line_words(generator.word(history), lines, sharing).reshape(cycles, slots, lines)
    pulses = (words >> (WORD_BITS - probability_bits)) < probabilities[:, None, :]
    return pulses, history[-1] if len(history) else states
