"""`tile`: the digital periphery of arrays: forward, backward and update through the three streams of a crossbar.

    forward   y = W x          backward   z = W^T delta          update   W <- W + eta delta x^T

Model: emulator/network/tile.py, one position (vector, or update cycle) per command. Streams of the digital side:

- ``settings``: what differs from array to array (hdl/network/tile_settings.py). A word is taken only when nothing is under
  way, and holds until the next; while one waits, no command is taken, and none before the first one;
- ``command``: operation, and for backward and update the shared exponent of the errors;
- ``x``: activations, one beat group per column segment; ``delta``: error mantissas of the rows;
- ``y``: pre-activations at the ADC's LSB; ``z``: sums of the columns, with the fraction bits of docs/arithmetic.md, 9;
- ``report``: of every command, once a read is accepted or all pulses are sent, how often it was repeated and how many
  lines of the accepted read saturated (0 and 0 of an update);
- ``access``, ``answer``: states of the pulse generators.

Streams of the array's side, all lines physical, a replicated side being copies of its segments:

- ``drive``: DAC codes; ``side`` 0 drives the columns (forward), 1 the rows (backward);
- ``sense``: ADC codes of the other side, with a saturation flag per line, taken once the whole vector is driven;
- ``pulse``: of an update cycle, the pulse trains and signs of all columns (``side`` 0), then of all rows (``side`` 1).

Order: ``x`` of an update is taken before ``delta``. A saturated read is driven again, with half the input, until bound
management accepts it. Nothing overtakes: what is offered to the array, and what comes out, has the order of the commands.

Three sequences run at once. *Front* loads the vectors of a command and has their maxima managed, *back* drives and senses
or sends pulses, *delivery* gives out what was accepted. Front is at most two commands ahead of back.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, ValueLike, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from emulator.fixed import LARGEST_EXPONENT
from hdl.block import Block
from hdl.fixed import magnitude, ones
from hdl.network.tile_parameters import TileParameters
from hdl.network.tile_parts import Blocks, Going, Operation
from hdl.network.tile_settings import settings_layout
from hdl.periphery.average import Average
from hdl.periphery.bound_management import BoundManagement
from hdl.periphery.max_search import MaxSearch
from hdl.periphery.noise_management import NoiseManagement
from hdl.periphery.pulse_generator import PulseGenerator
from hdl.periphery.replicate import Replicate
from hdl.periphery.scaler import SHIFT, Scaler
from hdl.periphery.update_management import UpdateManagement
from hdl.pipeline import fork, relay
from hdl.shapes import beat, record, signed_for, stream_of, width_for
from hdl.vector_store import VectorStore


class Tile(Block[TileParameters]):
    def __init__(self, parameters: TileParameters) -> None:
        p, lanes = parameters, parameters.lanes
        result = signed_for(p.scale_back.limit)
        self._pulse_generator = PulseGenerator(p.pulse_generator)
        super().__init__(
            p,
            {
                "settings": In(stream_of(settings_layout(p))),
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
            if block is not None:
                m.submodules[name] = block
        going = self._going(blocks)
        self._load(m, blocks, going)
        self._send(m, blocks, going)
        self._pulse(m, blocks, going)
        self._deliver(m, blocks, going)
        m.d.comb += self.report.valid.eq(going.reporting)
        with m.If(self.report.ready):
            m.d.sync += going.reporting.eq(0)
        self._control_front(m, blocks, going)
        self._control_back(m, blocks, going)
        self._take_settings(m, going)
        return m

    def _blocks(self) -> Blocks:
        p = self.parameters
        return Blocks(
            columns=Replicate(p.replicate("columns")),
            rows=Replicate(p.replicate("rows")),
            max_search=MaxSearch(p.max_search),
            noise_management=NoiseManagement(p.noise_management),
            update_management=UpdateManagement(p.update_management),
            converter=Scaler(p.converter),
            probability=Scaler(p.probability),
            pulse_generator=self._pulse_generator,
            held=VectorStore(self.sense.payload.shape(), p.sensed_beats),
            bound_management=BoundManagement(p.bound_management),
            restore=None if p.direct else Scaler(p.restore),
            mean=None if p.direct else Average(p.average),
            scale_back=Scaler(p.scale_back),
        )

    def _going(self, blocks: Blocks) -> Going:
        p = self.parameters
        halvings = width_for(p.halvings)
        scale = blocks.noise_management.o.payload.scale.shape()
        return Going(
            settings=self.settings.payload if p.settings_held else Signal(settings_layout(p)),
            configured=Signal(),
            front_idle=Signal(),
            back_idle=Signal(),
            front=Signal(self.command.payload.shape()),
            loading=Signal(),
            rows_loaded=Signal(),
            managed=Signal(),
            managed_operation=Signal(Operation),
            operation=Signal(Operation),
            rows_sent=Signal(),
            reading=Signal(),
            pulsing=Signal(),
            pulses_on_their_way=Signal(),
            forgotten=Signal(2),
            scaling=blocks.noise_management.o.payload
            if p.compact
            else Signal(blocks.noise_management.o.payload.shape()),
            gains=blocks.update_management.o.payload
            if p.compact
            else Signal(blocks.update_management.o.payload.shape()),
            halvings=Signal(halvings),
            saturations=Signal(range(p.lines + 1)),
            saturated=Signal(),
            reporting=Signal(),
            delivering=Signal(),
            delivery=Signal(record(backward=1, halvings=halvings, scale=scale, shift=SHIFT)),
        )

    def _take_settings(self, m: Module, going: Going) -> None:
        idle = going.front_idle & going.back_idle & ~going.managed & ~going.pulses_on_their_way & ~going.delivering
        m.d.comb += self.settings.ready.eq(idle)
        with m.If(self.settings.valid & self.settings.ready):
            m.d.sync += going.configured.eq(1)
            if not self.parameters.settings_held:
                m.d.sync += going.settings.eq(self.settings.payload)

    # --- the path of data -------------------------------------------------------------------------------------------

    def _relayed(self, m: Module, stream: wiring.PureInterface, name: str) -> wiring.PureInterface:
        """A stream whose way of ``ready`` ends here; compact, it costs no registers and goes on."""
        return stream if self.parameters.compact else relay(m, stream, name)

    def _load(self, m: Module, blocks: Blocks, going: Going) -> None:
        """A vector goes to the memory of its side and to the max search at once."""
        search_x, search_delta = blocks.max_search.i.signature.create(), blocks.max_search.i.signature.create()
        loading_rows = going.rows_loaded
        fork(m, self.x, [blocks.columns.i, search_x], going.loading & ~loading_rows)
        fork(m, self.delta, [blocks.rows.i, search_delta], going.loading & loading_rows)
        _pass_vector(m, self.x.payload, blocks.columns.i.payload)
        _pass_vector(m, self.delta.payload, blocks.rows.i.payload)
        m.d.comb += [
            blocks.columns.i.payload.copies.eq(going.settings.column_copies),
            blocks.rows.i.payload.copies.eq(going.settings.row_copies),
        ]
        for source, search, chosen in ((self.x, search_x, ~loading_rows), (self.delta, search_delta, loading_rows)):
            m.d.comb += search.ready.eq(blocks.max_search.i.ready)
            with m.If(chosen):
                m.d.comb += blocks.max_search.i.valid.eq(search.valid)
                _pass_vector(m, source.payload, blocks.max_search.i.payload)

    def _send(self, m: Module, blocks: Blocks, going: Going) -> None:
        """From the memory of a side to the DAC, or to the pulse generators."""
        columns, rows = self._relayed(m, blocks.columns.o, "columns"), self._relayed(m, blocks.rows.o, "rows")
        for source, chosen in ((columns, ~going.rows_sent), (rows, going.rows_sent)):
            for target, enable in ((blocks.converter, going.reading), (blocks.probability, going.pulsing)):
                with m.If(chosen & enable):
                    m.d.comb += [target.i.valid.eq(source.valid), source.ready.eq(target.i.ready)]
                    _pass_vector(m, source.payload, target.i.payload)
        # The last beat of an update cycle waits for the end of the cycle before, so that one at most is on its way.
        with m.If(going.pulsing & going.rows_sent & rows.payload.last & going.pulses_on_their_way):
            m.d.comb += [blocks.probability.i.valid.eq(0), rows.ready.eq(0)]
        converter, probability = blocks.converter.i.payload, blocks.probability.i.payload
        m.d.comb += [
            converter.shift.eq(going.scaling.shift + going.halvings),
            converter.sideband.eq(going.rows_sent),
            probability.multiplier.eq(Mux(going.rows_sent, going.gains.delta_multiplier, going.gains.x_multiplier)),
            probability.shift.eq(Mux(going.rows_sent, going.gains.delta_shift, going.gains.x_shift)),
            probability.sideband.eq(going.rows_sent),
        ]
        if self.parameters.converter.multiplier_bits:
            m.d.comb += converter.multiplier.eq(going.scaling.multiplier)
        m.d.comb += [
            self.drive.valid.eq(blocks.converter.o.valid),
            blocks.converter.o.ready.eq(self.drive.ready),
            self.drive.payload.side.eq(blocks.converter.o.payload.sideband),
        ]
        _pass_vector(m, blocks.converter.o.payload, self.drive.payload)

    def _pulse(self, m: Module, blocks: Blocks, going: Going) -> None:
        source = self._relayed(m, blocks.probability.o, "words")
        target, settings = blocks.pulse_generator, going.settings
        m.d.comb += [
            target.i.valid.eq(source.valid),
            source.ready.eq(target.i.ready),
            target.i.payload.mask.eq(source.payload.mask),
            target.i.payload.last.eq(source.payload.last),
            target.i.payload.sideband.eq(source.payload.sideband),
            target.i.payload.end.eq(source.payload.last & source.payload.sideband),
            target.i.payload.desired_bl.eq(settings.desired_bl),
            target.i.payload.base.eq(settings.pulse_base),
        ]
        for lane in range(self.parameters.lanes):
            # A line whose word rounds to 0 never fires, so its sign, which rounding loses, does not matter.
            word = source.payload.elements[lane]
            m.d.comb += [
                target.i.payload.elements[lane].eq(magnitude(word)),
                target.i.payload.negative[lane].eq(word < 0),
            ]
        # The last beat of an update cycle is the cause of its report, so it waits for the report before.
        end = target.o.payload.last & target.o.payload.sideband
        free = ~(end & going.reporting)
        m.d.comb += [
            self.pulse.valid.eq(target.o.valid & free),
            target.o.ready.eq(self.pulse.ready & free),
            self.pulse.payload.negative.eq(target.o.payload.negative),
            self.pulse.payload.side.eq(target.o.payload.sideband),
        ]
        _pass_vector(m, target.o.payload, self.pulse.payload)
        wiring.connect(m, target.access, wiring.flipped(self.access))
        wiring.connect(m, target.answer, wiring.flipped(self.answer))

    def _to_deliver(self, going: Going) -> dict[str, ValueLike]:
        """Of the read in back, once it is accepted."""
        settings, backward = going.settings, going.operation == Operation.BACKWARD
        fraction = going.scaling.fraction + settings.guard_bits
        return {
            "backward": backward,
            "halvings": going.halvings,
            "scale": going.scaling.scale,
            "shift": Mux(backward, 0, fraction),
        }

    def _deliver(self, m: Module, blocks: Blocks, going: Going) -> None:
        """What was accepted: halvings taken back, mean over the copies, times the scale."""
        settings, delivery = going.settings, going.delivery
        if self.parameters.compact:
            m.d.comb += [delivery[name].eq(value) for name, value in self._to_deliver(going).items()]
        backward = delivery.backward
        steps = [block for block in (blocks.restore, blocks.mean, blocks.scale_back) if block]
        held = self._relayed(m, blocks.held.o, "held")
        m.d.comb += [
            steps[0].i.valid.eq(held.valid & going.delivering),
            held.ready.eq(steps[0].i.ready & going.delivering),
            blocks.scale_back.i.payload.multiplier.eq(delivery.scale),
            blocks.scale_back.i.payload.shift.eq(delivery.shift - (delivery.halvings if self.parameters.direct else 0)),
            blocks.scale_back.i.payload.sideband.eq(backward),
        ]
        _pass_vector(m, held.payload, steps[0].i.payload)
        if blocks.restore and blocks.mean:
            m.d.comb += [
                blocks.restore.i.payload.shift.eq(-delivery.halvings),
                blocks.mean.i.payload.beats.eq(Mux(backward, settings.column_beats, settings.row_beats)),
                blocks.mean.i.payload.copies.eq(Mux(backward, settings.column_copies, settings.row_copies)),
                blocks.mean.i.payload.reciprocal.eq(settings.average_reciprocal),
                blocks.mean.i.payload.guard_bits.eq(settings.guard_bits),
            ]
        for step, target in pairwise(steps):
            source = self._relayed(m, step.o, "mean") if step is blocks.mean else step.o
            m.d.comb += [target.i.valid.eq(source.valid), source.ready.eq(target.i.ready)]
            _pass_vector(m, source.payload, target.i.payload)
        result = blocks.scale_back.o
        for target, chosen in ((self.y, ~result.payload.sideband), (self.z, result.payload.sideband)):
            _pass_vector(m, result.payload, target.payload)
            m.d.comb += target.valid.eq(result.valid & chosen)
            with m.If(chosen):
                m.d.comb += result.ready.eq(target.ready)
        with m.If(_last_passes(blocks.scale_back.i)):
            m.d.sync += going.delivering.eq(0)

    # --- control ----------------------------------------------------------------------------------------------------

    def _control_front(self, m: Module, blocks: Blocks, going: Going) -> None:
        """Load, search, and hand the maxima over as soon as what came of those before is taken by back."""
        found = self._relayed(m, blocks.max_search.o, "maximum")
        noise, update = blocks.noise_management, blocks.update_management
        settings, front = going.settings, going.front
        backward, updating = front.operation == Operation.BACKWARD, front.operation == Operation.UPDATE
        x_maximum = Signal(self.parameters.magnitude_bits)
        m.d.comb += [
            noise.i.payload.maximum.eq(found.payload.maximum),
            noise.i.payload.fraction.eq(Mux(backward, front.exponent, self.parameters.activation_fraction)),
            noise.i.payload.mode.eq(Mux(backward, settings.backward_mode, settings.forward_mode)),
            noise.i.payload.exponent.eq(Mux(backward, settings.backward_exponent, settings.forward_exponent)),
            update.i.payload.x_maximum.eq(x_maximum),
            update.i.payload.delta_maximum.eq(found.payload.maximum),
            update.i.payload.delta_exponent.eq(front.exponent),
            update.i.payload.mode.eq(settings.update_mode),
        ]
        for name in ("gain_mantissa", "gain_shift", "power_mantissa", "power_shift"):
            m.d.comb += update.i.payload[name].eq(settings[name])
        with m.FSM():
            with m.State("idle"):
                m.d.comb += [
                    going.front_idle.eq(1),
                    self.command.ready.eq(going.configured & ~self.settings.valid),
                ]
                m.d.sync += [
                    front.eq(self.command.payload),
                    going.rows_loaded.eq(self.command.payload.operation == Operation.BACKWARD),
                ]
                with m.If(self.command.valid & self.command.ready):
                    m.next = "load"
            with m.State("load"):
                m.d.comb += going.loading.eq(1)
                with m.If(Mux(going.rows_loaded, _last_passes(self.delta), _last_passes(self.x))):
                    m.next = "search"
            with m.State("search"):
                with m.If(updating & ~going.rows_loaded):
                    m.d.comb += found.ready.eq(1)
                    m.d.sync += x_maximum.eq(found.payload.maximum)
                    with m.If(found.valid):
                        m.d.sync += going.rows_loaded.eq(1)
                        m.next = "load"
                with m.Elif(~going.managed):
                    for management, chosen in ((noise, ~updating), (update, updating)):
                        with m.If(chosen):
                            m.d.comb += [management.i.valid.eq(found.valid), found.ready.eq(management.i.ready)]
                    with m.If(found.valid & found.ready):
                        m.d.sync += [going.managed.eq(1), going.managed_operation.eq(front.operation)]
                        m.next = "idle"

    def _control_back(self, m: Module, blocks: Blocks, going: Going) -> None:
        """Drive and sense, again and again until bound management accepts; or send pulses."""
        # For a whole vector, so that a register can say it: what follows from that lies far from `held`.
        room = Signal()
        m.d.sync += room.eq(blocks.held.i.ready)
        with m.FSM():
            with m.State("idle"):
                m.d.comb += going.back_idle.eq(1)
                self._begin(m, blocks, going)
            with m.State("drive"):
                m.d.comb += going.reading.eq(1)
                with m.If(_last_passes(self.drive)):
                    m.next = "sense"
            with m.State("sense"):
                m.d.comb += [blocks.held.i.valid.eq(self.sense.valid & room), self.sense.ready.eq(room)]
                with m.If(_last_passes(self.sense)):
                    m.next = "bound"
            with m.State("bound"):
                m.d.comb += blocks.bound_management.i.valid.eq(1)
                with m.If(blocks.bound_management.i.ready):
                    m.next = "decide"
            with m.State("decide"):
                self._decide(m, blocks, going)
            with m.State("pulse"):
                m.d.comb += going.pulsing.eq(1)
                with m.If(_last_passes(blocks.probability.i)):
                    m.d.sync += [going.rows_sent.eq(1), going.forgotten.bit_select(going.rows_sent, 1).eq(1)]
                    with m.If(going.rows_sent):
                        m.d.sync += going.pulses_on_their_way.eq(1)
                        m.next = "idle"
                        if self.parameters.compact:
                            self._forget_gains(m, blocks, going)
            if self.parameters.compact:
                with m.State("deliver"), m.If(~going.delivering):
                    self._forget_gains(m, blocks, going)
                    m.next = "idle"
        self._watch(m, blocks, going)

    def _begin(self, m: Module, blocks: Blocks, going: Going) -> None:
        """The next command whose vectors are managed. A read waits until the pulses before it are sent."""
        noise, update, operation = blocks.noise_management.o, blocks.update_management.o, going.managed_operation
        updating = operation == Operation.UPDATE
        reads = noise.valid & (going.managed & ~updating & ~going.pulses_on_their_way)
        updates = update.valid & going.managed & updating
        if not self.parameters.compact:
            m.d.sync += [going.scaling.eq(noise.payload), going.gains.eq(update.payload)]
            with m.If(reads | updates):
                self._forget_gains(m, blocks, going)
        m.d.sync += [
            going.operation.eq(operation),
            going.rows_sent.eq(operation == Operation.BACKWARD),
            going.halvings.eq(0),
            going.saturations.eq(0),
            going.saturated.eq(0),
        ]
        for begins, state in ((reads, "drive"), (updates, "pulse")):
            with m.If(begins):
                m.next = state

    def _forget_gains(self, m: Module, blocks: Blocks, going: Going) -> None:
        """What the maxima of a command gave is taken: at once where it is copied, else when the command is done."""
        updating = going.managed_operation == Operation.UPDATE
        m.d.comb += [blocks.noise_management.o.ready.eq(~updating), blocks.update_management.o.ready.eq(updating)]
        m.d.sync += going.managed.eq(0)

    def _decide(self, m: Module, blocks: Blocks, going: Going) -> None:
        """Tell bound management's decision to the side's memory, the held vector, delivery and report, in one cycle: that after all
        of them are ready, as they stay until then. They lie far from each other."""
        decision, held = blocks.bound_management.o, blocks.held
        repeat, backward = decision.payload.repeat, going.operation == Operation.BACKWARD
        side = Mux(backward, blocks.rows.again.ready, blocks.columns.again.ready)
        decided = Signal()
        ready = decision.valid & side & held.send.ready & (repeat | (~going.delivering & ~going.reporting))
        m.d.sync += decided.eq(ready & ~decided)
        m.d.comb += [
            decision.ready.eq(decided),
            held.send.valid.eq(decided),
            held.send.payload.keep.eq(~repeat),
            blocks.columns.again.payload.repeat.eq(repeat),
            blocks.rows.again.payload.repeat.eq(repeat),
        ]
        for memory, chosen in ((blocks.columns, ~backward), (blocks.rows, backward)):
            with m.If(chosen):
                m.d.comb += memory.again.valid.eq(decided)
        with m.If(decided & repeat):
            m.d.sync += [
                going.halvings.eq(decision.payload.halvings),
                going.saturations.eq(0),
                going.saturated.eq(0),
            ]
            m.next = "drive"
        with m.Elif(decided):
            m.d.sync += [
                self.report.payload.repeats.eq(going.halvings),
                self.report.payload.saturations.eq(going.saturations),
                going.reporting.eq(1),
                going.delivering.eq(1),
            ]
            if not self.parameters.compact:
                m.d.sync += [going.delivery[name].eq(value) for name, value in self._to_deliver(going).items()]
            m.next = "deliver" if self.parameters.compact else "idle"

    def _watch(self, m: Module, blocks: Blocks, going: Going) -> None:
        """Saturated lines are counted; vectors of update cycles forgotten; the end of an update cycle is reported."""
        flags = Signal(self.parameters.lanes)
        seen = self.sense.payload.saturated & self.sense.payload.mask
        backward = going.operation == Operation.BACKWARD
        bound = blocks.bound_management.i.payload
        m.d.comb += [
            blocks.held.i.payload.eq(self.sense.payload),
            bound.saturated.eq(going.saturated),
            bound.limit.eq(Mux(backward, going.settings.backward_bound, going.settings.forward_bound)),
        ]
        # Lines are counted a cycle after their beat, so before the decision.
        m.d.sync += flags.eq(0)
        with m.If(flags.any()):
            m.d.sync += going.saturations.eq(going.saturations + ones(flags))
        with m.If(self.sense.valid & self.sense.ready):
            m.d.sync += [flags.eq(seen), going.saturated.eq(going.saturated | seen.any())]
        for side, memory in enumerate((blocks.columns, blocks.rows)):
            with m.If(going.forgotten[side]):
                m.d.comb += memory.again.valid.eq(1)
                with m.If(memory.again.ready):
                    m.d.sync += going.forgotten[side].eq(0)
        with m.If(_last_passes(self.pulse) & self.pulse.payload.side):
            m.d.sync += [
                going.pulses_on_their_way.eq(0),
                self.report.payload.eq(0),
                going.reporting.eq(1),
            ]


def _pass_vector(m: Module, source: Any, target: Any) -> None:
    """Elements, mask and last; elements may become wider."""
    m.d.comb += [target.mask.eq(source.mask), target.last.eq(source.last)]
    m.d.comb += [wide.eq(element) for wide, element in zip(target.elements, source.elements, strict=True)]


def _last_passes(stream: wiring.PureInterface) -> Value:
    """Whether the last beat of a vector is taken."""
    return stream.valid & stream.ready & stream.payload.last
