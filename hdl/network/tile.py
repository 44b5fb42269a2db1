"""`tile`: one array's digital periphery: forward, backward and update through the three streams of a crossbar.

    forward   y = W x          backward   z = W^T delta          update   W <- W + eta delta x^T

Model: emulator/network/tile.py, one position (vector, or update cycle) per command. Streams of the digital side:

- ``command``: operation, and for backward and update the shared exponent of the errors;
- ``x``: activations, one beat group per column segment; ``delta``: error mantissas of the rows;
- ``y``: pre-activations at the ADC's LSB; ``z``: sums of the columns, with the fraction bits of docs/arithmetic.md, 9;
- ``report``: of every command, once a read is accepted or all pulses are sent, how often it was repeated and how many
  lines of the accepted read saturated (0 and 0 of an update);
- ``access``, ``answer``: states of the pulse generators.

Streams of the array's side, all lines physical, a replicated side being ``replication`` copies of its segments:

- ``drive``: DAC codes; ``side`` 0 drives the columns (forward), 1 the rows (backward);
- ``sense``: ADC codes of the other side, with a saturation flag per line, taken once the whole vector is driven;
- ``pulse``: of an update cycle, the pulse trains and signs of all columns (``side`` 0), then of all rows (``side`` 1).

Order: ``x`` of an update is taken before ``delta``. A saturated read is driven again, with half the input, until bound
management accepts it. One command at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from emulator.fixed import LARGEST_EXPONENT
from hdl.block import Block
from hdl.fixed import magnitude, ones
from hdl.network.tile_parameters import TileParameters
from hdl.periphery.average import Average
from hdl.periphery.bound_management import BoundManagement, BoundManagementParameters
from hdl.periphery.max_search import MaxSearch, MaxSearchParameters
from hdl.periphery.noise_management import NoiseManagement
from hdl.periphery.pulse_generator import PulseGenerator
from hdl.periphery.replicate import Replicate
from hdl.periphery.scaler import Scaler
from hdl.periphery.update_management import UpdateManagement
from hdl.pipeline import fork
from hdl.shapes import beat, record, signed_for, stream_of, width_for
from hdl.vector_store import VectorStore


class Operation(enum.Enum, shape=unsigned(2)):
    FORWARD = 0
    BACKWARD = 1
    UPDATE = 2


class Tile(Block[TileParameters]):
    def __init__(self, parameters: TileParameters) -> None:
        p, lanes = parameters, parameters.lanes
        result = signed_for(p.scale_back.limit)
        self._pulse_generator = PulseGenerator(p.pulse_generator)
        super().__init__(
            p,
            {
                "command": In(stream_of(record(operation=Operation, exponent=width_for(LARGEST_EXPONENT)))),
                "x": In(stream_of(beat(signed(p.activation_bits), lanes))),
                "delta": In(stream_of(beat(signed(p.error_bits), lanes))),
                "y": Out(stream_of(beat(result, lanes))),
                "z": Out(stream_of(beat(result, lanes))),
                "report": Out(stream_of(record(repeats=width_for(p.halvings), saturations=width_for(p.lines)))),
                "access": In(stream_of(self._pulse_generator.access.payload.shape())),
                "answer": Out(stream_of(self._pulse_generator.answer.payload.shape())),
                "drive": Out(stream_of(beat(signed_for(1 << p.dac_fraction), lanes, side=1))),
                "sense": In(stream_of(beat(signed_for(p.limit), lanes, saturated=lanes))),
                "pulse": Out(stream_of(beat(unsigned(p.desired_bl), lanes, negative=lanes, side=1))),
            },
        )

    @property
    def latency(self) -> int:
        """None is promised: how long a read takes is up to the array, and to bound management."""
        return 0

    def elaborate(self, platform: object) -> Module:
        m = Module()
        blocks = self._blocks()
        for name, block in vars(blocks).items():
            m.submodules[name] = block
        going = _Going(
            operation=Signal(Operation),
            exponent=Signal.like(self.command.payload.exponent),
            halvings=Signal(width_for(self.parameters.halvings)),
            saturations=Signal(range(self.parameters.lines + 1)),
            saturated=Signal(),
            scaling=Signal(blocks.forward_noise.o.payload.shape()),
            gains=Signal(blocks.update_management.o.payload.shape()),
            loading=Signal(),
            rows_loaded=Signal(),
            reading=Signal(),
            delivering=Signal(),
            pulsing=Signal(),
            rows_sent=Signal(),
        )
        self._load(m, blocks, going)
        self._send(m, blocks, going)
        self._sense(m, blocks, going)
        self._pulse(m, blocks)
        m.d.comb += [
            blocks.held.i.payload.eq(self.sense.payload),
            self.report.payload.repeats.eq(going.halvings),
            self.report.payload.saturations.eq(going.saturations),
        ]
        self._control(m, blocks, going)
        return m

    def _blocks(self) -> _Blocks:
        p = self.parameters
        forward_noise, backward_noise = (NoiseManagement(p.noise_management(d)) for d in ("forward", "backward"))
        update_management = UpdateManagement(p.update_management_parameters)
        return _Blocks(
            columns=Replicate(p.replicate("columns")),
            rows=Replicate(p.replicate("rows")),
            max_search=MaxSearch(MaxSearchParameters(lanes=p.lanes, magnitude_bits=p.magnitude_bits)),
            forward_noise=forward_noise,
            backward_noise=backward_noise,
            update_management=update_management,
            converter=Scaler(p.converter),
            probability=Scaler(p.probability),
            pulse_generator=self._pulse_generator,
            held=VectorStore(self.sense.payload.shape(), p.sensed_beats),
            forward_bound=BoundManagement(BoundManagementParameters(limit=p.forward_bound_management)),
            backward_bound=BoundManagement(BoundManagementParameters(limit=p.backward_bound_management)),
            restore=Scaler(p.restore),
            forward_mean=Average(p.average("forward")),
            backward_mean=Average(p.average("backward")),
            scale_back=Scaler(p.scale_back),
        )

    def _load(self, m: Module, blocks: _Blocks, going: _Going) -> None:
        """A vector goes to the memory of its side and to the max search at once."""
        search_x, search_delta = blocks.max_search.i.signature.create(), blocks.max_search.i.signature.create()
        loading_rows = going.rows_loaded
        fork(m, self.x, [blocks.columns.i, search_x], going.loading & ~loading_rows)
        fork(m, self.delta, [blocks.rows.i, search_delta], going.loading & loading_rows)
        m.d.comb += [blocks.columns.i.payload.eq(self.x.payload), blocks.rows.i.payload.eq(self.delta.payload)]
        for source, search, chosen in ((self.x, search_x, ~loading_rows), (self.delta, search_delta, loading_rows)):
            m.d.comb += search.ready.eq(blocks.max_search.i.ready)
            with m.If(chosen):
                m.d.comb += blocks.max_search.i.valid.eq(search.valid)
                _pass_vector(m, source.payload, blocks.max_search.i.payload)

    def _send(self, m: Module, blocks: _Blocks, going: _Going) -> None:
        """From the memory of a side to the DAC, or to the pulse generators."""
        for source, chosen in ((blocks.columns, ~going.rows_sent), (blocks.rows, going.rows_sent)):
            for target, enable in ((blocks.converter, going.reading), (blocks.probability, going.pulsing)):
                with m.If(chosen & enable):
                    m.d.comb += [target.i.valid.eq(source.o.valid), source.o.ready.eq(target.i.ready)]
                    _pass_vector(m, source.o.payload, target.i.payload)
        converter, probability = blocks.converter.i.payload, blocks.probability.i.payload
        m.d.comb += [
            converter.multiplier.eq(going.scaling.multiplier),
            converter.shift.eq(going.scaling.shift + going.halvings),
            converter.sideband.eq(going.rows_sent),
            probability.multiplier.eq(Mux(going.rows_sent, going.gains.delta_multiplier, going.gains.x_multiplier)),
            probability.shift.eq(Mux(going.rows_sent, going.gains.delta_shift, going.gains.x_shift)),
            probability.sideband.eq(going.rows_sent),
        ]
        m.d.comb += [
            self.drive.valid.eq(blocks.converter.o.valid),
            blocks.converter.o.ready.eq(self.drive.ready),
            self.drive.payload.side.eq(blocks.converter.o.payload.sideband),
        ]
        _pass_vector(m, blocks.converter.o.payload, self.drive.payload)

    def _pulse(self, m: Module, blocks: _Blocks) -> None:
        source, target = blocks.probability, blocks.pulse_generator
        m.d.comb += [
            target.i.valid.eq(source.o.valid),
            source.o.ready.eq(target.i.ready),
            target.i.payload.mask.eq(source.o.payload.mask),
            target.i.payload.last.eq(source.o.payload.last),
            target.i.payload.sideband.eq(source.o.payload.sideband),
        ]
        for lane in range(self.parameters.lanes):
            # A line whose word rounds to 0 never fires, so its sign, which rounding loses, does not matter.
            word = source.o.payload.elements[lane]
            m.d.comb += [
                target.i.payload.elements[lane].eq(magnitude(word)),
                target.i.payload.negative[lane].eq(word < 0),
            ]
        m.d.comb += [
            self.pulse.valid.eq(target.o.valid),
            target.o.ready.eq(self.pulse.ready),
            self.pulse.payload.negative.eq(target.o.payload.negative),
            self.pulse.payload.side.eq(target.o.payload.sideband),
        ]
        _pass_vector(m, target.o.payload, self.pulse.payload)
        wiring.connect(m, target.access, wiring.flipped(self.access))
        wiring.connect(m, target.answer, wiring.flipped(self.answer))

    def _sense(self, m: Module, blocks: _Blocks, going: _Going) -> None:
        """Back from the array: held until accepted, halvings taken back, mean over the copies, times the scale."""
        p = self.parameters
        backward = going.operation == Operation.BACKWARD
        m.d.comb += [
            blocks.restore.i.valid.eq(blocks.held.o.valid & going.delivering),
            blocks.held.o.ready.eq(blocks.restore.i.ready & going.delivering),
            blocks.restore.i.payload.shift.eq(-going.halvings),
        ]
        _pass_vector(m, blocks.held.o.payload, blocks.restore.i.payload)
        for mean, chosen in ((blocks.forward_mean, ~backward), (blocks.backward_mean, backward)):
            _pass_vector(m, blocks.restore.o.payload, mean.i.payload)
            with m.If(chosen):
                m.d.comb += [
                    mean.i.valid.eq(blocks.restore.o.valid),
                    blocks.restore.o.ready.eq(mean.i.ready),
                    blocks.scale_back.i.valid.eq(mean.o.valid),
                    mean.o.ready.eq(blocks.scale_back.i.ready),
                ]
                _pass_vector(m, mean.o.payload, blocks.scale_back.i.payload)
        m.d.comb += [
            blocks.scale_back.i.payload.multiplier.eq(going.scaling.scale),
            blocks.scale_back.i.payload.shift.eq(Mux(backward, 0, going.scaling.fraction + p.guard_bits)),
            blocks.scale_back.i.payload.sideband.eq(backward),
        ]
        result = blocks.scale_back.o
        for target, chosen in ((self.y, ~result.payload.sideband), (self.z, result.payload.sideband)):
            _pass_vector(m, result.payload, target.payload)
            m.d.comb += target.valid.eq(result.valid & chosen)
            with m.If(chosen):
                m.d.comb += result.ready.eq(target.ready)

    def _control(self, m: Module, blocks: _Blocks, going: _Going) -> None:
        """The sequence of a command: load, search, then read or update."""
        with m.FSM():
            self._control_load(m, blocks, going)
            self._control_read(m, blocks, going)
            self._control_update(m, blocks, going)

    def _control_load(self, m: Module, blocks: _Blocks, going: _Going) -> None:
        p = self.parameters
        search, managements = blocks.max_search, (blocks.forward_noise, blocks.backward_noise, blocks.update_management)
        loaded = Mux(
            going.rows_loaded,
            self.delta.valid & self.delta.ready & self.delta.payload.last,
            self.x.valid & self.x.ready & self.x.payload.last,
        )
        x_maximum = Signal(p.magnitude_bits)
        for noise, fraction in (
            (blocks.forward_noise, Const(p.activation_fraction)),
            (blocks.backward_noise, going.exponent),
        ):
            m.d.comb += [noise.i.payload.maximum.eq(search.o.payload.maximum), noise.i.payload.fraction.eq(fraction)]
        m.d.comb += [
            blocks.update_management.i.payload.x_maximum.eq(x_maximum),
            blocks.update_management.i.payload.delta_maximum.eq(search.o.payload.maximum),
            blocks.update_management.i.payload.delta_exponent.eq(going.exponent),
        ]
        update = going.operation == Operation.UPDATE
        with m.State("idle"):
            m.d.comb += self.command.ready.eq(1)
            m.d.sync += [
                going.operation.eq(self.command.payload.operation),
                going.exponent.eq(self.command.payload.exponent),
                going.rows_loaded.eq(self.command.payload.operation == Operation.BACKWARD),
                going.halvings.eq(0),
            ]
            with m.If(self.command.valid):
                m.next = "load"
        with m.State("load"):
            m.d.comb += going.loading.eq(1)
            with m.If(loaded):
                m.next = "search"
        with m.State("search"):
            with m.If(update & ~going.rows_loaded):
                m.d.comb += search.o.ready.eq(1)
                m.d.sync += x_maximum.eq(search.o.payload.maximum)
                with m.If(search.o.valid):
                    m.d.sync += going.rows_loaded.eq(1)
                    m.next = "load"
            for kind, management in zip(Operation, managements, strict=True):
                with m.If((going.operation == kind) & (going.rows_loaded | (kind is not Operation.UPDATE))):
                    m.d.comb += [management.i.valid.eq(search.o.valid), search.o.ready.eq(management.i.ready)]
                    with m.If(search.o.valid & search.o.ready):
                        m.next = "gain" if kind is Operation.UPDATE else "scaling"

    def _directions(self, blocks: _Blocks, going: _Going) -> list[_Direction]:
        """Of a read."""
        backward = going.operation == Operation.BACKWARD
        return [
            (~backward, blocks.forward_noise, blocks.forward_bound, blocks.columns),
            (backward, blocks.backward_noise, blocks.backward_bound, blocks.rows),
        ]

    def _control_read(self, m: Module, blocks: _Blocks, going: _Going) -> None:
        """Drive and sense, again and again until bound management accepts; then deliver."""
        with m.State("scaling"):
            m.d.sync += [
                going.rows_sent.eq(going.operation == Operation.BACKWARD),
                going.saturations.eq(0),
                going.saturated.eq(0),
            ]
            for chosen, noise, _, _ in self._directions(blocks, going):
                with m.If(chosen):
                    m.d.comb += noise.o.ready.eq(1)
                    m.d.sync += going.scaling.eq(noise.o.payload)
                    with m.If(noise.o.valid):
                        m.next = "drive"
        with m.State("drive"):
            m.d.comb += going.reading.eq(1)
            with m.If(self.drive.valid & self.drive.ready & self.drive.payload.last):
                m.next = "sense"
        flags = Signal(self.parameters.lanes)
        # Lines are counted a cycle after their beat, long before the report.
        m.d.sync += [going.saturations.eq(going.saturations + ones(flags)), flags.eq(0)]
        with m.State("sense"):
            m.d.comb += [blocks.held.i.valid.eq(self.sense.valid), self.sense.ready.eq(blocks.held.i.ready)]
            with m.If(self.sense.valid & self.sense.ready):
                seen = self.sense.payload.saturated & self.sense.payload.mask
                m.d.sync += [flags.eq(seen), going.saturated.eq(going.saturated | seen.any())]
                with m.If(self.sense.payload.last):
                    m.next = "bound"
        self._control_bound(m, blocks, going)
        with m.State("report"):
            m.d.comb += self.report.valid.eq(1)
            with m.If(self.report.ready):
                m.next = "deliver"
                with m.If(going.operation == Operation.UPDATE):
                    m.next = "idle"
        with m.State("deliver"):
            out = blocks.scale_back.i
            m.d.comb += going.delivering.eq(1)
            with m.If(out.valid & out.ready & out.payload.last):
                m.next = "idle"

    def _control_bound(self, m: Module, blocks: _Blocks, going: _Going) -> None:
        """Ask bound management, and tell the decision to the side's memory and the held vector."""
        repeat = Signal()
        with m.State("bound"):
            for chosen, _, bound, _ in self._directions(blocks, going):
                m.d.comb += [bound.i.valid.eq(chosen), bound.i.payload.saturated.eq(going.saturated)]
                with m.If(chosen & bound.i.ready):
                    m.next = "answer"
        with m.State("answer"):
            for chosen, _, bound, _ in self._directions(blocks, going):
                with m.If(chosen):
                    m.d.comb += bound.o.ready.eq(1)
                    m.d.sync += [repeat.eq(bound.o.payload.repeat), going.halvings.eq(bound.o.payload.halvings)]
                    with m.If(bound.o.valid):
                        m.next = "decide"
        with m.State("decide"):
            # Both take it in the same cycle.
            for chosen, _, _, side in self._directions(blocks, going):
                with m.If(chosen):
                    m.d.comb += [
                        side.again.valid.eq(blocks.held.send.ready),
                        side.again.payload.repeat.eq(repeat),
                        blocks.held.send.valid.eq(side.again.ready),
                    ]
            m.d.comb += blocks.held.send.payload.keep.eq(~repeat)
            with m.If(blocks.held.send.valid & blocks.held.send.ready):
                m.next = "report"
                with m.If(repeat):
                    m.d.sync += [going.saturations.eq(0), going.saturated.eq(0)]
                    m.next = "drive"

    def _control_update(self, m: Module, blocks: _Blocks, going: _Going) -> None:
        with m.State("gain"):
            m.d.comb += blocks.update_management.o.ready.eq(1)
            m.d.sync += [
                going.saturations.eq(0),
                going.gains.eq(blocks.update_management.o.payload),
                going.rows_sent.eq(0),
            ]
            with m.If(blocks.update_management.o.valid):
                m.next = "pulse"
        with m.State("pulse"):
            sent = blocks.probability.i
            m.d.comb += going.pulsing.eq(1)
            with m.If(sent.valid & sent.ready & sent.payload.last):
                m.next = "forget"
        with m.State("forget"):
            for side, chosen in ((blocks.columns, ~going.rows_sent), (blocks.rows, going.rows_sent)):
                with m.If(chosen):
                    m.d.comb += side.again.valid.eq(1)
                    with m.If(side.again.ready):
                        m.d.sync += going.rows_sent.eq(1)
                        m.next = "pulse" if side is blocks.columns else "finish"
        with m.State("finish"):
            with m.If(self.pulse.valid & self.pulse.ready & self.pulse.payload.last & self.pulse.payload.side):
                m.next = "report"


