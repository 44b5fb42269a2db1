"""`pooling`: 2 x 2 maximum with stride 2 over a volume, and the way back through the place of the maximum.

Model: emulator/periphery/pooling.py. A volume travels in raster order, row by row, pixel by pixel; every pixel is a
segment of ``ceil(channels / lanes)`` beats, and ``last`` is on the final beat of the volume. `Pooling`: ``i`` the volume,
``o`` the maxima as such a volume, with ``where``, the place of the maximum in its window: 0 .. 3, row by row. Of equal
values the first wins; an odd last row or column is dropped. `PoolingBack`: ``i`` errors of the maxima with ``where``, ``o``
the volume of errors, 0 where no maximum was. A beat per cycle: of the large volume, in for `Pooling`, out for
`PoolingBack`. A pooled row is held in a memory. Beats are counted, so a volume must have all its beats.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pydantic import Field

from emulator.config import Stage
from hdl.block import Block, Parameters
from hdl.pipeline import delayed
from hdl.shapes import beat, index_for, stream_of

PLACE = unsigned(2)


class VolumeParameters(Parameters):
    lanes: int = Field(8, ge=1, le=64, description="elements per beat")
    height: int = Field(8, ge=2, le=256, description="rows of the large volume")
    width: int = Field(8, ge=2, le=256, description="columns of the large volume")
    channels: int = Field(16, ge=1, le=1024, description="elements of a pixel")
    magnitude_bits: int = Field(15, ge=1, le=60, description="bits of an element's magnitude, sign excluded")

    @property
    def beats(self) -> int:
        """Of a pixel."""
        return -(-self.channels // self.lanes)

    @property
    def pooled_height(self) -> int:
        return self.height // 2

    @property
    def pooled_width(self) -> int:
        return self.width // 2

    @property
    def last_mask(self) -> int:
        """Lanes of the last beat of a pixel."""
        return (1 << (self.channels - (self.beats - 1) * self.lanes)) - 1


class PoolingParameters(VolumeParameters):
    @classmethod
    def of(cls, stage: Stage, lanes: int) -> PoolingParameters:
        return cls(
            lanes=lanes,
            height=stage.output_height,
            width=stage.output_width,
            channels=stage.rows,
            magnitude_bits=stage.activation_magnitude_bits,
        )


class PoolingBackParameters(VolumeParameters):
    @classmethod
    def of(cls, stage: Stage, lanes: int) -> PoolingBackParameters:
        return cls(
            lanes=lanes,
            height=stage.output_height,
            width=stage.output_width,
            channels=stage.rows,
            magnitude_bits=stage.error_magnitude_bits,
        )


class _Raster:
    """Where a beat of the large volume lies: counted under ``step``. ``address``: of its window in a pooled row."""

    def __init__(self, m: Module, parameters: VolumeParameters, step: Value) -> None:
        p = parameters
        self.row, self.column = Signal(index_for(p.height)), Signal(index_for(p.width))
        self.beat, self.address = Signal(index_for(p.beats)), Signal(index_for(p.pooled_width * p.beats))
        self.pixel_ends = self.beat == p.beats - 1
        self.row_ends = self.pixel_ends & (self.column == p.width - 1)
        self.ends = self.row_ends & (self.row == p.height - 1)
        self.inside = (self.row < 2 * p.pooled_height) & (self.column < 2 * p.pooled_width)
        with m.If(step):
            m.d.sync += [self.beat.eq(self.beat + 1), self.address.eq(self.address + 1)]
            with m.If(self.pixel_ends):
                m.d.sync += [self.beat.eq(0), self.column.eq(self.column + 1)]
                with m.If(~self.column[0]):
                    m.d.sync += self.address.eq(self.address - (p.beats - 1))
            with m.If(self.row_ends):
                m.d.sync += [self.column.eq(0), self.address.eq(0), self.row.eq(Mux(self.ends, 0, self.row + 1))]


class Pooling(Block[PoolingParameters]):
    def __init__(self, parameters: PoolingParameters) -> None:
        element, lanes = signed(parameters.magnitude_bits + 1), parameters.lanes
        super().__init__(
            parameters,
            {
                "i": In(stream_of(beat(element, lanes))),
                "o": Out(stream_of(beat(element, lanes, where=data.ArrayLayout(PLACE, lanes)))),
            },
        )

    @property
    def latency(self) -> int:
        """From the last beat that a maximum takes part in to the maximum: the input, a row's two, the pair above, both."""
        return 4

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, lanes = self.parameters, self.parameters.lanes
        pairs = data.ArrayLayout(data.StructLayout({"value": signed(p.magnitude_bits + 1), "right": 1}), lanes)
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        valid = delayed(m, advance, self.i.valid, self.latency - 1, "valid")
        raster = _Raster(m, p, advance & self.i.valid)

        # Stage 1: the beat itself. In even columns it is kept, beats of a pixel apart, until its right neighbour comes.
        elements = delayed(m, advance, self.i.payload.elements, 1, "elements")[-1]
        masks = delayed(m, advance, self.i.payload.mask, self.latency, "mask")
        number = delayed(m, advance, raster.beat, 1, "beat")[-1]
        address = delayed(m, advance, raster.address, 2, "address")
        right = delayed(m, advance, raster.column[0], 1, "odd_column")[-1]
        upper = delayed(m, advance, raster.inside & raster.column[0] & ~raster.row[0], 2, "upper")[-1]
        emits = delayed(m, advance, raster.inside & raster.column[0] & raster.row[0], self.latency - 1, "emits")[-1]
        final = raster.pixel_ends & (raster.row == 2 * p.pooled_height - 1) & (raster.column == 2 * p.pooled_width - 1)
        last = delayed(m, advance, final, self.latency, "last")[-1]
        m.submodules.left = left = Memory(shape=elements.shape(), depth=max(2, p.beats), init=[])
        keep, kept = left.write_port(), left.read_port(domain="comb")
        m.d.comb += [
            keep.addr.eq(number),
            keep.data.eq(elements),
            keep.en.eq(advance & valid[1] & ~right),
            kept.addr.eq(number),
        ]

        # Stage 2: the larger of a row's two. Of the upper row it goes to the memory; for the lower row that is read.
        m.submodules.above = above = Memory(shape=pairs, depth=max(2, p.pooled_width * p.beats), init=[])
        store, load = above.write_port(), above.read_port()
        pair = Signal(pairs)
        m.d.comb += [
            store.addr.eq(address[2]),
            store.data.eq(pair),
            store.en.eq(advance & valid[2] & upper),
            load.addr.eq(address[1]),
            load.en.eq(advance),
        ]
        # Stages 3 and 4: the upper pair from the memory into a register; the larger of both pairs.
        upper_pair, lower_pair = Signal(pairs), Signal(pairs)
        result = self.o.payload
        m.d.comb += [result.mask.eq(masks[-1]), result.last.eq(last)]
        with m.If(advance):
            m.d.sync += [upper_pair.eq(load.data), lower_pair.eq(pair), self.o.valid.eq(valid[3] & emits)]
            for lane in range(lanes):
                beside = elements[lane] > kept.data[lane]
                below = lower_pair[lane].value > upper_pair[lane].value
                m.d.sync += [
                    pair[lane].value.eq(Mux(beside, elements[lane], kept.data[lane])),
                    pair[lane].right.eq(beside),
                    result.elements[lane].eq(Mux(below, lower_pair[lane].value, upper_pair[lane].value)),
                    result.where[lane].eq(Cat(Mux(below, lower_pair[lane].right, upper_pair[lane].right), below)),
                ]
        return m


