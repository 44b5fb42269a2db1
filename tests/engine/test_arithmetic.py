"""arithmetic.hpp against Python's integers and emulator/fixed.py: ties of both signs, every shift, and the ends of words, for
the vectors of this machine and for those that every x86-64 has."""

from __future__ import annotations

import ctypes
import math
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.engine import build
from emulator.fixed import WORD_BITS, round_shift, round_stochastically

HARNESS = Path(__file__).with_name("arithmetic.cpp")
#: 0, and every power of two with its neighbours.
CORNERS = sorted({0, *(1 << k for k in range(62)), *((1 << k) + offset for k in range(62) for offset in (-1, 1))})
#: Below this, doubles in the engine are exact with a half added.
EXACT = 1 << 51
#: A multiple of every machine's lanes.
WHOLE_VECTORS = 16


#: What the engine is built for: this machine and, where it can run that, any of its kind.
TARGETS = ("native", "x86-64") if platform.machine() == "x86_64" else ("native",)


@pytest.fixture(scope="module", params=TARGETS)
def functions(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = next(path for name in build.COMPILERS if (path := build.shutil.which(name)))
    result = tmp_path_factory.mktemp("arithmetic") / f"{request.param}.so"
    flags = [flag for flag in build.FLAGS if not flag.startswith("-march")]
    command = [compiler, *flags, f"-march={request.param}", f"-I{build.SOURCE}", str(HARNESS), "-o", str(result)]
    subprocess.run(command, check=True, capture_output=True)
    library = ctypes.CDLL(str(result))
    library.largest.restype = ctypes.c_double
    assert request.param == "native" or library.lanes() == 2
    return library


def aligned(values: Any, dtype: type) -> np.ndarray:
    """A copy that begins where vectors may, padded with zeros to whole ones."""
    values = np.asarray(values, dtype=dtype)
    length = -(-len(values) // WHOLE_VECTORS) * WHOLE_VECTORS
    buffer = np.zeros(length + 8, dtype=dtype)
    start = -(buffer.ctypes.data // 8) % 8
    buffer[start : start + len(values)] = values
    return buffer[start : start + length]


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    assert array.ctypes.data % 64 == 0
    return ctypes.c_void_p(array.ctypes.data)


def ties_and_corners(shift: int, largest: int) -> np.ndarray:
    """Both signs of the corners, and of every tie of this shift around them, below ``largest``."""
    half = 1 << shift >> 1
    values = {value for corner in CORNERS for value in (corner, (corner << max(shift, 0)) + half, corner + half)}
    chosen = sorted(value for value in values if value < largest)
    if 0 < shift < largest.bit_length():
        assert sum(value % (1 << shift) == half for value in chosen) > 0
    return np.array([*chosen, *(-value for value in chosen)])


@pytest.mark.parametrize("shift", range(-8, 71))
def test_round_shift(functions: ctypes.CDLL, shift: int) -> None:
    values = aligned(ties_and_corners(max(shift, 0), 1 << (62 - max(-shift, 0))), np.int64)
    results = aligned(np.zeros(len(values)), np.int64)
    functions.apply_round_shift(pointer(values), ctypes.c_long(len(values)), ctypes.c_long(shift), pointer(results))
    np.testing.assert_array_equal(results, round_shift(values, shift))


@pytest.mark.parametrize("shift", range(-8, 71))
def test_rounding_of_doubles(functions: ctypes.CDLL, shift: int) -> None:
    """One number at a time and vector by vector. What is rounded keeps its sign even as 0: nothing tells."""
    limit = (1 << 49) - 1
    values = aligned(ties_and_corners(max(shift, 0), EXACT >> max(-shift, 0)), np.float64)
    expected = round_shift(values.astype(np.int64), shift)
    results = aligned(np.zeros(len(values)), np.float64)
    calls = [(functions.apply_round_by, ()), (functions.apply_move_to_nearest, ())]
    if 0 <= shift < 63:
        calls.append((functions.apply_round_scaled, ()))
    for function, further in calls:
        function(pointer(values), ctypes.c_long(len(values)), ctypes.c_long(shift), *further, pointer(results))
        np.testing.assert_array_equal(results, expected)
    functions.apply_lanes(
        pointer(values), ctypes.c_long(len(values)), ctypes.c_long(shift), ctypes.c_double(limit), pointer(results)
    )
    np.testing.assert_array_equal(results, np.clip(expected, -limit, limit))


@pytest.mark.parametrize("shift", range(14, 30))
def test_stochastic_rounding_of_moves(functions: ctypes.CDLL, shift: int) -> None:
    """Products of both signs with offsets of nothing, of a half and of all but the last bit."""
    products = aligned(ties_and_corners(shift, EXACT >> 1), np.float64)
    words = np.resize(np.array([0, (1 << WORD_BITS) - 1, 1 << (WORD_BITS - 1), 0x123456, 1]), len(products))
    offsets = aligned(np.floor(words * 2.0 ** (shift - WORD_BITS)), np.float64)
    results = aligned(np.zeros(len(products)), np.float64)
    functions.apply_stochastic_move(
        pointer(products), pointer(offsets), ctypes.c_long(len(products)), ctypes.c_long(shift), pointer(results)
    )
    np.testing.assert_array_equal(results, round_stochastically(products.astype(np.int64), shift, words))


def test_integers_in_doubles(functions: ctypes.CDLL) -> None:
    values = aligned([value for value in CORNERS if value < EXACT], np.float64)
    integers, back = aligned(np.zeros(len(values)), np.uint64), aligned(np.zeros(len(values)), np.float64)
    functions.apply_integers(pointer(values), ctypes.c_long(len(values)), pointer(integers), pointer(back))
    np.testing.assert_array_equal(integers, values.astype(np.uint64))
    np.testing.assert_array_equal(back, values)


def test_ones_of_every_word(functions: ctypes.CDLL) -> None:
    """All words of 16 bits, below other bits that do not count, and which lanes hold any bit."""
    words = aligned(np.arange(1 << 16), np.uint64)
    words[1::2] |= np.uint64(0xA5 << 16)
    words[7::31] = 0
    ones, lanes_set = aligned(np.zeros(len(words)), np.uint64), aligned(np.zeros(len(words)), np.uint64)
    functions.apply_ones(pointer(words), ctypes.c_long(len(words)), pointer(ones), pointer(lanes_set))
    np.testing.assert_array_equal(ones, np.bitwise_count(words & np.uint64(0xFFFF)))
    lanes = functions.lanes()
    bits = (words.reshape(-1, lanes) != 0) << np.arange(lanes)
    np.testing.assert_array_equal(lanes_set[: len(bits)], bits.sum(axis=1))


def test_lengths_and_roots(functions: ctypes.CDLL) -> None:
    """Every power of two, every square of one and a number beside it, with their neighbours."""
    squares = [((1 << k) + offset) ** 2 for k in range(25) for offset in (-1, 0, 1, 12345)]
    values = sorted({value + offset for value in (*CORNERS, *squares) for offset in (-1, 0, 1)})
    words = aligned([value for value in values if 0 <= value < 1 << 52], np.int64)
    lengths, roots = aligned(np.zeros(len(words)), np.int64), aligned(np.zeros(len(words)), np.int64)
    functions.apply_scalars(pointer(words), ctypes.c_long(len(words)), pointer(lengths), pointer(roots))
    assert lengths.tolist() == [int(word).bit_length() for word in words]
    assert roots.tolist() == [math.isqrt(int(word)) for word in words]


def test_largest_magnitude(functions: ctypes.CDLL) -> None:
    """In every lane, of either sign, and of nothing but zeros."""
    for place in range(2 * WHOLE_VECTORS):
        for value in (5.0, -5.0):
            values = aligned(np.tile((-3.0, 2.0), WHOLE_VECTORS), np.float64)
            values[place] = value
            assert functions.largest(pointer(values), ctypes.c_long(len(values))) == 5
    assert functions.largest(pointer(aligned(np.zeros(8), np.float64)), ctypes.c_long(WHOLE_VECTORS)) == 0
