"""Netlists of ECP5 cells: their models where Yosys has none, and blocks that do the same after synthesis."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hdl.blocks import BLOCKS
from sim.native import Native, NativeError, run_native
from sim.post_synthesis import netlist, with_cells
from sim.runner import Design, SimulationError
from sim.transactions import transactions_of

ACCESSES = 400
MEMORY_BYTES = 2048
BYTE_BITS = 9
ALL = (1 << BYTE_BITS) - 1


def around(body: str, given: dict[str, int], result: dict[str, int]) -> Design:
    """A module with a stream of ``given`` fields and one of ``result`` fields, always ready, with all cells beside it."""
    streams, declared = {}, []
    for port, direction, widths in (("i", "in", given), ("o", "out", result)):
        fields, low = {}, 0
        for name, width in widths.items():
            bits = f"{port}__payload[{low + width - 1}:{low}]"
            declared.append(f"  wire [{width - 1}:0] {name};")
            declared.append(f"  assign {name} = {bits};" if port == "i" else f"  assign {bits} = {name};")
            fields[name] = {"offset": low, "width": width, "signed": False, "count": None}
            low += width
        streams[port] = {"direction": direction, "width": low, "fields": fields}
    lines = "\n".join(declared)
    verilog = f"""
module around (
    input clk, input rst, input i__valid, input [{streams["i"]["width"] - 1}:0] i__payload, output i__ready,
    output o__valid, output [{streams["o"]["width"] - 1}:0] o__payload, input o__ready
);
  assign i__ready = 1'b1;
{lines}
{body}
endmodule
"""
    description = {"block": "around", "streams": streams, "latency": 1, "cycles_per_beat": 1}
    return Design(with_cells(verilog), description)


def pins(prefix: str, name: str, count: int) -> str:
    return ", ".join(f".{prefix}{bit}({name}[{bit}])" for bit in range(count))


# --- the models -----------------------------------------------------------------------------------------------------


def test_multiplier() -> None:
    """Signed and unsigned operands, at the corners and at random."""
    body = f"""
  assign o__valid = i__valid;
  MULT18X18D multiplier ({pins("A", "a", 18)}, {pins("B", "b", 18)}, {pins("P", "p", 36)},
      .SIGNEDA(signed_a[0]), .SIGNEDB(signed_b[0]), .SOURCEA(1'b0), .SOURCEB(1'b0));
"""
    native = Native(around(body, {"a": 18, "b": 18, "signed_a": 1, "signed_b": 1}, {"p": 36}))
    corners = [0, 1, 2, (1 << 17) - 1, 1 << 17, (1 << 17) + 1, (1 << 18) - 1]
    generator = np.random.default_rng(1)
    words = np.array([*corners, *generator.integers(0, 1 << 18, 20).tolist()], np.int64)
    a, b, signed_a, signed_b = (each.ravel() for each in np.meshgrid(words, words, [0, 1], [0, 1]))
    native.send("i", a=a, b=b, signed_a=signed_a, signed_b=signed_b)
    native.run({"o": len(a)}, limit=2 * len(a))

    def value(word: np.ndarray, signed: np.ndarray) -> np.ndarray:
        return word - (signed * (word >> 17) << 18)

    expected = value(a, signed_a) * value(b, signed_b) & (1 << 36) - 1
    assert np.array_equal(native.receive("o")["p"], expected)


class Memory:
    """The block memory in Python: what the pins of both outputs hold after each access."""

    def __init__(self, widths: tuple[int, int], mode: str, initial: list[int]) -> None:
        self.sizes = tuple(width // BYTE_BITS for width in widths)
        self.mode, self.bytes, self.held = mode, list(initial), [[0] * 4, [0] * 4]

    def places(self, side: int, address: int) -> list[int]:
        size = self.sizes[side]
        return [(address >> 3) // size * size + place for place in range(size)]

    def access(self, word: dict[str, int]) -> tuple[int, int]:
        written: list[dict[int, int]] = [{}, {}]
        pins_given = word["data_a"] | word["data_b"] << 18, word["data_b"]
        for side, name in enumerate("ab"):
            size, address = self.sizes[side], word[f"address_{name}"]
            if word[f"enable_{name}"] and word[f"write_{name}"] and (side, size) != (1, 4):
                for lane, place in enumerate(self.places(side, address)):
                    if size == 1 or address >> lane & 1:
                        written[side][place] = pins_given[side] >> BYTE_BITS * lane & ALL
        for side, name in enumerate("ab"):
            if not word[f"enable_{name}"] or (self.mode == "NORMAL" and word[f"write_{name}"]):
                continue
            own = written[side] if self.mode == "WRITETHROUGH" else {}
            for lane, place in enumerate(self.places(side, word[f"address_{name}"])):
                old = self.bytes[place] ^ (ALL if place in written[1 - side] else 0)
                self.held[side][lane] = own.get(place, old)
        for place, byte in [*written[0].items(), *written[1].items()]:
            self.bytes[place] = byte
        wide = self.held[1] if self.sizes[1] == 4 else [*self.held[0][:2], *self.held[1][:2]]
        a, b = (sum(byte << BYTE_BITS * lane for lane, byte in enumerate(wide[low : low + 2])) for low in (0, 2))
        narrow = [(1 << 9 * min(size, 2)) - 1 for size in self.sizes]
        return a & (narrow[0] if self.sizes[1] != 4 else ALL << 9 | ALL), b & narrow[1]


FIELDS = {"data": 18, "address": 14, "enable": 1, "write": 1}


@pytest.mark.parametrize(
    ("widths", "mode"),
    [
        ((18, 18), "READBEFOREWRITE"),
        ((18, 18), "NORMAL"),
        ((18, 9), "WRITETHROUGH"),
        ((36, 36), "NORMAL"),
        ((36, 18), "NORMAL"),
    ],
)
def test_block_memory(widths: tuple[int, int], mode: str) -> None:
    """Contents from the start, writes by byte, what a port sees of its own writes and of the other's."""
    generator = np.random.default_rng(sum(widths))
    initial = generator.integers(0, 1 << BYTE_BITS, MEMORY_BYTES).tolist()
    contents = ", ".join(
        f".INITVAL_{row:02X}(320'h{sum(initial[32 * row + k] << (20 * (k // 2) + 9 * (k % 2)) for k in range(32)):x})"
        for row in range(64)
    )
    ports = ", ".join(
        f"{pins(f'DI{P}', f'data_{p}', 18)}, {pins(f'AD{P}', f'address_{p}', 14)}, {pins(f'DO{P}', f'seen_{p}', 18)}, "
        f".CE{P}(enable_{p}[0] & i__valid), .WE{P}(write_{p}[0]), .CLK{P}(clk), .RST{P}(1'b0)"
        for P, p in (("A", "a"), ("B", "b"))
    )
    body = f"""
  reg valid;
  always @(posedge clk) valid <= i__valid & ~rst;
  assign o__valid = valid;
  DP16KD #(.DATA_WIDTH_A({widths[0]}), .DATA_WIDTH_B({widths[1]}), .WRITEMODE_A("{mode}"), .WRITEMODE_B("{mode}"),
      {contents}) memory ({ports});
"""
    given = {f"{name}_{side}": width for side in "ab" for name, width in FIELDS.items()}
    native = Native(around(body, given, {"seen_a": 18, "seen_b": 18}))
    words = {name: generator.integers(0, 1 << width, ACCESSES) for name, width in given.items()}
    for side in "ab":  # few places, so that accesses meet, and both ends of the memory
        words[f"address_{side}"] = words[f"address_{side}"] & 0x3F | generator.choice([0, 0x3FC0], ACCESSES)
    both = np.flatnonzero(words["write_a"] & words["write_b"])
    words["write_b"][both] = 0  # which of two writes stays, nobody knows
    native.send("i", **words)
    native.run({"o": ACCESSES}, limit=2 * ACCESSES)
    seen = native.receive("o")
    memory = Memory(widths, mode, initial)
    expected = [memory.access({name: int(column[row]) for name, column in words.items()}) for row in range(ACCESSES)]
    used = [(1 << min(width, 18)) - 1 for width in ((36, 36) if widths[1] == 36 else widths)]
    assert (seen["seen_b"] & used[1]).tolist() == [b for _, b in expected]
    if widths != (36, 18):  # port A only writes
        assert (seen["seen_a"] & used[0]).tolist() == [a for a, _ in expected]


