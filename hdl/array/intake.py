"""Taking vectors in: what the driven or pulsed lines do, as a list of columns and a memory of rows.

- forward: the enabled columns of ``drive`` with their codes;
- backward: the rows of ``drive``, by beat; then all columns that the array has, read off their masks;
- update: the columns of ``pulse`` that fire, with train, sign and word of cycle noise; then the rows, by beat.

A beat is taken apart into its columns, one per cycle; a beat with at most one takes one cycle. Whoever works on the list
may follow while it is filled (``count``). List and rows have two banks, so that an update is taken in while the one
before it is worked on; ``filled`` says that a bank is complete, ``release`` gives the older one back.

Beats pass two registers: *fetched* holds one while its noise states or mask come out of their memories, *walked* while its
columns are listed.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from emulator.fixed import WORD_BITS
from hdl.array.crossbar_parameters import CrossbarParameters
from hdl.array.device import line_layout
from hdl.shapes import beat, index_for, record, signed_for, stream_of, width_for

BANKS = 2


class Mode(enum.Enum, shape=unsigned(2)):
    FORWARD = 0
    BACKWARD = 1
    UPDATE = 2


class _Side(enum.Enum, shape=unsigned(1)):
    COLUMNS = 0
    ROWS = 1


def drive_payload(parameters: CrossbarParameters) -> data.StructLayout:
    return beat(signed_for(1 << parameters.dac_fraction), parameters.lanes, side=1)


def pulse_payload(parameters: CrossbarParameters) -> data.StructLayout:
    return beat(unsigned(parameters.desired_bl), parameters.lanes, negative=parameters.lanes, side=1)


def column_bits(parameters: CrossbarParameters) -> int:
    """Of a column's number: beat * lanes + lane."""
    return width_for(parameters.columns - 1)


def column_number(parameters: CrossbarParameters, number: Value, lane: Value) -> Value:
    """Of a beat and a lane."""
    return Cat(lane, number) if parameters.lanes > 1 else number


def entry_layout(parameters: CrossbarParameters) -> data.StructLayout:
    """A word of the list."""
    return record(column=column_bits(parameters), line=line_layout(parameters))


