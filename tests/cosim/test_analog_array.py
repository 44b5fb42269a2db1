"""The array behind the pins of a design against the crossbar called directly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from emulator.array.crossbar import Crossbar, PulseTrains
from emulator.config import Stage, load
from hdl.export import describe_streams
from hdl.shapes import beat, stream_of
from sim.analog_array import COLUMNS, ROWS, AnalogArray
from sim.runner import Design, run_verilator
from sim.transactions.base import Transactions, beats

LANES = 3
CODE_BITS = 16
SEED = 5
VECTORS = 6


def stage_of() -> Stage:
    return load("tiny").stages[0]


def drawn(stage: Stage) -> tuple[list[tuple[int, np.ndarray]], np.ndarray, np.ndarray]:
    """Drive vectors of both sides, and signed trains of columns and of rows for as many update cycles."""
    generator = np.random.default_rng(SEED)
    full_range = 1 << stage.dac_fraction
    lines = {COLUMNS: stage.physical_columns, ROWS: stage.physical_rows}
    reads = [(k % 2, generator.integers(-full_range, full_range, lines[k % 2], endpoint=True)) for k in range(VECTORS)]
    top = 1 << stage.array.update.desired_bl
    columns, rows = (generator.integers(-top + 1, top, (VECTORS, lines[side])) for side in (COLUMNS, ROWS))
    return reads, columns, rows


def trains(stage: Stage, signed_words: np.ndarray) -> PulseTrains:
    slots = np.arange(stage.array.update.desired_bl)
    return PulseTrains((np.abs(signed_words)[:, None, :] >> slots[:, None] & 1).astype(bool), signed_words < 0)


def pulse_beats(words: np.ndarray, side: int) -> list[dict[str, Any]]:
    fill = np.random.default_rng(1)
    result = []
    for part in beats(list(np.abs(words)), LANES, fill=fill, side=side):
        start = len(result) * LANES
        negative = sum(int(word < 0) << lane for lane, word in enumerate(words[start : start + LANES]))
        result.append({**part, "negative": negative})
    return result


def sense_beats(codes: np.ndarray, saturated: np.ndarray) -> list[dict[str, Any]]:
    result = beats(list(codes), LANES)
    for number, part in enumerate(result):
        flags = saturated[number * LANES : (number + 1) * LANES]
        part["saturated"] = sum(int(flag) << lane for lane, flag in enumerate(flags))
    return result


def expected(stage: Stage) -> tuple[Crossbar, list[dict[str, Any]]]:
    """Reads, then update cycles, then the same reads again."""
    crossbar = Crossbar(stage, SEED)
    reads, columns, rows = drawn(stage)

    def read_all() -> list[dict[str, Any]]:
        result = []
        for side, codes in reads:
            sensed, flags = (crossbar.read_forward, crossbar.read_backward)[side](codes[None])
            result += sense_beats(sensed[0], flags[0])
        return result

    before = read_all()
    assert crossbar.pulse(trains(stage, rows), trains(stage, columns)) > 0
    return crossbar, before + read_all()


def mask_flags(part: dict[str, Any]) -> dict[str, Any]:
    """Without what disabled lanes hold."""
    lanes = [lane for lane in range(LANES) if part["mask"] >> lane & 1]
    return {
        "elements": [part["elements"][lane] for lane in lanes],
        "saturated": part["saturated"] & part["mask"],
        "mask": part["mask"],
        "last": part["last"],
    }


def drive_beats(reads: list[tuple[int, np.ndarray]]) -> list[dict[str, Any]]:
    fill = np.random.default_rng(2)
    return [part for side, codes in reads for part in beats(list(codes), LANES, fill=fill, side=side)]


def test_beats_equal_the_crossbar() -> None:
    stage = stage_of()
    reads, columns, rows = drawn(stage)
    crossbar, wanted = expected(stage)
    array = AnalogArray(Crossbar(stage, SEED), LANES)
    seen = [sense for part in drive_beats(reads) for sense in array.drive_beat(part)]
    for column_words, row_words in zip(columns, rows, strict=True):
        results = [array.pulse_beat(part) for part in pulse_beats(column_words, COLUMNS) + pulse_beats(row_words, ROWS)]
        assert results[-1] is not None and results[:-1] == [None] * (len(results) - 1)
    seen += [sense for part in drive_beats(reads) for sense in array.drive_beat(part)]
    assert list(map(mask_flags, seen)) == list(map(mask_flags, wanted))
    np.testing.assert_array_equal(array.crossbar.weights, crossbar.weights)


def test_a_wrong_number_of_lines_is_refused() -> None:
    array = AnalogArray(Crossbar(stage_of(), SEED), LANES)
    with pytest.raises(ValueError, match="accepted"):
        array.drive(COLUMNS, [0])
    with pytest.raises(ValueError, match="rows before"):
        array.pulse_beat({"elements": [0] * LANES, "negative": 0, "mask": 1, "last": 1, "side": ROWS})


def wires(stage: Stage) -> Design:
    """A design whose streams go straight to the tile's port: what is driven is what a tile would drive."""
    code = signed(CODE_BITS)
    bits = stage.array.update.desired_bl
    drive, sense = beat(code, LANES, side=1), beat(code, LANES, saturated=LANES)
    pulse = beat(bits, LANES, negative=LANES, side=1)
    pairs = (("i", "drive", drive), ("sense", "o", sense), ("p", "pulse", pulse))
    ends = {source: In(stream_of(layout)) for source, _, layout in pairs}
    ends |= {target: Out(stream_of(layout)) for _, target, layout in pairs}
    streams = describe_streams(wiring.Component(ends))
    lines, pins = [], ["clk", "rst"]
    for source, target, layout in pairs:
        for port, flow in ((source, In), (target, Out)):
            inward, outward = ("input", "output") if flow is In else ("output", "input")
            lines += [
                f"{inward} [{layout.size - 1}:0] {port}__payload;",
                f"{inward} {port}__valid;",
                f"{outward} {port}__ready;",
            ]
            pins += [f"{port}__{pin}" for pin in ("payload", "valid", "ready")]
        lines += [f"assign {target}__{pin} = {source}__{pin};" for pin in ("payload", "valid")]
        lines += [f"assign {source}__ready = {target}__ready;"]
    text = "\n".join([f"module wires({', '.join(pins)});", "input clk, rst;", *lines, "endmodule\n"])
    return Design(text, {"block": "wires", "parameters": {}, "latency": 1, "cycles_per_beat": 1, "streams": streams})


