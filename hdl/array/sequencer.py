"""The order of work on a filled (for reads: filling) bank, block by block of ``devices`` rows.

    forward     run the list (a column per cycle), wait for the last product, hand out the totals by beats
    backward    load the block's rows, run the list, wait for the last sum
    update      load the block's rows; if any of them fires: run the list (two cycles per column), wait; then report

Blocks lie one behind the other in the weights: block b begins ``b * column_beats * lanes`` words after the first.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.array.adder_tree import levels
from hdl.array.crossbar_parameters import CrossbarParameters
from hdl.array.device import MOVE_LATENCY
from hdl.array.intake import BANKS, Mode
from hdl.shapes import index_for, width_for

#: Cycles from the address of a list entry to: its column in the lanes (updates), its product (reads).
COLUMN_DELAY, PRODUCT_DELAY = 5, 7
#: Cycles to the write of its moved weight.
WRITE_DELAY = COLUMN_DELAY + MOVE_LATENCY + 1


def pipeline_depth(parameters: CrossbarParameters) -> int:
    """Cycles from the address of a list entry to the last write that comes of it."""
    return max(WRITE_DELAY, sum_delay(parameters))


def sum_delay(parameters: CrossbarParameters) -> int:
    """Cycles to the write of a column's sum, backward: products, the tree, the old sum, the new one."""
    return PRODUCT_DELAY + levels(parameters.devices) + 2