class Intake(wiring.Component):
    def __init__(self, parameters: CrossbarParameters) -> None:
        p = self.parameters = parameters
        row_address, column_address = index_for(p.row_beats), index_for(p.column_beats)
        words = data.ArrayLayout(WORD_BITS, p.lanes)
        super().__init__(
            {
                "drive": In(stream_of(drive_payload(p))),
                "pulse": In(stream_of(pulse_payload(p))),
                "settings": In(p.settings),
                "hold": In(1),  # something else goes before the next vector
                "quiet": Out(1),  # nothing is under way behind the banks: each is held until all is done
                "free": Out(1),  # no vector is being taken
                "mode": Out(Mode),  # of the vector under way, or the last one
                "rows_taken": Out(1),  # of a backward read
                # Memories of the lines' generators and masks.
                "row_address": Out(row_address),
                "column_address": Out(column_address),
                "read_rows": Out(1),
                "read_columns": Out(1),
                "read_mask": Out(1),
                "draw_rows": Out(p.lanes),
                "draw_columns": Out(p.lanes),
                "row_words": In(words),
                "column_words": In(words),
                "column_mask": In(p.lanes),
                # The list and the rows; the bank is the highest bit of an address.
                "list_address": Out(width_for(p.columns - 1) + 1),
                "list_write": Out(1),
                "entry": Out(entry_layout(p)),
                "line_address": Out(width_for(p.longest_rows - 1) + 1),
                "line_write": Out(1),
                "lines": Out(data.ArrayLayout(line_layout(p), p.lanes)),
                "count": Out(data.ArrayLayout(width_for(p.columns), BANKS)),
                "filled": Out(BANKS),
                "release": In(BANKS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        fetched, listing, load = Signal(), Signal(p.lanes), Signal()
        flow = _Flow(*(Signal(name=name) for name in ("may_pulse", "may_drive", "scan", "pulse", "drive", "last")))
        taken = self._fetch(m, flow, fetched, load)
        bank = Signal(range(BANKS))
        walked = Signal(taken.shape())
        one_left = ~(listing & (listing - 1)[: p.lanes]).any()
        m.d.comb += load.eq(fetched & one_left)

        lines = Signal(data.ArrayLayout(line_layout(p), p.lanes))
        wanted, pulsed = Signal(p.lanes), Signal(p.lanes)
        updating = self.mode == Mode.UPDATE
        on_rows = taken.side == _Side.ROWS
        for lane in range(p.lanes):
            noise = Mux(on_rows, self.row_words[lane], self.column_words[lane])
            m.d.comb += [lines[lane].eq(taken.lines[lane]), lines[lane].noise.eq(noise)]
            fires = taken.lines[lane].value.any()
            m.d.comb += [
                pulsed[lane].eq(fires),
                wanted[lane].eq(
                    Mux(taken.scan, self.column_mask[lane], taken.mask[lane] & (~updating | fires)) & ~on_rows
                ),
            ]
        # A line draws for the update cycles in which it fires.
        drawing = load & updating & self.settings.cycle_noise
        m.d.comb += [
            self.draw_rows.eq(Mux(drawing & on_rows, pulsed, 0)),
            self.draw_columns.eq(Mux(drawing & ~on_rows, pulsed, 0)),
            self.line_write.eq(load & on_rows),
            self.line_address.eq(Cat(taken.number[: len(self.line_address) - 1], bank)),
            self.lines.eq(lines),
        ]
        walked_lines = Signal.like(lines)
        with m.If(load):
            m.d.sync += [walked.eq(taken), walked_lines.eq(lines), listing.eq(wanted)]
        with m.Elif(listing.any()):
            m.d.sync += listing.eq(listing & (listing - 1))

        lane = Signal(index_for(p.lanes))
        for number in reversed(range(p.lanes)):
            with m.If(listing[number]):
                m.d.comb += lane.eq(number)
        m.d.comb += [
            self.list_write.eq(listing.any()),
            self.list_address.eq(Cat(self.count[bank][: len(self.list_address) - 1], bank)),
            self.entry.column.eq(column_number(p, walked.number, lane)),
            self.entry.line.eq(walked_lines[lane]),
        ]
        with m.If(self.list_write):
            m.d.sync += self.count[bank].eq(self.count[bank] + 1)
        self._sequence(m, flow, bank, fetched | ~one_left)
        return m

    def _fetch(self, m: Module, flow: _Flow, fetched: Signal, load: Value) -> data.View:
        """The first register: beats of pulse, drive, or of the columns' masks (``scan``)."""
        p = self.parameters
        number = Signal(index_for(p.longest_beats))
        value = line_layout(p)["value"].shape
        layout = record(
            lines=data.ArrayLayout(record(value=value, negative=1), p.lanes),
            mask=p.lanes,
            side=_Side,
            scan=1,
            number=number.shape(),
        )
        beat_in_fetch = Signal(layout)
        room = ~fetched | load
        pulse, drive = self.pulse.payload, self.drive.payload
        take = flow.pulse | flow.drive | (flow.scan & room)
        rows = Mux(flow.may_pulse, pulse.side, drive.side) & ~flow.scan
        ends = Mux(flow.may_pulse, pulse.last, drive.last)
        m.d.comb += [
            self.pulse.ready.eq(flow.may_pulse & room),
            self.drive.ready.eq(flow.may_drive & room),
            flow.pulse.eq(self.pulse.valid & self.pulse.ready),
            flow.drive.eq(self.drive.valid & self.drive.ready),
            flow.last.eq(take & Mux(flow.scan, number == self.settings.column_beats - 1, ends)),
            self.row_address.eq(self.settings.row_base + number),
            self.column_address.eq(self.settings.column_base + number),
            self.read_rows.eq(flow.pulse & rows),
            self.read_columns.eq(flow.pulse & ~rows),
            self.read_mask.eq(flow.scan & room),
        ]
        with m.If(take):
            m.d.sync += [
                fetched.eq(1),
                beat_in_fetch.mask.eq(Mux(flow.may_pulse, pulse.mask, drive.mask)),
                beat_in_fetch.side.eq(rows),
                beat_in_fetch.scan.eq(flow.scan),
                beat_in_fetch.number.eq(number),
                number.eq(Mux(flow.last, 0, number + 1)),
            ]
            for lane in range(p.lanes):
                line = beat_in_fetch.lines[lane]
                given = Mux(flow.may_pulse, pulse.elements[lane], drive.elements[lane].as_unsigned())
                enabled = Mux(flow.may_pulse, pulse.mask[lane], drive.mask[lane])
                m.d.sync += [line.value.eq(Mux(enabled, given, 0)), line.negative.eq(pulse.negative[lane])]
        with m.Elif(load):
            m.d.sync += fetched.eq(0)
        return beat_in_fetch

    def _sequence(self, m: Module, flow: _Flow, bank: Signal, walking: Value) -> None:
        """Which beats come next, from the first one of a vector to a filled bank."""
        updating = self.mode == Mode.UPDATE
        m.d.comb += self.quiet.eq(~self.filled.any())
        with m.If(self.release.any()):
            m.d.sync += self.filled.eq(self.filled & ~self.release)
            for number in range(BANKS):
                with m.If(self.release[number]):
                    m.d.sync += self.count[number].eq(0)
        with m.FSM():
            with m.State("free"):
                # Updates may follow each other closely; a read waits until all is done. What is chosen comes a cycle later.
                may_begin = ~self.hold & ~self.filled.bit_select(bank, 1)
                m.d.comb += self.free.eq(1)
                with m.If(may_begin & self.pulse.valid & (self.quiet | updating)):
                    m.d.sync += [self.mode.eq(Mode.UPDATE), flow.may_pulse.eq(1)]
                    m.next = "columns"
                with m.Elif(may_begin & ~self.pulse.valid & self.drive.valid & self.quiet):
                    side = self.drive.payload.side
                    m.d.sync += [self.mode.eq(Mux(side, Mode.BACKWARD, Mode.FORWARD)), flow.may_drive.eq(1)]
                    m.next = "columns"
                    with m.If(side):
                        m.next = "rows"
            with m.State("columns"):
                with m.If(flow.last):
                    m.next = "rows"
                    with m.If(~updating):
                        m.d.sync += flow.may_drive.eq(0)
                        m.next = "finish"
            with m.State("rows"):
                with m.If(flow.last):
                    m.d.sync += [flow.may_pulse.eq(0), flow.may_drive.eq(0)]
                    m.next = "scan"
                    with m.If(updating):
                        m.next = "finish"
            with m.State("scan"):
                m.d.comb += [flow.scan.eq(1), self.rows_taken.eq(1)]
                with m.If(flow.last):
                    m.next = "finish"
            with m.State("finish"):
                with m.If(~walking):
                    m.d.sync += [self.filled.bit_select(bank, 1).eq(1), bank.eq(bank + 1)]
                    m.next = "free"


@dataclass(frozen=True)
class _Flow:
    """What may be taken into the first register, and what is."""

    may_pulse: Signal
    may_drive: Signal
    scan: Signal  # masks come next
    pulse: Signal  # a beat of it is taken
    drive: Signal
    last: Signal  # the last beat of a side is taken
