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

from dataclasses import dataclass

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from emulator.fixed import CYCLE_FRACTION_BITS, DRAW_FRACTION_BITS, RATIO_FRACTION_BITS, STEP_EXTRA_BITS, WORD_BITS
from hdl.array.converter import sense_payload
from hdl.array.crossbar_access import Space, access_payload, data_bits
from hdl.array.crossbar_parameters import DRAWS, CrossbarParameters, drawn
from hdl.array.device import HIGH, LOW, RATIO, STEP
from hdl.array.intake import Mode, drive_payload, pulse_payload
from hdl.array.noise import GAUSSIAN_SHAPE, gaussian, mix
from hdl.fixed import ones, round_half_up, round_shift, sum_or_difference
from hdl.memory import exclusive_memory
from hdl.periphery.lfsr import next_state
from hdl.shapes import record, signed_for, stream_of, width_for
from hdl.single_port import SinglePortMemory

#: The draws of a device, in their turns.
CYCLE_TURN, STEP_TURN, RATIO_TURN, BOUND_TURN = range(4)
#: Bits of the number of a draw.
DRAW_BITS = width_for(DRAWS - 1)
#: Cycles of a read per line driven, and per line sensed beside those; of an update per row, per column of a row that fires,
#: and beside those per device that moves: its draws, and the change.
READ_CYCLES, SENSE_CYCLES, ROW_CYCLES, COLUMN_CYCLES, MOVE_CYCLES = 2, 4, 2, 2, 4 * 5 + 1


def read_cycles(sensed: int, driven: int) -> int:
    """Between the last beat of ``drive`` and the last of ``sense``, without stalls."""
    return sensed * (READ_CYCLES * driven + SENSE_CYCLES)


def update_cycles(rows: int, columns: int, firing_rows: int, coincidences: int) -> int:
    """Between the last beat of ``pulse`` and its report; ``coincidences``: devices that move."""
    return ROW_CYCLES * rows + COLUMN_CYCLES * firing_rows * columns + MOVE_CYCLES * coincidences + 2


@dataclass(frozen=True)
class _At:
    """Where the work is."""

    mode: Signal
    outer: Signal  # of the lines sensed, or of the rows
    inner: Signal  # of the lines driven, or of the columns; of the beats of a side that is taken
    weight: Signal  # address
    turn: Signal
    # The line of the other memories: its side (1: rows) and number.
    side: Signal
    number: Signal


class SerialCrossbar(wiring.Component):
    def __init__(self, parameters: CrossbarParameters) -> None:
        p = self.parameters = parameters
        super().__init__(
            {
                "settings": In(stream_of(p.settings)),
                "drive": In(stream_of(drive_payload(p))),
                "sense": Out(stream_of(sense_payload(p))),
                "pulse": In(stream_of(pulse_payload(p))),
                "report": Out(stream_of(record(coincidences=width_for(p.most_coincidences)))),
                "access": In(stream_of(access_payload(p))),
                "answer": Out(stream_of(record(data=data_bits(p)))),
            }
        )

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
        at = _At(
            mode=Signal(Mode),
            outer=Signal(index),
            inner=Signal(index),
            weight=Signal(width_for(p.weight_words - 1)),
            turn=Signal(2),
            side=Signal(),
            number=Signal(index),
        )
        memories = _Memories(m, p, at, settings, self.access.payload)
        lane = _Arithmetic(m, p, at, settings, memories)
        _Control(m, self, at, settings, memories, lane)
        return m


