"""The crossbar with one device at a time, for the smallest FPGAs: what `Crossbar` is made of where ``serial``.

The same streams, memories and bits as hdl/array/crossbar.py has them, with a line a beat. A vector is taken into the memory of
lines, and only then worked on; nothing overlaps. One counter goes through the lines that are sensed (of an update the rows),
one through those that are driven (the columns):

    read      per line sensed: every line driven, two cycles each; then its noise, the code, the beat of ``sense``
    update    per row that fires, per column that fires with it: four draws, one after the other, each
              word of the row -> word of the column, mixed -> mean + xi * gain -> applied

and the draws of a device are, by ``turn``: factor of the cycle, step, ratio (after which the change is known), bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring

from hdl.array.intake import Mode
from hdl.fixed import ones
from hdl.serial.crossbar_arithmetic import BOUND_TURN, CYCLE_TURN, RATIO_TURN, CrossbarArithmetic
from hdl.serial.crossbar_memories import CrossbarMemories, Position
from hdl.shapes import record, width_for

if TYPE_CHECKING:
    from hdl.array.crossbar_parameters import CrossbarParameters

#: Cycles of a read per line driven, and per line sensed beside those; of an update per row, per column of a row that fires,
#: and beside those per device that moves: its draws, and the change.
READ_CYCLES, SENSE_CYCLES, ROW_CYCLES, COLUMN_CYCLES, MOVE_CYCLES = 2, 4, 2, 2, 4 * 5 + 1


def read_cycles(sensed: int, driven: int) -> int:
    """Between the last beat of ``drive`` and the last of ``sense``, without stalls."""
    return sensed * (READ_CYCLES * driven + SENSE_CYCLES)


def update_cycles(rows: int, columns: int, firing_rows: int, coincidences: int) -> int:
    """Between the last beat of ``pulse`` and its report; ``coincidences``: devices that move."""
    return ROW_CYCLES * rows + COLUMN_CYCLES * firing_rows * columns + MOVE_CYCLES * coincidences + 2


class SerialCrossbar(wiring.Component):
    """``streams``: shapes of the payloads, by the names of the streams."""

    def __init__(self, parameters: CrossbarParameters, streams: dict[str, wiring.Member]) -> None:
        self.parameters = parameters
        super().__init__(streams)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        if p.settings_held:
            settings = self.settings.payload
        else:
            settings = Signal(p.settings)
            with m.If(self.settings.valid & self.settings.ready):
                m.d.sync += settings.eq(self.settings.payload)
        index = width_for(max(p.longest_rows, p.longest_columns))
        at = Position(
            mode=Signal(Mode),
            outer=Signal(index),
            inner=Signal(index),
            weight=Signal(width_for(p.weight_words - 1)),
            turn=Signal(2),
            side=Signal(),
            number=Signal(index),
        )
        memories = CrossbarMemories(m, p, at, settings, self.access.payload)
        lane = CrossbarArithmetic(m, p, at, settings, memories)
        _Control(m, self, at, settings, memories, lane)
        return m


class _Control:
    """The order of work."""

    def __init__(
        self,
        m: Module,
        ports: SerialCrossbar,
        at: Position,
        settings: data.View,
        memories: CrossbarMemories,
        lane: CrossbarArithmetic,
    ) -> None:
        self.m, self.ports, self.at = m, ports, at
        self.settings, self.memories, self.lane = settings, memories, lane
        self.backward = at.mode == Mode.BACKWARD
        self.next_outer, self.next_inner = (at.outer + 1)[: len(at.outer)], (at.inner + 1)[: len(at.inner)]
        self.outer_ends = self.next_outer == Mux(self.backward, settings.column_beats, settings.row_beats)
        self.inner_ends = self.next_inner == Mux(self.backward, settings.row_beats, settings.column_beats)
        slots = ports.parameters.desired_bl
        self.row = Signal(record(value=slots, negative=1))
        self.both = self.row.value & memories.line.value[:slots]
        taking_pulse = Signal()
        pulse, drive, sense = ports.pulse.payload, ports.drive.payload, ports.sense.payload
        m.d.comb += [
            memories.given.value.eq(Mux(taking_pulse, pulse.elements[0], drive.elements[0].as_unsigned())),
            memories.given.negative.eq(pulse.negative[0]),
            memories.moved.eq(lane.moved),
            sense.mask.eq(1),
            sense.last.eq(self.outer_ends),
            sense.elements[0].eq(lane.code),
            sense.saturated[0].eq(lane.saturated),
            ports.answer.payload.data.eq(memories.answer),
            # Without a coincidence a device does not move, whatever the gain.
            lane.count.eq(ones(self.both)),
            lane.up.eq(self.row.negative == memories.line.negative),
        ]
        with m.FSM():
            self._begin()
            self._serve()
            self._take(taking_pulse)
            self._read()
            self._find_device()
            self._move_device()

    def _next_row(self) -> None:
        m, at = self.m, self.at
        m.d.sync += [at.outer.eq(self.next_outer), at.inner.eq(0)]
        m.next = "row"
        with m.If(self.outer_ends):
            m.next = "report"

    def _next_column(self) -> None:
        m, at = self.m, self.at
        m.d.sync += [at.inner.eq(self.next_inner), at.weight.eq(at.weight + 1)]
        m.next = "column"
        with m.If(self.inner_ends):
            self._next_row()

    def _begin(self) -> None:
        """What goes first of what waits."""
        m, at, ports = self.m, self.at, self.ports
        with m.State("idle"):
            m.d.comb += ports.settings.ready.eq(1)
            m.d.sync += [
                at.outer.eq(0),
                at.inner.eq(0),
                at.weight.eq(self.settings.weight_base),
                ports.report.payload.coincidences.eq(0),
            ]
            with m.If(~ports.settings.valid):
                with m.If(ports.access.valid):
                    m.next = "access"
                with m.Elif(ports.pulse.valid):
                    m.d.sync += at.mode.eq(Mode.UPDATE)
                    m.next = "pulse"
                with m.Elif(ports.drive.valid):
                    m.d.sync += at.mode.eq(Mux(ports.drive.payload.side, Mode.BACKWARD, Mode.FORWARD))
                    m.next = "drive"

    def _serve(self) -> None:
        """An access."""
        m, ports = self.m, self.ports
        with m.State("access"):
            m.d.comb += [
                self.memories.accessing.eq(1),
                self.memories.read.eq(~ports.access.payload.write),
                self.memories.store.eq(ports.access.payload.write),
            ]
            m.d.comb += ports.access.ready.eq(1)
            m.d.sync += self.memories.space.eq(ports.access.payload.space)
            m.next = "answer"
            with m.If(ports.access.payload.write):
                m.next = "idle"
        with m.State("answer"):
            m.d.comb += ports.answer.valid.eq(1)
            with m.If(ports.answer.ready):
                m.next = "idle"

    def _take(self, taking_pulse: Signal) -> None:
        """A vector, into the memory of lines; in an update cycle a line that fires draws."""
        m, at, ports = self.m, self.at, self.ports
        with m.State("drive"):
            m.d.comb += [ports.drive.ready.eq(1), at.side.eq(self.backward), at.number.eq(at.inner)]
            with m.If(ports.drive.valid):
                m.d.comb += self.memories.take.eq(1)
                m.d.sync += at.inner.eq(self.next_inner)
                with m.If(ports.drive.payload.last):
                    m.d.sync += at.inner.eq(0)
                    m.next = "driven"
        with m.State("pulse"):
            m.d.comb += [
                taking_pulse.eq(1),
                at.side.eq(ports.pulse.payload.side),
                at.number.eq(at.inner),
                self.memories.take.eq(ports.pulse.valid),
                self.memories.read.eq(1),
            ]
            with m.If(ports.pulse.valid):
                m.next = "pulsed"
        with m.State("pulsed"):
            m.d.comb += [
                ports.pulse.ready.eq(1),
                at.side.eq(ports.pulse.payload.side),
                at.number.eq(at.inner),
                self.memories.draw.eq(self.settings.cycle_noise & ports.pulse.payload.elements[0].any()),
            ]
            m.d.sync += at.inner.eq(Mux(ports.pulse.payload.last, 0, self.next_inner))
            m.next = "pulse"
            with m.If(ports.pulse.payload.last & ports.pulse.payload.side):
                m.next = "row"

    def _read(self) -> None:
        """For every line sensed all lines driven."""
        m, at, ports = self.m, self.at, self.ports
        with m.State("driven"):
            m.d.comb += [self.memories.read.eq(1), at.side.eq(self.backward), at.number.eq(at.inner)]
            m.next = "product"
        with m.State("product"):
            m.d.comb += self.lane.add_product.eq(1)
            m.d.sync += [
                at.inner.eq(self.next_inner),
                at.weight.eq(at.weight + Mux(self.backward, self.settings.column_beats, 1)),
            ]
            m.next = "driven"
            with m.If(self.inner_ends):
                m.next = "sensed"
        with m.State("sensed"):
            m.d.comb += [self.memories.read.eq(1), at.side.eq(~self.backward), at.number.eq(at.outer)]
            m.next = "noise"
        with m.State("noise"):
            m.d.comb += [
                self.lane.keep_drawn.eq(1),
                at.side.eq(~self.backward),
                at.number.eq(at.outer),
                self.memories.draw.eq(self.lane.gain.any()),
            ]
            m.next = "noisy"
        with m.State("noisy"):
            m.d.comb += self.lane.add_noise.eq(1)
            m.next = "sense"
        with m.State("sense"):
            m.d.comb += ports.sense.valid.eq(1)
            with m.If(ports.sense.ready):
                m.d.comb += self.lane.clear.eq(1)
                m.d.sync += [at.outer.eq(self.next_outer), at.inner.eq(0)]
                with m.If(self.backward):
                    m.d.sync += at.weight.eq(self.settings.weight_base + self.next_outer)
                m.next = "driven"
                with m.If(self.outer_ends):
                    m.next = "idle"

    def _find_device(self) -> None:
        """Rows that fire, and columns that fire with them."""
        m, at, ports = self.m, self.at, self.ports
        with m.State("row"):
            m.d.comb += [self.memories.read.eq(1), at.side.eq(1), at.number.eq(at.outer)]
            m.next = "row read"
        with m.State("row read"):
            m.d.sync += [self.row.value.eq(self.memories.line.value), self.row.negative.eq(self.memories.line.negative)]
            m.next = "column"
            with m.If(~self.memories.line.value[: len(self.row.value)].any()):
                m.d.sync += at.weight.eq(at.weight + self.settings.column_beats)
                self._next_row()
        with m.State("column"):
            m.d.comb += [self.memories.read.eq(1), at.number.eq(at.inner)]
            m.d.sync += at.turn.eq(CYCLE_TURN)
            m.next = "column read"
        with m.State("column read"):
            m.d.comb += self.lane.note_direction.eq(1)
            m.d.sync += ports.report.payload.coincidences.eq(ports.report.payload.coincidences + ones(self.both))
            m.next = "row word"
            with m.If(~self.both.any()):
                self._next_column()
        with m.State("report"):
            m.d.comb += ports.report.valid.eq(1)
            with m.If(ports.report.ready):
                m.next = "idle"

    def _move_device(self) -> None:
        """The draws of a device, turn by turn."""
        m, at = self.m, self.at
        with m.State("row word"):
            m.d.comb += [self.memories.read.eq(1), at.side.eq(1), at.number.eq(at.outer)]
            m.next = "column word"
        with m.State("column word"):
            m.d.comb += [self.lane.keep_source.eq(1), self.memories.read.eq(1), at.number.eq(at.inner)]
            m.next = "mix"
        with m.State("mix"):
            m.d.comb += self.lane.keep_mixed.eq(1)
            m.next = "draw"
        with m.State("draw"):
            m.d.comb += self.lane.keep_result.eq(1)
            m.next = "apply"
        with m.State("apply"):
            m.d.comb += self.lane.apply.eq(1)
            m.d.sync += at.turn.eq(at.turn + 1)
            m.next = "row word"
            with m.If(at.turn == RATIO_TURN):
                m.next = "change"
            with m.If(at.turn == BOUND_TURN):
                m.d.comb += self.memories.move.eq(1)
                self._next_column()
        with m.State("change"):
            m.d.comb += self.lane.keep_change.eq(1)
            m.next = "row word"
