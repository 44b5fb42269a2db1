"""What differs from array to array and comes to the tile at run time: the words of its stream ``settings``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate

from amaranth.hdl import signed
from amaranth.lib import data

from emulator.config import Stage
from emulator.fixed import GAIN_BITS
from hdl.network.array_lines import ArrayLines
from hdl.network.tile_parameters import TileParameters
from hdl.periphery.average import MOST_GUARD_BITS, reciprocal_of
from hdl.periphery.noise_management import EXPONENT, Mode, mode_of
from hdl.shapes import record, width_for

#: The shift of a mantissa.
SHIFT = signed(8)


def settings_layout(parameters: TileParameters) -> data.StructLayout:
    """The word of the stream."""
    p = parameters
    return record(
        column_beats=width_for(p.column_beats),
        row_beats=width_for(p.row_beats),
        column_copies=width_for(p.column_copies),
        row_copies=width_for(p.row_copies),
        average_reciprocal=width_for(reciprocal_of(1)),
        guard_bits=width_for(MOST_GUARD_BITS),
        forward_mode=Mode,
        backward_mode=Mode,
        forward_exponent=EXPONENT,
        backward_exponent=EXPONENT,
        forward_bound=width_for(p.halvings),
        backward_bound=width_for(p.halvings),
        update_mode=Mode,
        gain_mantissa=GAIN_BITS,
        gain_shift=SHIFT,
        power_mantissa=GAIN_BITS,
        power_shift=SHIFT,
        desired_bl=width_for(p.desired_bl),
        pulse_base=width_for(p.pulse_beats - 1),
    )


@dataclass(frozen=True)
class TileSettings:
    """Of an array. Beats are those of one copy."""

    column_beats: int
    row_beats: int
    column_copies: int
    row_copies: int
    average_reciprocal: int
    guard_bits: int
    forward_mode: Mode
    backward_mode: Mode
    forward_exponent: int  # of mode constant, else 0
    backward_exponent: int
    forward_bound: int  # most halvings
    backward_bound: int
    update_mode: Mode
    gain_mantissa: int
    gain_shift: int
    power_mantissa: int
    power_shift: int
    desired_bl: int
    pulse_base: int  # its first beat in the memory of the pulse generators: columns of all copies, then rows

    @classmethod
    def of(cls, stage: Stage, parameters: TileParameters, pulse_base: int) -> TileSettings:
        """For a tile with ``parameters``. Raises ValueError if that cannot hold the array there."""
        lines, update = ArrayLines.of(stage, parameters.lanes), stage.array.update
        needed = TileParameters.of(stage, parameters.lanes)
        missing = parameters.lacks(needed, pulse_base)
        if missing:
            raise ValueError(f"{stage.place}: this tile lacks {missing}: accepted: what its parameters hold")
        return cls(
            column_beats=lines.columns.beats,
            row_beats=lines.rows.beats,
            column_copies=lines.column_copies,
            row_copies=lines.row_copies,
            average_reciprocal=stage.average_reciprocal,
            guard_bits=stage.average_guard_bits,
            forward_mode=mode_of(stage.forward.noise_management),
            backward_mode=mode_of(stage.backward.noise_management),
            forward_exponent=stage.forward.constant_exponent,
            backward_exponent=stage.backward.constant_exponent,
            forward_bound=stage.forward.bound_management,
            backward_bound=stage.backward.bound_management,
            update_mode=mode_of(update.management),
            gain_mantissa=stage.pulse_gain[0],
            gain_shift=stage.pulse_gain[1],
            power_mantissa=stage.pulse_power[0],
            power_shift=stage.pulse_power[1],
            desired_bl=update.desired_bl,
            pulse_base=pulse_base,
        )

    @classmethod
    def of_stages(cls, stages: Sequence[Stage], parameters: TileParameters) -> tuple[TileSettings, ...]:
        """Of all arrays of a network, one after the other in the memory of the pulse generators."""
        beats = [ArrayLines.of(stage, parameters.lanes).update_beats for stage in stages]
        bases = accumulate(beats[:-1], initial=0)
        return tuple(cls.of(stage, parameters, base) for stage, base in zip(stages, bases, strict=True))

    def word(self) -> dict[str, int]:
        """The word of stream ``settings``."""
        return {name: value.value if isinstance(value, Mode) else value for name, value in asdict(self).items()}