class Sequencer(wiring.Component):
    def __init__(self, parameters: CrossbarParameters) -> None:
        p = self.parameters = parameters
        super().__init__(
            {
                "settings": In(p.settings),
                "mode_taken": In(Mode),
                "taking": In(1),  # a vector is being taken
                "rows_taken": In(1),  # of a backward read
                "count": In(data.ArrayLayout(width_for(p.columns), BANKS)),
                "filled": In(BANKS),
                "release": Out(BANKS),
                "start": Out(1),  # of a read
                "forward": Out(1),
                "backward": Out(1),
                "updating": Out(1),
                "even": Out(1),
                "list_address": Out(width_for(p.columns - 1) + 1),
                "list_read": Out(1),
                "live": Out(pipeline_depth(p)),  # bit k: an entry whose address was given k + 1 cycles ago
                "line_address": Out(width_for(p.longest_rows - 1) + 1),
                "row": Out(width_for(p.longest_rows)),  # beat of the array's rows
                "row_read": Out(1),
                "clear": Out(1),
                "load": Out(p.groups),  # the beat read two cycles ago goes to this group of lanes
                "fires": In(1),  # any line of that beat
                "restart": Out(1),
                "shift": Out(1),  # totals move on; the beat handed out is ``row``
                "block_base": Out(index_for(p.weight_words)),
                "first_block": Out(1),
                "done": Out(1),  # all sums of a read are there
                "reported": In(1),
                "report": Out(1),
                "converting": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        at = _Position(
            bank=Signal(range(BANKS)),
            index=Signal(width_for(p.columns)),
            block=Signal(index_for(-(-p.longest_rows // p.groups))),
            group=Signal(index_for(p.groups)),
        )
        m.d.sync += [self.even.eq(~self.even), self.live.eq(Cat(self.list_read, self.live))]
        m.d.comb += [
            self.list_address.eq(Cat(at.index[: len(self.list_address) - 1], at.bank)),
            self.line_address.eq(Cat(self.row[: len(self.line_address) - 1], at.bank)),
            self.first_block.eq(at.block == 0),
        ]
        m.d.sync += [self.restart.eq(0), self.clear.eq(0)]
        with m.If(self.list_read):
            m.d.sync += at.index.eq(at.index + 1)
        with m.If(self.row_read | self.shift):
            m.d.sync += [self.row.eq(self.row + 1), at.group.eq(at.group + 1)]
        filled = self.filled.bit_select(at.bank, 1)
        more = at.index < self.count[at.bank]
        fires = self._follow_load(m, at)
        with m.FSM():
            self._begin(m, at, filled, more)
            self._load(m, at, fires)
            self._run(m, at, filled, more)
            self._end(m, at)
        return m

    def _begin(self, m: Module, at: _Position, filled: Value, more: Value) -> None:
        """A vector, and every block of rows."""
        update_taken = self.mode_taken == Mode.UPDATE
        reads = self.taking & ~update_taken
        with m.State("idle"):
            m.d.comb += self.start.eq(reads | (filled & ~update_taken))
            m.d.sync += [
                self.forward.eq(self.mode_taken == Mode.FORWARD),
                self.backward.eq(self.mode_taken == Mode.BACKWARD),
                self.updating.eq(update_taken),
                at.block.eq(0),
                self.row.eq(0),
                self.block_base.eq(self.settings.weight_base),
            ]
            with m.If(reads | filled):
                m.next = "begin"
                with m.If(update_taken & ~more):
                    m.next = "report"
        with m.State("begin"):
            # Many lanes hear of it a cycle later, which is soon enough.
            m.d.sync += [self.restart.eq(1), self.clear.eq(1)]
            m.d.sync += [at.index.eq(0), at.group.eq(0)]
            with m.If(self.forward):
                m.next = "run"
            with m.Elif(self.updating | self.rows_taken | filled):
                m.next = "load"

    def _last_of_block(self, at: _Position) -> Value:
        return (at.group == self.parameters.groups - 1) | (self.row == self.settings.row_beats - 1)

    def _follow_load(self, m: Module, at: _Position) -> Signal:
        """A beat of rows goes to its lanes two cycles after it is read. Returns whether any row of the block fires."""
        fires, read = Signal(), Signal(self.parameters.groups)
        m.d.sync += [read.eq(Mux(self.row_read, Const(1, self.parameters.groups) << at.group, 0)), self.load.eq(read)]
        with m.If(self.clear):
            m.d.sync += fires.eq(0)
        with m.Elif(self.load.any()):
            m.d.sync += fires.eq(fires | self.fires)
        return fires

    def _load(self, m: Module, at: _Position, fires: Value) -> None:
        """The rows of a block, a beat per cycle. An update goes on with the next block if none of them fires; a read need not
        wait for what is there before the first entry."""
        with m.State("load"):
            m.d.comb += self.row_read.eq(1)
            with m.If(self._last_of_block(at)):
                m.next = "loading"
        with m.State("loading"):
            m.next = "run"
            with m.If(self.updating):
                m.next = "arriving"
        with m.State("arriving"):
            m.next = "loaded"
        with m.State("loaded"):
            m.next = "run"
            with m.If(~fires):
                m.next = "next"

    def _run(self, m: Module, at: _Position, filled: Value, more: Value) -> None:
        """The list, and the way of its last entry to where it counts."""
        with m.State("run"):
            m.d.comb += self.list_read.eq(more & (~self.updating | ~self.even))
            with m.If(filled & ~more):
                m.next = "drain"
        with m.State("drain"):
            # What is at its end in this cycle is there in the next.
            on_the_way = Mux(
                self.forward,
                self.live[: PRODUCT_DELAY - 1].any(),
                Mux(self.updating, self.live[:-1].any(), self.live[: sum_delay(self.parameters) - 1].any()),
            )
            with m.If(~on_the_way):
                m.next = "next"
                with m.If(self.forward):
                    m.d.sync += self.shift.eq(1)
                    m.next = "hand out"
        with m.State("hand out"):
            with m.If(self._last_of_block(at)):
                m.d.sync += self.shift.eq(0)
                m.next = "next"

    def _end(self, m: Module, at: _Position) -> None:
        """The next block, or the end."""
        given = self.settings
        with m.State("next"):
            m.d.sync += [
                at.block.eq(at.block + 1),
                self.block_base.eq(self.block_base + given.column_beats * self.parameters.lanes),
            ]
            m.next = "begin"
            with m.If(at.block == given.row_blocks - 1):
                m.next = "finish"
        with m.State("finish"):
            m.d.comb += self.done.eq(1)
            m.d.sync += at.index.eq(0)
            with m.If(self.updating):
                m.next = "report"
            with m.Elif(~self.converting):
                m.next = "release"
        with m.State("report"):
            m.d.comb += self.report.eq(1)
            with m.If(self.reported):
                m.next = "release"
        with m.State("release"):
            m.d.comb += self.release.bit_select(at.bank, 1).eq(1)
            m.d.sync += at.bank.eq(at.bank + 1)
            m.next = "idle"


@dataclass(frozen=True)
class _Position:
    """Bank, entry of the list, block of rows, beat of the block."""

    bank: Signal
    index: Signal
    block: Signal
    group: Signal