class _Control:
    """The order of work."""

    def __init__(
        self,
        m: Module,
        ports: SerialCrossbar,
        at: _At,
        settings: data.View,
        memories: _Memories,
        lane: _Arithmetic,
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
        """A vector, into the memory of lines; of an update cycle every line draws."""
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
                self.memories.draw.eq(self.settings.cycle_noise),
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


class _Memories:
    """Weights; lines as they were taken, rows in the upper half; noise states and device words, rows behind all columns."""

    def __init__(self, m: Module, p: CrossbarParameters, at: _At, settings: data.View, request: data.View) -> None:
        weight = signed(p.weight_bits)
        self.given = Signal(record(value=max(p.code_bits, p.desired_bl), negative=1))
        self.moved = Signal(weight)
        # What is done in this cycle: words are read, a line is taken, a generator draws, a weight moves; or an access.
        self.read, self.take, self.draw, self.move = Signal(), Signal(), Signal(), Signal()
        self.accessing, self.store = Signal(), Signal()
        self.space = Signal(Space)  # of the access whose answer is given
        lines, bits = p.column_beats + p.row_beats, width_for(max(p.longest_rows, p.longest_columns) - 1)
        space = request.space
        asks_devices = (space == Space.ROW_DEVICE) | (space == Space.COLUMN_DEVICE)
        asked = Mux(asks_devices, request.address[DRAW_BITS:], request.address)
        of_rows = Mux(self.accessing, (space == Space.ROW_NOISE) | (space == Space.ROW_DEVICE), at.side)
        first = Mux(self.accessing, 0, Mux(at.side, settings.row_base, settings.column_base))
        line = Signal(range(lines))
        #: Which of the line's device words is read.
        self.draw_number = Signal(DRAW_BITS)
        m.d.comb += line.eq(first + Mux(self.accessing, asked, at.number) + Mux(of_rows, p.column_beats, 0))

        def memory(name: str, shape, depth: int, address: Value, word: Value, write: Value):  # type: ignore[no-untyped-def]
            m.submodules[name] = block = exclusive_memory(shape, depth)
            writing, reading = block.write_port(), block.read_port()
            m.d.comb += [
                reading.addr.eq(address),
                reading.en.eq(self.read),
                writing.addr.eq(address),
                writing.data.eq(word),
                writing.en.eq(write),
            ]
            return reading.data

        def stored(*spaces: Space) -> Value:
            return self.store & Cat(space == each for each in spaces).any()

        m.submodules.weights = weights = SinglePortMemory(weight, p.weight_words, spram=p.weights_in_spram)
        m.d.comb += [
            weights.address.eq(Mux(self.accessing, request.address, at.weight)),
            weights.read.eq(self.read),
            weights.write.eq(self.move | stored(Space.WEIGHT)),
            weights.data.eq(Mux(self.accessing, request.data[: p.weight_bits].as_signed(), self.moved)),
        ]
        self.weight = weights.q
        self.line = memory(
            "lines", self.given.shape(), 2 << bits, Cat(at.number[:bits], at.side), self.given, self.take
        )
        following = Signal(p.generator_width)
        self.state = memory(
            "states",
            p.generator_width,
            lines,
            line,
            Mux(self.accessing, request.data, following),
            self.draw | stored(Space.ROW_NOISE, Space.COLUMN_NOISE),
        )
        self.device = memory(
            "devices",
            WORD_BITS,
            lines * DRAWS,
            Cat(Mux(self.accessing, request.address[:DRAW_BITS], self.draw_number), line),
            request.data,
            stored(Space.ROW_DEVICE, Space.COLUMN_DEVICE),
        )
        m.d.comb += following.eq(next_state(self.state, p.generator_width))
        #: What the line's generator draws; what it has drawn before.
        self.fresh, self.drawn = following[:WORD_BITS], self.state[:WORD_BITS]
        self.answer = Signal(data_bits(p))
        with m.Switch(self.space):
            with m.Case(Space.WEIGHT):
                m.d.comb += self.answer.eq(self.weight.as_unsigned())
            with m.Case(Space.ROW_NOISE, Space.COLUMN_NOISE):
                m.d.comb += self.answer.eq(self.state)
            with m.Case(Space.ROW_DEVICE, Space.COLUMN_DEVICE):
                m.d.comb += self.answer.eq(self.device)
            with m.Default():
                m.d.comb += self.answer.eq(1)  # a beat has one line, so none is masked


class _Arithmetic:
    """The sum of a line that is sensed; the draws and the move of a device."""

    def __init__(self, m: Module, p: CrossbarParameters, at: _At, settings: data.View, memories: _Memories) -> None:
        # What is done in this cycle.
        self.add_product, self.add_noise, self.clear, self.keep_drawn = Signal(), Signal(), Signal(), Signal()
        self.keep_source, self.keep_mixed, self.keep_result = Signal(), Signal(), Signal()
        self.apply, self.keep_change, self.note_direction = Signal(), Signal(), Signal()
        self.count, self.up = Signal(width_for(p.desired_bl)), Signal()
        updating, backward = at.mode == Mode.UPDATE, at.mode == Mode.BACKWARD
        turn, rising = at.turn, Signal()
        upwards, coincidences = Signal(), Signal.like(self.count)
        with m.If(self.note_direction):
            m.d.sync += [upwards.eq(self.up), coincidences.eq(self.count)]

        source, held, word = Signal(WORD_BITS), Signal(WORD_BITS), Signal(WORD_BITS)
        m.d.comb += [
            source.eq(Mux(turn == CYCLE_TURN, memories.drawn, memories.device)),
            memories.draw_number.eq(Array((STEP, STEP, RATIO, Mux(rising, HIGH, LOW)))[turn]),
        ]
        with m.If(self.keep_source):
            m.d.sync += held.eq(source)
        with m.If(self.keep_drawn):
            m.d.sync += word.eq(memories.fresh)
        with m.If(self.keep_mixed):
            m.d.sync += word.eq(mix(m, held ^ source))

        gains = Array(settings.cycle_gain[max(c, 1)] for c in range(p.desired_bl + 1))
        turn_gains = Array((gains[coincidences], settings.step_gain, settings.ratio_gain, settings.bound_gain))
        read_gain = Mux(backward, settings.backward_noise_gain, settings.forward_noise_gain)
        means = Array((Cat(Const(0, CYCLE_FRACTION_BITS), coincidences), settings.step_mean, 0, settings.bound_mean))
        largest = max(
            p.largest_factor, p.largest_step, p.largest_ratio, drawn(p.bound_mean, p.bound_gain), p.weight_limit
        )
        self.gain = Signal(width_for(max(p.noise_gain, p.cycle_gain, p.step_gain, p.ratio_gain, p.bound_gain)))
        xi = Signal(GAUSSIAN_SHAPE)
        noise = Signal(signed(GAUSSIAN_SHAPE.width + len(self.gain)))
        result = Signal(signed_for(largest))
        m.d.comb += [
            self.gain.eq(Mux(updating, turn_gains[turn], read_gain)),
            xi.eq(gaussian(m, word)),
            noise.eq(xi * self.gain),
        ]
        with m.If(self.keep_result):
            m.d.sync += result.eq(round_shift(noise, DRAW_FRACTION_BITS, Cat(means[turn], Const(0, 1))))
        self._sense(m, p, settings, memories, backward, noise)
        self._move(m, p, memories, turn, result, rising, upwards)

    def _sense(
        self, m: Module, p: CrossbarParameters, settings: data.View, memories: _Memories, backward: Value, noise: Value
    ) -> None:
        """The sum and, once its noise is added, the ADC's code."""
        largest = p.largest_sum + p.largest_noise
        total = Signal(signed_for(largest))
        product = Signal(signed(p.weight_bits + p.code_bits))
        m.d.comb += product.eq(memories.weight * memories.line.value[: p.code_bits].as_signed())
        with m.If(self.clear):
            m.d.sync += total.eq(0)
        with m.Elif(self.add_product | self.add_noise):
            m.d.sync += total.eq(total + Mux(self.add_noise, noise, product))
        code = Signal(signed_for((largest >> p.adc_shift) + 1))
        limit = Mux(backward, settings.backward_limit, settings.forward_limit)
        above, below = code >= limit, code <= -limit
        m.d.comb += code.eq(round_shift(total, p.adc_shift))
        self.code = Mux(above, limit, Mux(below, -limit, code))
        self.saturated = above | below

    def _move(
        self,
        m: Module,
        p: CrossbarParameters,
        memories: _Memories,
        turn: Value,
        result: Signal,
        rising: Signal,
        upwards: Value,
    ) -> None:
        """A draw takes effect: factor, step, directed step, change, moved weight."""
        shift = CYCLE_FRACTION_BITS + STEP_EXTRA_BITS
        factor = Signal(signed_for(p.largest_factor))
        step = Signal(width_for(max(p.largest_step, p.largest_directed_step)))
        change = Signal(signed_for((p.largest_directed_step * p.largest_factor >> shift) + 1))
        ratio = Mux(upwards, result, -result)[: signed_for(p.largest_ratio).width].as_signed()
        times = Signal(signed(max(signed_for(p.largest_factor).width, signed_for(p.largest_ratio).width)))
        product = Signal(signed(len(times) + len(step) + 1))
        directed = Signal(signed(len(step) + 2))
        m.d.comb += [
            times.eq(Mux(self.keep_change, factor, ratio)),
            product.eq(step * times),
            # A negative sum becomes 0, so only the halves of positive ones matter: they are rounded up.
            directed.eq(round_half_up(product, RATIO_FRACTION_BITS, Cat(step, Const(0, 1)))),
        ]
        with m.If(self.apply):
            with m.Switch(turn):
                with m.Case(CYCLE_TURN):
                    m.d.sync += [factor.eq(result), rising.eq(upwards ^ (result < 0))]
                with m.Case(STEP_TURN):
                    m.d.sync += step.eq(Mux(result < 0, 0, result))
                with m.Case(RATIO_TURN):
                    m.d.sync += step.eq(Mux(directed < 0, 0, directed))
        with m.If(self.keep_change):
            m.d.sync += change.eq(round_shift(product, shift))
        moved = Signal(signed_for(p.weight_limit + (1 << len(change) - 1)))
        limited = Mux(result > p.weight_limit, p.weight_limit, result)
        bound = Cat(Mux(result < 0, 0, limited)[: p.weight_bits - 1], Const(0, 1)).as_signed()
        room = sum_or_difference(bound, moved, rising)
        self.moved = Mux(room < 0, Mux(rising, bound, -bound), moved)
        m.d.comb += moved.eq(sum_or_difference(memories.weight, change, ~upwards))
