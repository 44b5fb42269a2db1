"""Whether an answer is wrong, against NumPy's first largest logit: ties, ends of words, numbers of classes that are powers
of two, and a vector right behind another."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.network.judge import Judge
from hdl.shapes import beat, index_for, record, stream_of
from sim.pysim import run
from sim.transactions.base import Transactions, beats, draw

BITS, VECTORS = 10, 24
LARGEST = (1 << (BITS - 1)) - 1


class Judging(wiring.Component):
    """The judge, with a ``verdict`` after every vector: how often it has said that the answer is wrong. ``label`` comes first."""

    latency, cycles_per_beat = 8, 8

    def __init__(self, classes: int, lanes: int) -> None:
        self.judge, self.lanes = Judge(beat(signed(BITS), lanes), classes), lanes
        super().__init__(
            {
                "label": In(stream_of(record(label=index_for(classes)))),
                "i": In(self.judge.signature.members["i"].signature),
                "verdict": Out(stream_of(record(wrong=2))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.judge = judge = self.judge
        going, left, wrong = Signal(), Signal(8), Signal(2)
        m.d.comb += [
            self.label.ready.eq(~going & ~self.verdict.valid),
            judge.i.valid.eq(self.i.valid & going & (left == 0)),
            judge.i.payload.eq(self.i.payload),
            self.i.ready.eq(judge.i.ready & going & (left == 0)),
            self.verdict.payload.wrong.eq(wrong),
        ]
        with m.If(self.label.valid & self.label.ready):
            m.d.sync += [judge.label.eq(self.label.payload.label), going.eq(1), wrong.eq(0)]
        with m.If(judge.wrong):
            m.d.sync += wrong.eq(wrong + 1)
        with m.If(self.i.valid & self.i.ready & self.i.payload.last):
            m.d.sync += left.eq(self.lanes + 4)  # longer than the judge needs for a beat
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 1):
                m.d.sync += [going.eq(0), self.verdict.valid.eq(1)]
        with m.If(self.verdict.valid & self.verdict.ready):
            m.d.sync += self.verdict.valid.eq(0)
        return m


def answers(classes: int, lanes: int) -> Transactions:
    """Logits of all kinds; labels that are right and wrong, the last class among them."""
    generator = np.random.default_rng(classes)
    labels, given, verdicts = [], [], []
    for number in range(VECTORS):
        reach = 1 if number % 3 == 0 else LARGEST
        logits = draw(generator, classes, -reach, reach)
        if number % 4 == 1:
            logits[-1] = LARGEST
        label = int(np.argmax(logits)) if number % 2 else int(generator.integers(classes))
        labels.append({"label": label})
        given += beats(logits, lanes, fill=generator, fill_bits=BITS - 1)
        verdicts.append({"wrong": int(np.argmax(logits) != label)})
    return Transactions({"label": labels, "i": given}, {"verdict": verdicts})


@pytest.mark.parametrize("stall", (0.0, 0.4))
@pytest.mark.parametrize(("classes", "lanes"), ((2, 1), (8, 3), (10, 4), (16, 4), (16, 16)))
def test_equals_numpy(classes: int, lanes: int, stall: float) -> None:
    transactions = answers(classes, lanes)
    assert {word["wrong"] for word in transactions.outputs["verdict"]} == {0, 1}
    run(Judging(classes, lanes), transactions, stall=stall)


@pytest.mark.parametrize("cycles", range(2, 14))
def test_reset_in_mid_vector(cycles: int) -> None:
    run(Judging(10, 4), answers(10, 4), reset_after=cycles)