def test_what_the_model_does_not_have_is_refused() -> None:
    body = '  assign o__valid = 1\'b0;\n  DP16KD #(.REGMODE_A("OUTREG")) memory (.CLKA(clk), .DIA0(a[0]), .DOA0(p[0]));'
    with pytest.raises(NativeError, match="unsupported"):
        Native(around(body, {"a": 1}, {"p": 1}))


# --- blocks ---------------------------------------------------------------------------------------------------------

#: Blocks with their parameters, and cells that their netlists must have for this to be a test of them.
SYNTHESISED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "scaler": ({"lanes": 2}, {"MULT18X18D", "CCU2C", "LUT4", "TRELLIS_FF"}),
    "activation": ({"lanes": 1}, {"DP16KD", "LUT4", "TRELLIS_FF"}),
    "average": ({"lanes": 2, "copies": 3, "replications": (3,), "beats": 5}, {"TRELLIS_DPR16X4", "LUT4", "TRELLIS_FF"}),
}
TRANSACTIONS = 20


def synthesised(name: str) -> tuple[Design, Any]:
    block_class: Any = BLOCKS[name]
    block = block_class(block_class.parameters_class(**SYNTHESISED[name][0]))
    return netlist(Design.of(block)), transactions_of(block, np.random.default_rng(1), TRANSACTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("name", SYNTHESISED)
def test_block_after_synthesis(name: str) -> None:
    design, transactions = synthesised(name)
    for cell in SYNTHESISED[name][1]:
        assert re.search(rf"^  {cell} ", design.verilog, re.MULTILINE), cell
    run_native(design, transactions, stall=0.3)


@pytest.mark.slow
def test_a_faulty_netlist_is_seen() -> None:
    """The lowest bit of a multiplier's operand is cut off."""
    design, transactions = synthesised("scaler")
    with pytest.raises(SimulationError, match="expected"):
        run_native(cut(design), transactions)


def cut(design: Design, multipliers: str = "", wire: str = "A0") -> Design:
    """With a wire cut of every multiplier whose name has ``multipliers`` in it."""
    verilog, count = re.subn(
        rf"^(  MULT18X18D (?:#\([^;]*?\n  \) )?\S*{re.escape(multipliers)}\S* +\([^;]*?\n    \.{wire}\().*\)",
        r"\g<1>1'h0)",
        design.verilog,
        flags=re.MULTILINE,
    )
    assert count
    return replace(design, verilog=verilog)