class PoolingBack(Block[PoolingBackParameters]):
    def __init__(self, parameters: PoolingBackParameters) -> None:
        element, lanes = signed(parameters.magnitude_bits + 1), parameters.lanes
        super().__init__(
            parameters,
            {
                "i": In(stream_of(beat(element, lanes, where=data.ArrayLayout(PLACE, lanes)))),
                "o": Out(stream_of(beat(element, lanes))),
            },
        )

    @property
    def latency(self) -> int:
        """From a beat to its first beat in the large volume: the input or the memory, the choice of both, the zeros."""
        return 3

    @property
    def cycles_per_beat(self) -> int:
        """A beat goes out per cycle; inputs are taken as the upper left pixels of windows go out."""
        return 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, lanes = self.parameters, self.parameters.lanes
        held = data.ArrayLayout(data.StructLayout({"value": signed(p.magnitude_bits + 1), "where": PLACE}), lanes)
        advance, step, takes = Signal(), Signal(), Signal()
        raster = _Raster(m, p, step)
        place = Cat(raster.column[0], raster.row[0])
        m.d.comb += [
            takes.eq(raster.inside & (place == 0)),
            advance.eq(~self.o.valid | self.o.ready),
            step.eq(advance & (~takes | self.i.valid)),
            self.i.ready.eq(advance & takes),
        ]
        valid = delayed(m, advance, step, self.latency, "valid")
        taken = delayed(m, advance, takes, 1, "takes")[-1]
        places = delayed(m, advance, place, self.latency - 1, "place")[-1]
        inside = delayed(m, advance, raster.inside, self.latency - 1, "inside")[-1]
        mask = Mux(raster.pixel_ends, Const(p.last_mask, lanes), Const((1 << lanes) - 1, lanes))
        result = self.o.payload
        m.d.comb += [
            self.o.valid.eq(valid[-1]),
            result.mask.eq(delayed(m, advance, mask, self.latency, "mask")[-1]),
            result.last.eq(delayed(m, advance, raster.ends, self.latency, "last")[-1]),
        ]

        incoming, direct, chosen = Signal(held), Signal(held), Signal(held)
        m.submodules.row = row = Memory(shape=held, depth=max(2, p.pooled_width * p.beats), init=[])
        store, load = row.write_port(), row.read_port()
        m.d.comb += [
            store.addr.eq(raster.address),
            store.data.eq(incoming),
            store.en.eq(step & takes),
            load.addr.eq(raster.address),
            load.en.eq(advance),
        ]
        for lane in range(lanes):
            m.d.comb += [
                incoming[lane].value.eq(self.i.payload.elements[lane]),
                incoming[lane].where.eq(self.i.payload.where[lane]),
            ]
        with m.If(advance):
            m.d.sync += [direct.eq(incoming), chosen.eq(Mux(taken, direct, load.data))]
            for lane in range(lanes):
                here = inside & (chosen[lane].where == places)
                m.d.sync += result.elements[lane].eq(Mux(here, chosen[lane].value, 0))
        return m
