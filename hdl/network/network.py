"""`network`: trains a network of resistive arrays by itself: image and label in, logits out.

It walks a table of layer descriptors (hdl/network/descriptor.py), so that one design runs any network that fits: all
arrays take turns on one tile and one emulated crossbar. Model: emulator/network/network.py.

    forward    arrays in order: patches (`patch_source`) -> tile -> activation and pooling (`forward_sink`)
    error      softmax and cross-entropy of the logits
    backward   arrays in reverse: mantissas (`error_stage`); backward reads (`error_source` -> tile -> `backward_sink`),
               but not of the first array; then the update (`patch_source`, `error_source` -> tile)

- ``job``: an image, to train on with its label, or to infer (its label then only counts errors); ``pixel``: its pixels;
- ``result``: the logits of every image, before its update;
- ``phase``: a word as each phase of a layer begins: its number, and what the tile does for all positions;
- ``bus``, ``reply``: registers and memories (hdl/network/host.py), between images.

With ``probes``, every stream of the tile but its settings is copied to a stream ``probe_NAME``, for traces; a copy that is not
taken holds up what is copied.

A job is taken when the one before is done. Reset ends the image under way and keeps the memories; what it has changed of
them by then stays changed.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from emulator.fixed import SOFTMAX_FRACTION_BITS
from hdl.array.crossbar import Crossbar
from hdl.block import Block
from hdl.fixed import ones
from hdl.memory import exclusive_memory
from hdl.network.compact_counters import CompactCounters
from hdl.network.descriptor import PART_BITS
from hdl.network.memory_ports import attach, reading, writing
from hdl.network.network_parameters import NetworkParameters
from hdl.network.network_parts import Going, parts_of
from hdl.network.tile import Operation, Tile
from hdl.periphery.block_exponent import SHIFT
from hdl.periphery.pooling import PLACE
from hdl.pipeline import fork, registered, relay
from hdl.shapes import index_for, record, stream_of, width_for

#: Streams of the tile that probes copy.
PROBED = ("x", "delta", "y", "z", "drive", "sense", "pulse")


class Network(Block[NetworkParameters]):
    """``identity``: a number by which a host recognises the design and the config that it was made for."""

    takes_config = True

    def __init__(self, parameters: NetworkParameters, identity: int = 0) -> None:
        p = parameters
        tile, crossbar = Tile(p.tile), Crossbar(p.crossbar)
        #: A descriptor as one word.
        self.descriptor_layout = p.descriptor_layout
        self._parts = parts_of(p, identity, tile, crossbar, self.descriptor_parts)
        super().__init__(
            p,
            {
                "bus": In(stream_of(self._parts.host.bus.payload.shape())),
                "reply": Out(stream_of(self._parts.host.reply.payload.shape())),
                "job": In(stream_of(record(train=1, label=width_for(p.softmax.classes - 1)))),
                "pixel": In(stream_of(record(value=8))),
                "result": Out(stream_of(self._parts.forward_sink.logits.payload.shape())),
                "phase": Out(stream_of(record(layer=index_for(p.layers), operation=Operation))),
                **{
                    f"probe_{name}": Out(stream_of(getattr(tile, name).payload.shape()))
                    for name in (PROBED if p.probes else ())
                },
            },
        )

    @property
    def descriptor_parts(self) -> int:
        """Words of the bus that a descriptor takes."""
        return -(-self.descriptor_layout.size // PART_BITS)

    @property
    def latency(self) -> int:
        """None is promised."""
        return 0

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, part in vars(self._parts).items():
            m.submodules[name] = part
        going = self._going()
        fetch = reading(len(self._parts.host.descriptors_read.address), unsigned(PART_BITS)).create()
        self._connect_array(m, going)
        self._connect_layers(m, going)
        self._connect_host(m, going, fetch)
        self._connect_memories(m, going)
        self._give_logits(m, going)
        self._count(m, going)
        with m.FSM() as sequence:
            self._take_job(m, going)
            self._fetch_descriptor(m, going, fetch)
            self._run_phases(m, going)
        with m.If(~sequence.ongoing("idle")):
            m.d.comb += self._parts.tally.cycle.eq(1)
        return m

    def _going(self) -> Going:
        layout = self.descriptor_layout
        positions = layout["layer"].shape["last_position"].shape.width + 1
        return Going(
            train=Signal(),
            label=Signal.like(self.job.payload.label),
            number=Signal(index_for(self.parameters.layers)),
            layer=Signal(layout),
            returning=Signal(),
            operation=Signal(Operation),
            commands=Signal(positions),
            reads=Signal(positions),
            updates=Signal(positions),
            stored=Signal(),
            fraction=Signal(SHIFT),
            softened=Signal(),
        )

    # --- connections --------------------------------------------------------------------------------------------------

    def _connect_array(self, m: Module, going: Going) -> None:
        """Tile and crossbar, and the commands of a phase."""
        tile, crossbar = self._parts.tile, self._parts.crossbar
        self._pass(m, "drive", tile.drive, crossbar.drive)
        self._pass(m, "sense", crossbar.sense, tile.sense)
        # A report that waits decides late whether the last pulse is offered, and the crossbar late what to take.
        self._pass(m, "pulse", tile.pulse, crossbar.pulse, register=True)
        m.d.comb += [
            tile.settings.payload.eq(going.layer.tile),
            crossbar.settings.payload.eq(going.layer.crossbar),
            tile.command.valid.eq(going.commands != 0),
            tile.command.payload.operation.eq(going.operation),
            tile.command.payload.exponent.eq(self._parts.error_stage.exponent),
            tile.report.ready.eq(1),
            crossbar.report.ready.eq(1),
        ]
        with m.If(tile.command.valid & tile.command.ready):
            m.d.sync += going.commands.eq(going.commands - 1)
        with m.If(tile.report.valid):
            m.d.sync += going.reads.eq(going.reads + 1)
        with m.If(crossbar.report.valid):
            m.d.sync += going.updates.eq(going.updates + 1)

    def _pass(self, m: Module, name: str, source: Any, target: Any, *, register: bool = False) -> None:
        """A stream of the tile, and its probe if there is one. Ways of ``ready`` on either side do not add up, nor those of
        words with a ``register``, unless registers are to be saved."""
        relayed = source if self.parameters.compact else relay(m, source, name)
        if register and not self.parameters.compact:
            relayed = registered(m, relayed, f"registered_{name}")
        probe = [wiring.flipped(getattr(self, f"probe_{name}"))] if self.parameters.probes else []
        fork(m, relayed, [target, *probe], 1)
        for output in (target, *probe):
            _assign(m, relayed.payload, output.payload)

    def _connect_layers(self, m: Module, going: Going) -> None:
        """What surrounds the tile."""
        parts = self._parts
        for part in (
            parts.patch_source,
            parts.error_source,
            parts.forward_sink,
            parts.backward_sink,
            parts.error_stage,
        ):
            m.d.comb += part.layer.eq(going.layer.layer)
        self._pass(m, "x", parts.patch_source.o, parts.tile.x)
        self._pass(m, "delta", parts.error_source.o, parts.tile.delta)
        self._pass(m, "y", parts.tile.y, parts.forward_sink.i)
        self._pass(m, "z", parts.tile.z, parts.backward_sink.i)
        _connect(m, wiring.flipped(self.pixel), parts.image_loader.i)
        m.d.comb += parts.error_stage.fraction.eq(going.fraction)
        with m.If(parts.forward_sink.done | parts.backward_sink.done):
            m.d.sync += going.stored.eq(1)

    def _connect_host(self, m: Module, going: Going, fetch: wiring.PureInterface) -> None:
        host, counters = self._parts.host, self._parts.counters
        wiring.connect(m, wiring.flipped(self.bus), host.bus)
        wiring.connect(m, host.reply, wiring.flipped(self.reply))
        _connect(m, host.tile_access, self._parts.tile.access)
        _connect(m, self._parts.tile.answer, host.tile_answer)
        _connect(m, host.crossbar_access, self._parts.crossbar.access)
        _connect(m, self._parts.crossbar.answer, host.crossbar_answer)
        wiring.connect(m, host.counters_read, counters.read)
        wiring.connect(m, host.counters_write, counters.write)
        if isinstance(counters, CompactCounters):
            wiring.connect(m, host.descriptors_write, counters.descriptors_write)
            asked = counters.descriptors_read
            m.d.comb += [
                asked.address.eq(Mux(host.busy, host.descriptors_read.address, fetch.address)),
                asked.enable.eq(Mux(host.busy, host.descriptors_read.enable, fetch.enable)),
                *(port.data.eq(asked.data) for port in (fetch, host.descriptors_read)),
            ]
        else:
            m.submodules.descriptors = descriptors = exclusive_memory(
                unsigned(PART_BITS), self.parameters.layers * self.descriptor_parts
            )
            readers = [(~host.busy, fetch), (host.busy, host.descriptors_read)]
            attach(m, descriptors, readers, [(1, host.descriptors_write)])
        m.d.comb += [
            self._parts.tally.error.eq(self._parts.judge.wrong),
            self._parts.image_loader.last_pixel.eq(host.last_pixel),
            self._parts.judge.label.eq(going.label),
        ]

    def _connect_memories(self, m: Module, going: Going) -> None:
        """Volumes of activations with the places of their maxima; errors; sums of errors."""
        p, parts = self.parameters, self._parts
        sums, mantissas = parts.error_stage.sums.data.shape(), parts.error_source.memory.data.shape()
        m.submodules.activations = activations = exclusive_memory(
            parts.patch_source.memory.data.shape(), p.volume_beats
        )
        m.submodules.places = places = exclusive_memory(data.ArrayLayout(PLACE, p.lanes), p.volume_beats)
        m.submodules.errors = errors = exclusive_memory(mantissas, p.error_beats)
        m.submodules.sums = sums_memory = exclusive_memory(sums, p.error_beats)
        softened = self._store_softmax(m, going)
        stage_reads = parts.error_stage.busy
        adding = going.operation == Operation.BACKWARD
        attach(
            m,
            activations,
            [(~stage_reads, parts.patch_source.memory), (stage_reads, parts.error_stage.activations)],
            [
                (parts.image_loader.memory.enable, parts.image_loader.memory),
                (parts.forward_sink.memory.enable, parts.forward_sink.memory),
            ],
        )
        attach(m, places, [(1, parts.error_source.places)], [(1, parts.forward_sink.places)])
        attach(m, errors, [(1, parts.error_source.memory)], [(1, parts.error_stage.memory)])
        attach(
            m,
            sums_memory,
            [(~stage_reads, parts.backward_sink.read), (stage_reads, parts.error_stage.sums)],
            [(adding, parts.backward_sink.write), (~adding, softened)],
        )

    def _store_softmax(self, m: Module, going: Going) -> wiring.PureInterface:
        """The errors of the logits, as sums. Returns what writes them."""
        softmax, stage = self._parts.softmax.o, self._parts.error_stage
        memory = writing(len(stage.sums.address), stage.sums.data.shape()).create()
        address = Signal.like(memory.address)
        m.d.comb += [softmax.ready.eq(1), memory.address.eq(address), memory.enable.eq(softmax.valid)]
        for lane in range(self.parameters.lanes):
            m.d.comb += memory.data[lane].eq(Mux(softmax.payload.mask[lane], softmax.payload.elements[lane], 0))
        with m.If(softmax.valid):
            m.d.sync += [address.eq(Mux(softmax.payload.last, 0, address + 1)), going.softened.eq(softmax.payload.last)]
        return memory

    def _give_logits(self, m: Module, going: Going) -> None:
        """To whoever asked, to the judge, and in training to the softmax."""
        logits, softmax, judge = self._parts.forward_sink.logits, self._parts.softmax, self._parts.judge
        to_softmax, to_judge = stream_of(logits.payload.shape()).create(), stream_of(logits.payload.shape()).create()
        fork(m, logits, [wiring.flipped(self.result), to_softmax, to_judge], 1)
        m.d.comb += [
            self.result.payload.eq(logits.payload),
            softmax.i.valid.eq(to_softmax.valid & going.train),
            to_softmax.ready.eq(softmax.i.ready | ~going.train),
            softmax.i.payload.label.eq(going.label),
            judge.i.valid.eq(to_judge.valid),
            to_judge.ready.eq(judge.i.ready),
        ]
        for target in (softmax.i.payload, judge.i.payload):
            _assign(m, logits.payload, target)

    def _count(self, m: Module, going: Going) -> None:
        """Reports and pulses, to the counters of their kind."""
        counters, report, pulse = self._parts.counters, self._parts.tile.report, self._parts.tile.pulse
        m.d.comb += counters.layer.eq(going.number)
        if isinstance(counters, CompactCounters):
            m.d.comb += counters.operation.eq(going.operation)
        # From registers, for the sake of the clock: an operation has long begun when it reports.
        forward, backward, update = (Signal(name=f"counts_{operation.name.lower()}") for operation in Operation)
        for operation, counts in zip(Operation, (forward, backward, update), strict=True):
            m.d.sync += counts.eq(going.operation == operation)
        for counts, name in ((forward, "forward"), (backward, "backward")):
            with m.If(report.valid & counts):
                m.d.comb += [
                    getattr(counters, f"{name}_reads").eq(report.payload.repeats + 1),
                    getattr(counters, f"{name}_repeats").eq(report.payload.repeats),
                    getattr(counters, f"{name}_saturations").eq(report.payload.saturations),
                ]
        with m.If(report.valid & update):
            m.d.comb += counters.update_cycles.eq(1)
        with m.If(self._parts.crossbar.report.valid):
            m.d.comb += counters.coincidences.eq(self._parts.crossbar.report.payload.coincidences)
        # Pulses are added up a cycle after they have passed, for the sake of the clock.
        count, side = Signal.like(counters.row_pulses), Signal()
        slots = len(pulse.payload.elements[0])
        trains = Cat(
            pulse.payload.elements[lane] & pulse.payload.mask[lane].replicate(slots)
            for lane in range(self.parameters.lanes)
        )
        m.d.sync += [count.eq(Mux(pulse.valid & pulse.ready, ones(trains), 0)), side.eq(pulse.payload.side)]
        with m.If(side):
            m.d.comb += counters.row_pulses.eq(count)
        with m.Else():
            m.d.comb += counters.column_pulses.eq(count)

    # --- sequence -----------------------------------------------------------------------------------------------------

    def _take_job(self, m: Module, going: Going) -> None:
        host, loader = self._parts.host, self._parts.image_loader
        begins = Signal()
        m.d.comb += begins.eq(self.job.valid & self.job.ready)
        m.d.sync += loader.start.eq(begins)
        with m.State("idle"):
            m.d.comb += [host.allowed.eq(1), self.job.ready.eq(~self.bus.valid & ~host.busy)]
            m.d.sync += [
                going.train.eq(self.job.payload.train),
                going.label.eq(self.job.payload.label),
                going.number.eq(0),
                going.returning.eq(0),
                going.softened.eq(0),
            ]
            with m.If(begins):
                m.next = "image"
        with m.State("image"), m.If(loader.done):
            m.next = "fetch"

    def _fetch_descriptor(self, m: Module, going: Going, fetch: wiring.PureInterface) -> None:
        """All parts of a layer's descriptor, then its settings to tile and crossbar."""
        parts = self.descriptor_parts
        part, arriving = Signal(range(parts + 1)), Signal()
        address = Signal.like(fetch.address)
        word = Signal(parts * PART_BITS)
        mask, fixed = self.parameters.fixed_mask, self.parameters.fixed_bits
        built_in = Cat(Const(fixed >> place & 1, 1) if mask >> place & 1 else word[place] for place in range(len(word)))
        m.d.comb += [fetch.address.eq(address), going.layer.as_value().eq(built_in)]
        with m.State("fetch"):
            m.d.sync += [address.eq(going.number * parts), part.eq(0), arriving.eq(0)]
            m.next = "parts"
        with m.State("parts"):
            m.d.comb += fetch.enable.eq(1)
            m.d.sync += [address.eq(address + 1), arriving.eq(1)]
            with m.If(arriving):
                m.d.sync += part.eq(part + 1)
                if mask:
                    m.d.sync += word.word_select(part, PART_BITS).eq(fetch.data)
                else:
                    m.d.sync += word.eq(Cat(word[PART_BITS:], fetch.data))
                with m.If(part == parts - 1):
                    m.next = "settings"
        tile, crossbar = self._parts.tile.settings, self._parts.crossbar.settings
        given = Signal(2)
        with m.State("settings"):
            m.d.comb += [tile.valid.eq(~given[0]), crossbar.valid.eq(~given[1])]
            m.d.sync += given.eq(given | Cat(tile.ready, crossbar.ready))
            with m.If((given | Cat(tile.ready, crossbar.ready)).all()):
                m.d.sync += given.eq(0)
                m.next = "forward"
                with m.If(going.returning):
                    m.next = "errors"

    def _run_phases(self, m: Module, going: Going) -> None:
        parts, layer = self._parts, going.layer.layer
        self._begin(m, going, "forward", Operation.FORWARD, [parts.patch_source.start, parts.forward_sink.start])
        with m.State("errors"):
            m.d.comb += parts.error_stage.start.eq(1)
            m.next = "mantissas"
        deep = self.parameters.layers > 1  # else nothing is ever read backward, and synthesis takes away what would
        with m.State("mantissas"), m.If(parts.error_stage.done):
            m.next = "update"
            if deep:
                with m.If(~layer.is_first):
                    m.next = "backward"
        if deep:
            self._begin(m, going, "backward", Operation.BACKWARD, [parts.error_source.start, parts.backward_sink.start])
        self._begin(m, going, "update", Operation.UPDATE, [parts.patch_source.start, parts.error_source.start])
        updating = going.operation == Operation.UPDATE
        with m.State("run"):
            complete = Mux(updating, going.updates > layer.last_position, going.stored)
            with m.If((going.reads > layer.last_position) & complete):
                m.next = "count"
        with m.State("count"):
            m.d.comb += parts.counters.flush.eq(1)
            m.next = "counting"
        with m.State("counting"), m.If(parts.counters.done):
            self._next_phase(m, going)
        with m.State("soften"), m.If(going.softened):
            m.d.sync += [going.fraction.eq(SOFTMAX_FRACTION_BITS), going.returning.eq(1)]
            m.next = "errors"
        with m.State("done"):
            m.d.comb += parts.tally.image.eq(1)
            m.next = "idle"
            if isinstance(parts.counters, CompactCounters):
                m.d.comb += parts.counters.finish.eq(1)
                m.next = "finish"
        if isinstance(parts.counters, CompactCounters):
            with m.State("finish"), m.If(parts.counters.done):
                m.next = "idle"

    def _begin(self, m: Module, going: Going, name: str, operation: Operation, starts: list[Signal]) -> None:
        """A phase: tell what begins, then start what takes part."""
        with m.State(name):
            m.d.comb += [
                self.phase.valid.eq(1),
                self.phase.payload.layer.eq(going.number),
                self.phase.payload.operation.eq(operation),
            ]
            m.d.sync += [
                going.operation.eq(operation),
                going.commands.eq(0),
                going.reads.eq(0),
                going.updates.eq(0),
                going.stored.eq(0),
            ]
            with m.If(self.phase.ready):
                m.d.comb += [start.eq(1) for start in starts]
                m.d.sync += going.commands.eq(going.layer.layer.last_position + 1)
                m.next = "run"

    def _next_phase(self, m: Module, going: Going) -> None:
        layer = going.layer.layer
        with m.Switch(going.operation):
            with m.Case(Operation.FORWARD):
                m.d.sync += going.number.eq(going.number + 1)
                m.next = "fetch"
                with m.If(layer.is_last):
                    m.d.sync += going.number.eq(going.number)
                    m.next = "done"
                    with m.If(going.train):
                        m.next = "soften"
            with m.Case(Operation.BACKWARD):
                exponent = Mux(layer.exponent_counts, self._parts.error_stage.exponent, 0)
                m.d.sync += going.fraction.eq(layer.sum_fraction + exponent)
                m.next = "update"
            with m.Case(Operation.UPDATE):
                m.d.sync += going.number.eq(going.number - 1)
                m.next = "fetch"
                with m.If(layer.is_first):
                    m.next = "done"


def _connect(m: Module, source: Any, target: Any) -> None:
    """A stream to one whose payload has the same fields, of which some may be narrower: values fit."""
    m.d.comb += [target.valid.eq(source.valid), source.ready.eq(target.ready)]
    _assign(m, source.payload, target.payload)


def _assign(m: Module, source: data.View, target: data.View) -> None:
    for name, field in source.shape():
        if isinstance(field.shape, data.ArrayLayout):
            m.d.comb += [wide.eq(word) for wide, word in zip(target[name], source[name], strict=True)]
        else:
            m.d.comb += target[name].eq(source[name])
