"""`crossbar`: the emulated array behind the tile's three streams, for one array or several behind each other.

    forward, backward   z = sat(rs(sum of codes * weights + noise_gain * xi, adc_shift), -limit, limit)
    update              every device with coincidences moves once, then clips (hdl/array/device.py)

Model: emulator/array/crossbar.py, docs/arithmetic.md sections 9 and 13. Streams:

- ``settings``: the numbers of an array (``CrossbarSettings``); they hold until the next;
- ``drive``, ``sense``, ``pulse``: as the tile's (hdl/network/tile.py), lines physical;
- ``report``: of every update cycle, once it is done, its coincidences;
- ``access``, ``answer``: the contents of the memories (``Space``); a read gives an answer.

Of what waits when nothing is under way, settings go first, then accesses, pulses, drives; only a vector that comes in the
same cycle as settings or an access may begin before them. A read waits until earlier updates are done; the pulses of an
update are taken while the one before is worked on.

Inside, ``devices`` rows are worked on at once, a block after the other, each with one column per cycle (reads) or two
cycles (updates). Reset ends what is under way; memories keep their contents.

    drive, pulse -> intake -> list of columns, memory of rows -> sequencer -> device lanes -> sums -> converter -> sense
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hdl.array.adder_tree import adder_tree, levels
from hdl.array.converter import LATENCY, Converter, sense_payload
from hdl.array.crossbar_access import CrossbarAccess, Space, access_payload, answer_bits
from hdl.array.crossbar_parameters import DEVICE_BITS, CrossbarParameters, CrossbarSettings
from hdl.array.device import BOUND_DELAY, MOVE_LATENCY, WEIGHT_DELAY, DeviceLane, line_layout, sum_shape
from hdl.array.intake import BANKS, Intake, column_bits, column_number, drive_payload, entry_layout, pulse_payload
from hdl.array.noise_generators import NoiseGenerators
from hdl.array.sequencer import COLUMN_DELAY, PRODUCT_DELAY, WRITE_DELAY, Sequencer, sum_delay
from hdl.block import Block
from hdl.deep_memory import DeepMemory
from hdl.memory import IN_BLOCK, exclusive_memory
from hdl.serial.crossbar import SerialCrossbar, update_cycles
from hdl.shapes import record, stream_of, width_for

#: Cycles from the address of a list entry to that of its weight in reads, and to those of its device words.
ADDRESS_DELAY = 3
#: Cycles from a beat to the address of its first entry.
LISTED = 3


class Crossbar(Block[CrossbarParameters]):
    def __init__(self, parameters: CrossbarParameters) -> None:
        p = parameters
        super().__init__(
            p,
            {
                "settings": In(stream_of(p.settings)),
                "drive": In(stream_of(drive_payload(p))),
                "sense": Out(stream_of(sense_payload(p))),
                "pulse": In(stream_of(pulse_payload(p))),
                "report": Out(stream_of(record(coincidences=width_for(p.most_coincidences)))),
                "access": In(stream_of(access_payload(p))),
                "answer": Out(stream_of(record(data=answer_bits(p)))),
            },
        )

    @property
    def latency(self) -> int:
        """Of a forward read of one block whose last beat has one column: it is taken apart, listed, run, handed out and
        converted. Serial: of an update in which all devices of the largest array move."""
        p = self.parameters
        if p.serial:
            return update_cycles(p.longest_rows, p.longest_columns, p.longest_rows, p.longest_rows * p.longest_columns)
        return LISTED + PRODUCT_DELAY + 2 + LATENCY

    def forward_cycles(self, settings: CrossbarSettings, columns: int, taking: int) -> int:
        """Between the first beat of ``drive`` and the last of ``sense``, without stalls. ``taking``: a cycle per column, and
        one for every beat without any."""
        further = settings.row_blocks - 1
        return taking + settings.row_beats + self.latency - 2 + further * (columns + PRODUCT_DELAY + 2)

    def backward_cycles(self, settings: CrossbarSettings, columns: int) -> int:
        """The same backward. Sums over several blocks are converted when all are there."""
        blocks = settings.row_blocks
        block = columns + sum_delay(self.parameters)
        late = settings.column_beats - 1 if blocks > 1 else 0
        return 2 * settings.row_beats + blocks * block + 3 * (blocks - 1) + LATENCY + 4 + late

    def update_cycles(self, settings: CrossbarSettings, firing_columns: int, firing_blocks: int) -> int:
        """At most, between the last beat of ``pulse`` and its report; a block that fires may take a cycle less."""
        if not firing_columns:
            return LISTED + 1
        block = 2 * firing_columns + WRITE_DELAY
        return LISTED + 2 + settings.row_beats + 5 * settings.row_blocks + block * firing_blocks

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        if p.serial:
            m.submodules.serial = serial = SerialCrossbar(p, dict(self.signature.members))
            for name, member in self.signature.members.items():
                outer, inner = wiring.flipped(getattr(self, name)), getattr(serial, name)
                wiring.connect(m, *((outer, inner) if member.flow is In else (inner, outer)))
            return m
        settings = Signal(p.settings)
        m.submodules.intake = intake = Intake(p)
        m.submodules.sequencer = sequencer = Sequencer(p)
        m.submodules.converter = converter = Converter(p)
        m.submodules.access = access = CrossbarAccess(p)
        m.submodules.row_noise = row_noise = NoiseGenerators(p.lanes, p.row_beats, p.generator_width)
        m.submodules.column_noise = column_noise = NoiseGenerators(p.lanes, p.column_beats, p.generator_width)
        for stream, inner in (
            (self.drive, intake.drive),
            (self.pulse, intake.pulse),
            (self.access, access.access),
        ):
            wiring.connect(m, inner, wiring.flipped(stream))
        wiring.connect(m, wiring.flipped(self.sense), converter.sense)
        wiring.connect(m, wiring.flipped(self.answer), access.answer)

        # What goes before the next vector is known a cycle late, and begins only when no vector can begin any more.
        hold = Signal()
        m.d.sync += hold.eq(self.settings.valid | self.access.valid | access.busy)
        idle = intake.free & intake.quiet & ~access.busy & hold
        m.d.comb += [
            intake.settings.eq(settings),
            sequencer.settings.eq(settings),
            intake.hold.eq(hold),
            self.settings.ready.eq(idle),
            access.allowed.eq(idle & ~self.settings.valid),
        ]
        with m.If(self.settings.valid & self.settings.ready):
            m.d.sync += settings.eq(self.settings.payload)

        m.d.comb += [
            sequencer.mode_taken.eq(intake.mode),
            sequencer.taking.eq(~intake.free),
            sequencer.rows_taken.eq(intake.rows_taken),
            sequencer.count.eq(intake.count),
            sequencer.filled.eq(intake.filled),
            intake.release.eq(sequencer.release),
            sequencer.converting.eq(converter.busy),
            self.report.valid.eq(sequencer.report),
            sequencer.reported.eq(self.report.ready),
        ]
        lanes, column = self._lanes(m, settings, intake, sequencer, access)
        self._sums(m, settings, sequencer, converter, lanes, column)
        self._lines(m, settings, intake, sequencer, converter, access, (row_noise, column_noise))
        return m

    def _lanes(
        self, m: Module, settings: data.View, intake: Intake, sequencer: Sequencer, access: CrossbarAccess
    ) -> tuple[list[DeviceLane], Value]:
        """Device lanes with their weights, and what brings list entries and the rows of a block to them. Returns the lanes, and
        the column of the entry whose address was given two cycles ago."""
        p = self.parameters
        request = access.request
        update = sequencer.updating
        m.submodules.list = entries = exclusive_memory(entry_layout(p), BANKS << width_for(p.columns - 1))
        entry_write, entry_read = entries.write_port(), entries.read_port()
        m.d.comb += [
            entry_write.addr.eq(intake.list_address),
            entry_write.data.eq(intake.entry),
            entry_write.en.eq(intake.list_write),
            entry_read.addr.eq(sequencer.list_address),
            entry_read.en.eq(sequencer.list_read),
        ]
        # From the entry's address on: fetched in cycle 1, registered in 2 and 3; its column's address follows in 3.
        entry, second = Signal(entry_layout(p)), Signal(entry_layout(p))
        m.d.sync += [entry.eq(entry_read.data), second.eq(entry)]
        # Addresses of weights, and what is written, end in registers of each memory.
        weight_addresses: list[Value] = [sequencer.block_base + entry.column]
        for delay in range(1, COLUMN_DELAY + MOVE_LATENCY - ADDRESS_DELAY + 1):
            weight_addresses.append(Signal.like(sequencer.block_base, name=f"weight_address_{delay}"))
            m.d.sync += weight_addresses[delay].eq(weight_addresses[delay - 1])
        read_address, moved_address = (
            Signal.like(sequencer.block_base, name=name) for name in ("read_address", "moved_address")
        )
        read_after = COLUMN_DELAY + WEIGHT_DELAY - 1 - ADDRESS_DELAY
        m.d.comb += read_address.eq(
            Mux(access.accessing, request.address, Mux(update, weight_addresses[read_after], weight_addresses[0]))
        )
        m.d.sync += moved_address.eq(Mux(access.accessing, request.address, weight_addresses[-1]))

        column_words = self._column_device(m, settings, entry.column, access)
        column, column_device = Signal(line_layout(p)), Signal(DEVICE_BITS)
        late_device = [column_device]
        with m.If(~update | ~sequencer.even):
            m.d.sync += [column.eq(second.line), column_device.eq(column_words)]
        for number in range((BOUND_DELAY + 1) // 2):
            late_device.append(Signal.like(column_device, name=f"late_device_{number}"))
            with m.If(sequencer.even):
                m.d.sync += late_device[-1].eq(late_device[-2])

        row_lines, row_devices = self._rows(m, settings, intake, sequencer, access)
        m.d.comb += sequencer.fires.eq(Cat(line.value.any() for line in row_lines).any())
        live = sequencer.live
        lanes = []
        for number in range(p.devices):
            group, place = divmod(number, p.lanes)
            m.submodules[f"lane_{number}"] = lane = DeviceLane(p)
            m.submodules[f"weights_{number}"] = memory = DeepMemory(lane.weight.shape(), p.weight_words)
            stored = Signal(name=f"stored_{number}")
            m.d.sync += stored.eq((request.space == Space.WEIGHT) & (request.lane == number))
            m.d.comb += [
                memory.data.eq(Mux(access.accessing, request.data[: p.weight_bits].as_signed(), lane.moved)),
                memory.write.eq(Mux(access.write, stored, update & live[COLUMN_DELAY + MOVE_LATENCY - 1] & lane.fires)),
                memory.read_address.eq(read_address),
                memory.write_address.eq(moved_address),
                lane.settings.eq(settings),
                lane.update.eq(update),
                lane.clear.eq(sequencer.clear),
                lane.load.eq(sequencer.load[group]),
                lane.row.eq(row_lines[place]),
                lane.row_device.eq(row_devices[place]),
                lane.forward.eq(sequencer.forward),
                lane.column.eq(column),
                lane.column_device.eq(column_device),
                lane.late_device.eq(late_device[-1]),
                lane.weight.eq(memory.q),
                lane.restart.eq(sequencer.restart),
                lane.accumulate.eq(live[PRODUCT_DELAY - 1]),
                lane.shift.eq(sequencer.shift),
            ]
            lanes.append(lane)
        for lane, following in zip(lanes, lanes[p.lanes :], strict=False):
            m.d.comb += lane.shifted.eq(following.total)
        self._answer(m, access, Space.WEIGHT, self._chosen_weight(m, lanes, request.lane))
        self._count(m, sequencer, lanes)
        return lanes, entry.column

    def _chosen_weight(self, m: Module, lanes: list[DeviceLane], number: Value) -> Value:
        """Of lane ``number``, a cycle later: first of every group, since lanes lie all over the device."""
        size = self.parameters.lanes
        bits = exact_log2(size)
        within = []
        for begin in range(0, len(lanes), size):
            within.append(Signal(self.parameters.weight_bits, name=f"weight_of_group_{begin // size}"))
            group = Array(lane.kept.as_unsigned() for lane in lanes[begin : begin + size])
            m.d.sync += within[-1].eq(group[number[:bits]])
        return Array(within)[number[bits:]]

    def _column_device(self, m: Module, settings: data.View, column: Value, access: CrossbarAccess) -> Value:
        """The device words of a column of the array, two cycles later."""
        p = self.parameters
        request = access.request
        m.submodules.column_devices = memory = exclusive_memory(DEVICE_BITS, p.column_beats * p.lanes)
        write, read = memory.write_port(), memory.read_port()
        address = Signal.like(read.addr, name="column_device_address")
        accessed = column_number(p, request.address, request.lane[: width_for(p.lanes - 1)])
        m.d.sync += address.eq(settings.column_base * p.lanes + column)
        m.d.comb += read.addr.eq(address)
        self._store(m, access, write, accessed, request.space == Space.COLUMN_DEVICE)
        return read.data

    def _rows(
        self, m: Module, settings: data.View, intake: Intake, sequencer: Sequencer, access: CrossbarAccess
    ) -> tuple[list[data.View], list[Value]]:
        """What the rows of a beat do, and their device words, two cycles after the sequencer reads them: every word goes to a
        lane of each group."""
        p = self.parameters
        request = access.request
        lines = data.ArrayLayout(line_layout(p), p.lanes)
        m.submodules.rows = memory = exclusive_memory(lines, BANKS << width_for(p.longest_rows - 1))
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.addr.eq(intake.line_address),
            write.data.eq(intake.lines),
            write.en.eq(intake.line_write),
            read.addr.eq(sequencer.line_address),
            read.en.eq(sequencer.row_read),
        ]
        row_lines, devices = [], []
        for lane in range(p.lanes):
            m.submodules[f"row_devices_{lane}"] = words = exclusive_memory(DEVICE_BITS, p.row_beats)
            word_write, word_read = words.write_port(), words.read_port()
            m.d.comb += word_read.addr.eq(settings.row_base + sequencer.row)
            chosen = (request.space == Space.ROW_DEVICE) & (request.lane == lane)
            self._store(m, access, word_write, request.address, chosen)
            row_lines.append(Signal(line_layout(p), name=f"row_line_{lane}", reset_less=True))
            devices.append(Signal(DEVICE_BITS, name=f"row_device_{lane}", reset_less=True))
            m.d.sync += [row_lines[-1].eq(read.data[lane]), devices[-1].eq(word_read.data)]
        return row_lines, devices

    def _count(self, m: Module, sequencer: Sequencer, lanes: list[DeviceLane]) -> None:
        """Coincidences of an update cycle: those of a column, a cycle after it is in the lanes, through a tree."""
        counted = Signal.like(self.report.payload.coincidences)
        in_column = adder_tree(m, [lane.coincidences for lane in lanes], "coincidences")
        with m.If(sequencer.release.any()):
            m.d.sync += counted.eq(0)
        with m.Elif(sequencer.updating & sequencer.live[COLUMN_DELAY + levels(self.parameters.devices)]):
            m.d.sync += counted.eq(counted + in_column)
        m.d.comb += self.report.payload.coincidences.eq(counted)

    def _sums(
        self,
        m: Module,
        settings: data.View,
        sequencer: Sequencer,
        converter: Converter,
        lanes: list[DeviceLane],
        column: Value,
    ) -> None:
        """Sums by beat, on their way to the converter: totals of rows as they are handed out, or sums of columns over
        the blocks. ``column``: of the entry, two cycles after its address."""
        p = self.parameters
        backward = sequencer.backward
        product = adder_tree(m, [lane.product for lane in lanes], "products")
        in_block = Signal(sum_shape(p))
        m.d.sync += in_block.eq(product)
        columns = [column]
        for delay in range(3, sum_delay(p) + 1):
            columns.append(Signal(column_bits(p), name=f"column_{delay}"))
            m.d.sync += columns[-1].eq(columns[-2])
        numbers, places = zip(*(_beat_and_lane(p, column) for column in columns), strict=True)
        writing = sequencer.live[sum_delay(p) - 1]
        resuming = backward & ~sequencer.first_block & ~sequencer.done
        before, total = Signal(sum_shape(p)), Signal(sum_shape(p))
        sums = []
        for lane in range(p.lanes):
            m.submodules[f"sums_{lane}"] = memory = exclusive_memory(sum_shape(p), p.longest_beats)
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                read.addr.eq(Mux(resuming, numbers[-5], converter.number)),
                read.en.eq(resuming | converter.read),
                write.addr.eq(Mux(backward, numbers[-1], sequencer.row)),
                write.data.eq(Mux(backward, total, lanes[lane].total)),
                write.en.eq(Mux(backward, writing & (places[-1] == lane), sequencer.shift)),
                converter.sums[lane].eq(read.data),
            ]
            # Behind each memory, since these lie all over the device.
            sums.append(Signal(sum_shape(p), name=f"sum_{lane}"))
            m.d.sync += sums[-1].eq(read.data)
        m.d.sync += [before.eq(Mux(sequencer.first_block, 0, Array(sums)[places[-3]])), total.eq(in_block + before)]

        # Beats that are complete: with one block, those before the column just summed.
        complete = Signal(width_for(p.longest_beats))
        with m.If(sequencer.start):
            m.d.sync += complete.eq(0)
        with m.Elif(sequencer.done):
            m.d.sync += complete.eq(converter.beats)
        with m.Elif(sequencer.shift):
            m.d.sync += complete.eq(complete + 1)
        with m.Elif(backward & writing & (settings.row_blocks == 1)):
            m.d.sync += complete.eq(numbers[-1])
        m.d.comb += [converter.start.eq(sequencer.start), converter.summed.eq(complete)]
        # There in time: nothing is summed so early.
        m.d.sync += [
            converter.beats.eq(Mux(backward, settings.column_beats, settings.row_beats)),
            converter.noise_gain.eq(Mux(backward, settings.backward_noise_gain, settings.forward_noise_gain)),
            converter.limit.eq(Mux(backward, settings.backward_limit, settings.forward_limit)),
        ]

    def _lines(
        self,
        m: Module,
        settings: data.View,
        intake: Intake,
        sequencer: Sequencer,
        converter: Converter,
        access: CrossbarAccess,
        noises: tuple[NoiseGenerators, NoiseGenerators],
    ) -> None:
        """Noise generators and masks of both sides: for the converter the sensed side's, for the intake those of all."""
        p = self.parameters
        request = access.request
        backward = sequencer.backward
        row_noise, column_noise = noises
        for noise, sensed, base, taking, address, draw, space in (
            (row_noise, ~backward, settings.row_base, intake.read_rows, intake.row_address, intake.draw_rows, Space.ROW_NOISE),
            (column_noise, backward, settings.column_base, intake.read_columns, intake.column_address, intake.draw_columns, Space.COLUMN_NOISE),
        ):  # fmt: skip
            reading = converter.busy & sensed
            m.d.comb += [
                noise.address.eq(
                    Mux(access.accessing, request.address, Mux(reading, base + converter.number, address))
                ),
                noise.read.eq(access.read | taking | (reading & converter.read)),
                noise.draw.eq(draw | (reading & converter.draw).replicate(p.lanes)),
                noise.state.eq(request.data),
                noise.accessing.eq(access.accessing),
            ]
            chosen = Signal.like(noise.store, name=f"{space.name.lower()}_stored")
            m.d.sync += chosen.eq((request.space == space) << request.lane[: width_for(p.lanes - 1)])
            with m.If(access.write):
                m.d.comb += noise.store.eq(chosen)
            self._answer(m, access, space, noise.states[request.lane[: width_for(p.lanes - 1)]])
        m.d.comb += [
            intake.row_words.eq(row_noise.words),
            intake.column_words.eq(column_noise.words),
            converter.words.eq(Mux(backward, column_noise.words.as_value(), row_noise.words.as_value())),
        ]
        masks = []
        for name, depth, base, space in (
            ("row_masks", p.row_beats, settings.row_base, Space.ROW_MASK),
            ("column_masks", p.column_beats, settings.column_base, Space.COLUMN_MASK),
        ):
            m.submodules[name] = memory = exclusive_memory(p.lanes, depth, attrs=IN_BLOCK)
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [read.addr.eq(base + converter.number), read.en.eq(converter.read)]
            self._store(m, access, write, request.address, request.space == space)
            masks.append((memory, read.data))
        m.d.comb += converter.mask.eq(Mux(backward, masks[1][1], masks[0][1]))
        scanned = masks[1][0].read_port()
        m.d.comb += [
            scanned.addr.eq(intake.column_address),
            scanned.en.eq(intake.read_mask),
            intake.column_mask.eq(scanned.data),
        ]

    def _store(
        self, m: Module, access: CrossbarAccess, port: wiring.PureInterface, address: Value, chosen: Value
    ) -> None:
        """What an access writes to a memory that cannot be read, where ``chosen``: a cycle later, from registers."""
        for name, value in (("addr", address), ("data", access.request.data), ("en", access.write & chosen)):
            driven = getattr(port, name)
            late = Signal.like(driven, name=f"stored_{name}")
            m.d.sync += late.eq(value)
            m.d.comb += driven.eq(late)

    def _answer(self, m: Module, access: CrossbarAccess, space: Space, word: Value) -> None:
        """What an access to ``space`` reads, at the output of its memory or a cycle later."""
        register = Signal.like(access.chosen, name=f"answer_{space.name.lower()}")
        m.d.sync += register.eq(word)
        with m.If(access.request.space == space):
            m.d.comb += access.chosen.eq(register)


def _beat_and_lane(parameters: CrossbarParameters, column: Value) -> tuple[Value, Value]:
    """Of a column's number."""
    bits = width_for(parameters.lanes - 1) if parameters.lanes > 1 else 0
    return column[bits:], column[:bits] if bits else Const(0, 1)
