"""`im2col`: patches of a volume in the order of a convolution's positions, and their transpose.

Model: emulator/periphery/im2col.py. A volume travels in raster order, every pixel a segment of
``ceil(channels / lanes)`` beats, ``last`` on its final beat. `Im2col`: ``i`` a volume, ``o`` a vector per position: the pixels
of the patch row by row, then, with ``bias``, a beat with the one element ``one``; ``last`` ends every vector. `Im2colBack`:
``i`` the same vectors without bias, ``o`` the volume of sums of what was taken from a pixel, exact.

Both hold one volume in a memory: they take all of it, then give all of it, a beat per cycle each, and take the next
meanwhile not. Beats are counted, so volumes and vectors must have all their beats.
"""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pydantic import Field, model_validator

from emulator.config import Stage
from emulator.fixed import PATH_BITS
from hdl.block import Block, Parameters
from hdl.patches import Patches, PatchGeometry
from hdl.pipeline import delayed
from hdl.shapes import beat, index_for, stream_of, width_for


class PatchParameters(Parameters):
    lanes: int = Field(8, ge=1, le=64, description="elements per beat")
    kernel: int = Field(3, ge=1, le=16, description="rows and columns of a patch")
    height: int = Field(8, ge=1, le=256, description="rows of the volume")
    width: int = Field(8, ge=1, le=256, description="columns of the volume")
    channels: int = Field(1, ge=1, le=1024, description="elements of a pixel")

    @model_validator(mode="after")
    def _patch_fits(self) -> PatchParameters:
        if self.kernel > min(self.height, self.width):
            raise ValueError(
                f"kernel = {self.kernel}: accepted: at most {min(self.height, self.width)}, the size of the volume"
            )
        return self

    @property
    def beats(self) -> int:
        """Of a pixel."""
        return -(-self.channels // self.lanes)

    @property
    def rows(self) -> int:
        """Of positions."""
        return self.height - self.kernel + 1

    @property
    def columns(self) -> int:
        """Of positions."""
        return self.width - self.kernel + 1

    @property
    def volume_beats(self) -> int:
        return self.height * self.width * self.beats

    @property
    def last_mask(self) -> int:
        """Lanes of the last beat of a pixel."""
        return (1 << (self.channels - (self.beats - 1) * self.lanes)) - 1

    def mask(self, pixel_ends: Value) -> Value:
        return Mux(pixel_ends, Const(self.last_mask, self.lanes), Const((1 << self.lanes) - 1, self.lanes))


class Im2colParameters(PatchParameters):
    magnitude_bits: int = Field(15, ge=1, le=60, description="bits of an element's magnitude, sign excluded")
    bias: bool = Field(True, description="whether a vector ends with the bias line")
    one: int = Field(1 << 12, ge=0, description="value of the bias line")

    @model_validator(mode="after")
    def _one_fits(self) -> Im2colParameters:
        if self.one >> self.magnitude_bits:
            raise ValueError(f"one = {self.one}: accepted: below 2**{self.magnitude_bits}, the size of an element")
        return self

    @property
    def vector_beats(self) -> int:
        """Of a position."""
        return self.kernel**2 * self.beats + self.bias

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> Im2colParameters:
        return cls(
            lanes=lanes,
            kernel=stage.kernel,
            height=stage.height,
            width=stage.width,
            channels=stage.channels,
            magnitude_bits=stage.activation_magnitude_bits,
            bias=stage.layer.bias,
            one=1 << stage.activation_fraction,
        )


class Im2colBackParameters(PatchParameters):
    magnitude_bits: int = Field(32, ge=1, le=PATH_BITS, description="bits of an input's magnitude, sign excluded")

    @property
    def sum_bits(self) -> int:
        """Of a sum's magnitude: as many inputs as a patch has pixels meet in one."""
        return self.magnitude_bits + (self.kernel**2 - 1).bit_length()

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> Im2colBackParameters:
        """Sums of the tile: an ADC code, its halvings, the mean's guard bits, times the scale."""
        read = stage.backward
        return cls(
            lanes=lanes,
            kernel=stage.kernel,
            height=stage.height,
            width=stage.width,
            channels=stage.channels,
            magnitude_bits=read.limit.bit_length()
            + read.bound_management
            + stage.average_guard_bits
            + stage.error_magnitude_bits
            + 1,
        )


class _Raster:
    """Beats of a volume in order, counted under ``step``."""

    def __init__(self, m: Module, parameters: PatchParameters, step: Value) -> None:
        p = parameters
        self.address, beat_of_pixel = Signal(index_for(p.volume_beats)), Signal(index_for(p.beats))
        self.pixel_ends = beat_of_pixel == p.beats - 1
        self.ends = self.address == p.volume_beats - 1
        with m.If(step):
            m.d.sync += [
                beat_of_pixel.eq(Mux(self.pixel_ends, 0, beat_of_pixel + 1)),
                self.address.eq(Mux(self.ends, 0, self.address + 1)),
            ]


def _geometry(p: PatchParameters, bias: bool) -> PatchGeometry:
    return PatchGeometry(
        start=Const(0),
        last_beat=Const(p.beats - 1),
        last_across=Const(p.kernel - 1),
        last_down=Const(p.kernel - 1),
        last_column=Const(p.columns - 1),
        last_row=Const(p.rows - 1),
        pixel_step=Const(p.beats),
        line_step=Const(p.width * p.beats),
        row_step=Const(p.kernel * p.beats),
        bias=Const(bias, 1),
    )


def _patches(m: Module, p: PatchParameters, step: Value, bias: bool) -> Patches:
    return Patches(m, _geometry(p, bias), step, address_bits=width_for(p.volume_beats - 1))


class Im2col(Block[Im2colParameters]):
    def __init__(self, parameters: Im2colParameters) -> None:
        payload = beat(signed(parameters.magnitude_bits + 1), parameters.lanes)
        super().__init__(parameters, {"i": In(stream_of(payload)), "o": Out(stream_of(payload))})

    @property
    def latency(self) -> int:
        """From the last beat of a volume: the volume is whole; memory; result."""
        return 3

    @property
    def cycles_per_volume(self) -> int:
        """All of it in, then all positions out."""
        return (
            self.parameters.volume_beats + self.parameters.rows * self.parameters.columns * self.parameters.vector_beats
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        sending, advance, taken, sent = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(~sending),
            taken.eq(self.i.valid & self.i.ready),
            sent.eq(sending & advance),
        ]
        loading, patches = _Raster(m, p, taken), _patches(m, p, sent, p.bias)
        with m.If((taken & loading.ends) | (sent & patches.ends)):
            m.d.sync += sending.eq(~sending)

        elements = self.i.payload.elements
        m.submodules.volume = volume = Memory(shape=elements.shape(), depth=max(2, p.volume_beats), init=[])
        write, read = volume.write_port(), volume.read_port()
        stages = self.latency - 1
        is_bias = delayed(m, advance, patches.is_bias, stages - 1, "is_bias")[-1]
        mask = Mux(patches.is_bias, Const(1, p.lanes), p.mask(patches.pixel_ends))
        result = self.o.payload
        m.d.comb += [
            write.addr.eq(loading.address),
            write.data.eq(elements),
            write.en.eq(taken),
            read.addr.eq(patches.address),
            read.en.eq(advance),
            self.o.valid.eq(delayed(m, advance, sending, stages, "valid")[-1]),
            result.last.eq(delayed(m, advance, patches.vector_ends, stages, "last")[-1]),
            result.mask.eq(delayed(m, advance, mask, stages, "mask")[-1]),
        ]
        with m.If(advance):
            m.d.sync += result.elements.eq(read.data)
            with m.If(is_bias):
                m.d.sync += result.elements[0].eq(p.one)
        return m


class Im2colBack(Block[Im2colBackParameters]):
    def __init__(self, parameters: Im2colBackParameters) -> None:
        lanes = parameters.lanes
        super().__init__(
            parameters,
            {
                "i": In(stream_of(beat(signed(parameters.magnitude_bits + 1), lanes))),
                "o": Out(stream_of(beat(signed(parameters.sum_bits + 1), lanes))),
            },
        )

    @property
    def adding_stages(self) -> int:
        """Memory; its register; sum, which is then written."""
        return 3

    @property
    def latency(self) -> int:
        """From the last beat of all patches: sums are written; memory; result."""
        return 1 + self.adding_stages + 2

    @property
    def cycles_per_volume(self) -> int:
        """All positions in; sums are written; the volume out."""
        p = self.parameters
        return p.rows * p.columns * p.kernel**2 * p.beats + self.adding_stages + p.volume_beats

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.parameters
        sending, advance, taken, sent, always = Signal(), Signal(), Signal(), Signal(), Const(1)
        valid = delayed(m, advance, sent, 2, "valid")
        # The memory's output register is free: the last beat of the volume before may still wait there.
        free = advance | ~valid[1]
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(~sending & free),
            taken.eq(self.i.valid & self.i.ready),
        ]
        adding = delayed(m, always, taken, self.adding_stages, "adding")
        m.d.comb += sent.eq(sending & advance & ~(adding[1] | adding[2] | adding[3]))
        patches, raster = _patches(m, p, taken, False), _Raster(m, p, sent)
        with m.If((taken & patches.ends) | (sent & raster.ends)):
            m.d.sync += sending.eq(~sending)

        sums = data.ArrayLayout(signed(p.sum_bits + 1), p.lanes)
        m.submodules.volume = volume = Memory(shape=sums, depth=max(2, p.volume_beats), init=[])
        write, read = volume.write_port(), volume.read_port()
        # The first element of a pixel is not added, so nothing needs clearing. The memory is read in stage 0 and written in
        # stage 3. A pixel comes again after two beats or more: two positions that share a pixel have at least two beats of a
        # patch between them. After two, the sum is in stage 3 when it is wanted in stage 1; after three, it has just been
        # written, and is kept for a cycle more.
        elements = delayed(m, always, self.i.payload.elements, 2, "elements")[-1]
        address = delayed(m, always, patches.address, self.adding_stages, "address")
        first = delayed(m, always, patches.first, 1, "first")[-1]
        near, late = Signal(), Signal()
        old, total, written = Signal(sums), Signal(sums), Signal(sums)
        m.d.sync += [
            near.eq(adding[2] & (address[2] == address[0])),
            late.eq(adding[3] & (address[3] == address[0])),
            old.eq(Mux(first, 0, Mux(near, total, Mux(late, written, read.data)))),
            written.eq(total),
        ]
        for lane in range(p.lanes):
            m.d.sync += total[lane].eq(old[lane] + elements[lane])
        m.d.comb += [
            read.addr.eq(Mux(sending, raster.address, patches.address)),
            read.en.eq(free),
            write.addr.eq(address[3]),
            write.data.eq(total),
            write.en.eq(adding[3]),
        ]

        result = self.o.payload
        m.d.comb += [
            self.o.valid.eq(valid[-1]),
            result.last.eq(delayed(m, advance, raster.ends, 2, "last")[-1]),
            result.mask.eq(delayed(m, advance, p.mask(raster.pixel_ends), 2, "mask")[-1]),
        ]
        with m.If(advance):
            m.d.sync += result.elements.eq(read.data)
        return m