def _pass_vector(m: Module, source: Any, target: Any) -> None:
    """Elements, mask and last; elements may become wider."""
    m.d.comb += [target.mask.eq(source.mask), target.last.eq(source.last)]
    m.d.comb += [wide.eq(element) for wide, element in zip(target.elements, source.elements, strict=True)]


#: Whether it is this one, its managements, the memory of its driven side.
_Direction = tuple[Value, NoiseManagement, BoundManagement, Replicate]


@dataclass(frozen=True)
class _Blocks:
    """The tile's submodules."""

    columns: Replicate
    rows: Replicate
    max_search: MaxSearch
    forward_noise: NoiseManagement
    backward_noise: NoiseManagement
    update_management: UpdateManagement
    converter: Scaler  # to DAC codes
    probability: Scaler  # to probability words
    pulse_generator: PulseGenerator
    held: VectorStore  # a read, until bound management accepts it
    forward_bound: BoundManagement
    backward_bound: BoundManagement
    restore: Scaler  # takes the halvings back
    forward_mean: Average
    backward_mean: Average
    scale_back: Scaler  # takes noise management's scale back


@dataclass(frozen=True)
class _Going:
    """What holds for the command under way."""

    operation: Signal
    exponent: Signal
    halvings: Signal
    saturations: Signal  # lines of the read
    saturated: Signal  # any of them
    scaling: Signal  # noise management's word
    gains: Signal  # update management's word
    loading: Signal
    rows_loaded: Signal  # the side that is loaded: rows (delta), else columns (x)
    reading: Signal
    delivering: Signal
    pulsing: Signal
    rows_sent: Signal  # the side that is sent to the array