def test_pins_equal_the_crossbar() -> None:
    stage = stage_of()
    reads, columns, rows = drawn(stage)
    crossbar, wanted = expected(stage)
    updates = [
        part for c, r in zip(columns, rows, strict=True) for part in pulse_beats(c, COLUMNS) + pulse_beats(r, ROWS)
    ]
    half = len(wanted) // 2
    # Flags of disabled lanes are anything, which the word of flags cannot say: only whole beats' flags are compared.
    wanted = [part if part["mask"] == (1 << LANES) - 1 else {**part, "saturated": None} for part in wanted]
    transactions = Transactions(
        {"i": drive_beats(reads)},
        {"o": wanted[:half]},
        then=(Transactions({"p": updates}, {}), Transactions({"i": drive_beats(reads)}, {"o": wanted[half:]})),
    )
    report = run_verilator(wires(stage), transactions, stall=0.3, array=AnalogArray(Crossbar(stage, SEED), LANES))
    assert report.compared == {"o": len(wanted)}
    assert report.array is not None
    assert report.array.update_cycles == VECTORS
    np.testing.assert_array_equal(report.array.crossbar.weights, crossbar.weights)
    for name in ("row_noise", "column_noise"):
        np.testing.assert_array_equal(getattr(report.array.crossbar, name), getattr(crossbar, name))
