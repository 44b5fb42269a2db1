"""How the lines of an array lie in beats: its columns and rows, as vectors and as physical lines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

from emulator.config import Stage
from hdl.shapes import Segments


@dataclass(frozen=True)
class ArrayLines:
    """``columns`` and ``rows``: segments of one copy. A replicated side is ``copies`` of its segments, one after another."""

    columns: Segments
    rows: Segments
    column_copies: int
    row_copies: int

    @classmethod
    def of(cls, stage: Stage, lanes: int) -> ArrayLines:
        """The pixels of a patch, or of the whole input, are segments of the columns; so is the bias line, which is last."""
        pixels, copies = stage.inputs // stage.channels, stage.array.replication
        return cls(
            columns=Segments((stage.channels,) * pixels + (1,) * stage.layer.bias, lanes),
            rows=Segments((stage.rows,), lanes),
            column_copies=1 if stage.replicate_rows else copies,
            row_copies=copies if stage.replicate_rows else 1,
        )

    @property
    def physical_columns(self) -> Segments:
        return Segments(self.columns.lengths * self.column_copies, self.columns.lanes)

    @property
    def physical_rows(self) -> Segments:
        return Segments(self.rows.lengths * self.row_copies, self.rows.lanes)

    @property
    def update_beats(self) -> int:
        """Of an update cycle: all columns, then all rows."""
        return self.physical_columns.beats + self.physical_rows.beats

    @property
    def shareable(self) -> int:
        """Lines that share a pulse generator lie in one beat if their number divides this one: lanes, and the number of the
        first line of every segment."""
        sides = (self.physical_rows, self.physical_columns)
        starts = (start for side in sides for start in list(accumulate(side.lengths, initial=0))[:-1])
        return math.gcd(self.columns.lanes, *starts)
