"""The tile as a whole carries out every command once: no vector, read, pulse train or report is lost or made up.

What has gone into the tile and not come out is where its control says it is: in front, in management, in back, in the paths
behind them. Every part is a proof of its own for runs of any length, with stalls and resets at any time. One line a side
and vectors of one beat, as ``SMALL`` of test_tile.py has it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from _pytest.mark import ParameterSet
from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring

from hdl.network.tile import Tile
from hdl.network.tile_parameters import TileParameters
from hdl.network.tile_parts import Blocks, Going, Operation
from sim.contract import ContractHarness, run_of, taken
from sim.formal import Proof
from sim.invariant import by_invariant
from sim.mutation import Fault, faulty_module
from tests.formal.test_tile import SMALL

#: Of counts: of what is in one place, at most one; of all on their way.
ONE, MANY = 2, 4
#: More than a search of the maxima takes, and than management without a division.
MANAGEMENT_CYCLES = 8
LONG = [pytest.mark.slow, pytest.mark.timeout(3600)]


def opened(tile: type[Tile]) -> Tile:
    """A tile whose inside may be claimed about."""

    class Opened(tile):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__(TileParameters(**SMALL))
            self.module = super().elaborate(None)

        def elaborate(self, platform: object) -> Module:
            return self.module

        def _blocks(self) -> Blocks:
            self.blocks = super()._blocks()
            return self.blocks

        def _going(self, blocks: Blocks) -> Going:
            self.going = super()._going(blocks)
            return self.going

    return Opened()


class ConservationHarness(ContractHarness):
    """Commands, vectors and the array's answers come at any time; claims are those of one of ``PARTS``."""

    def __init__(self, part: str, tile: type[Tile] = Tile) -> None:
        self.part = part
        super().__init__(
            opened(tile),
            legal={
                "settings": lambda word: (
                    (word.column_beats == 1)
                    & (word.row_beats == 1)
                    & (word.column_copies == 1)
                    & (word.row_copies == 1)
                    & (word.desired_bl == 1)
                    & (word.pulse_base == 0)
                    & (Value.cast(word.forward_mode) == 0)
                    & (Value.cast(word.backward_mode) == 0)
                    & (Value.cast(word.update_mode) == 0)
                ),
                "command": lambda command: Value.cast(command.operation) <= Operation.UPDATE.value,
                **dict.fromkeys(("x", "delta", "sense"), lambda vector: vector.last & vector.mask.all()),
            },
        )

    def build(self, m: Module) -> None:
        super().build(m)
        PARTS[self.part](self, m)

    def _take(self, m: Module, port: str, interface: wiring.PureInterface) -> None:
        """At any time; that words stay until then is claimed in test_tile.py."""
        m.d.comb += interface.ready.eq(self.free(1, f"{port}_ready"))

    def owed(self, m: Module, name: str, incoming: Value, outgoing: Value, bits: int = ONE) -> Signal:
        """How often the one has happened more than the other. Below 0 it is more than any claim accepts."""
        count = Signal(bits, name=name)
        m.d.sync += count.eq(count + incoming - outgoing)
        self.watch(count, bits, name)
        return count

    # --- which commands are where -----------------------------------------------------------------------------------

    def in_front(self, operation: Operation) -> Value:
        return ~self.block.going.front_idle & (self.block.going.front.operation == operation)

    def in_management(self, operation: Operation) -> Value:
        return self.block.going.managed & (self.block.going.managed_operation == operation)

    def in_back(self, operation: Operation) -> Value:
        return ~self.block.going.back_idle & (self.block.going.operation == operation)

    def commanded(self, operation: Operation) -> Value:
        return taken(self.block.command) & (self.block.command.payload.operation == operation)

    # --- the parts --------------------------------------------------------------------------------------------------

    def claim_reports(self, m: Module) -> None:
        """A report for every command, with what `ends` claims as a lemma."""
        tile, going = self.block, self.block.going
        self.claim_ends(m)
        owed = self.owed(m, "reports", taken(tile.command), taken(tile.report), MANY)
        where = (~going.front_idle, going.managed, ~going.back_idle, going.pulses_on_their_way, going.reporting)
        self.claim("reports", owed == sum(where))

    def claim_ends(self, m: Module) -> None:
        """The end of an update cycle is on its way to the array when the tile says so, and never two of them."""
        tile, words = self.block, self.block.blocks.probability.i
        ends = self.owed(m, "ends", passes(words, sideband=1), passes(tile.pulse, side=1))
        self.claim("ends", ends == tile.going.pulses_on_their_way)

    def claim_vectors(self, m: Module) -> None:
        """An x for every forward and update, a delta for every backward and update."""
        tile, going = self.block, self.block.going
        forward, backward, update = map(self.commanded, Operation)
        x = self.owed(m, "x", forward | update, passes(tile.x))
        delta = self.owed(m, "delta", backward | update, passes(tile.delta))
        self.claim("x", x == (going.loading & ~going.rows_loaded))
        second = self.in_front(Operation.UPDATE) & ~going.rows_loaded
        self.claim("delta", delta == ((going.loading & going.rows_loaded) | second))

    def claim_reads(self, m: Module) -> None:
        """The array is driven with one vector, then sensed once."""
        tile, going = self.block, self.block.going
        driven = self.owed(m, "driven", passes(tile.blocks.converter.i), passes(tile.drive))
        sensed = self.owed(m, "sensed", passes(tile.drive), passes(tile.sense))
        self.claim("driven", driven <= going.reading)
        self.claim("sensed", sensed <= (~going.back_idle & ~going.reading))

    def claim_accepted(self, m: Module) -> None:
        """An accepted read goes once through every step behind it, while the tile says so."""
        blocks, delivering = self.block.blocks, self.block.going.delivering
        steps = (blocks.held.o, blocks.restore.i, blocks.restore.o, blocks.mean.i, blocks.mean.o, blocks.scale_back.i)
        keeps = taken(blocks.held.send) & blocks.held.send.payload.keep
        passed = [keeps, *map(passes, steps)]
        counts = [self.owed(m, f"step_{step}", *ends) for step, ends in enumerate(pairwise(passed))]
        for step, count in enumerate(counts):
            self.claim(f"step_{step}", count <= delivering)
        self.claim("accepted", sum(counts) == delivering)

    def claim_results(self, m: Module) -> None:
        """A result for the last scaling for every forward and backward."""
        going, scaled = self.block.going, self.block.blocks.scale_back.i
        self.suppose(~passes(scaled) | going.delivering)  # as `accepted` claims
        for side, operation in enumerate((Operation.FORWARD, Operation.BACKWARD)):
            name = f"results_{side}"
            owed = self.owed(m, name, self.commanded(operation), passes(scaled, sideband=side), MANY)
            delivered = going.delivering & (going.delivery.backward == side)
            where = (self.in_front(operation), self.in_management(operation), self.in_back(operation), delivered)
            self.claim(name, owed == sum(where))

    def claim_scaled(self, m: Module) -> None:
        """y and z are what the last scaling was given for them."""
        scaler = self.block.blocks.scale_back
        for side, port in enumerate((self.block.y, self.block.z)):
            owed = self.owed(m, f"scaled_{side}", passes(scaler.i, sideband=side), passes(port), MANY)
            self.claim(f"scaled_{side}", owed <= scaler.latency)

    def claim_words(self, m: Module) -> None:
        """Probability words of both sides for every update."""
        going, words = self.block.going, self.block.blocks.probability.i
        update = Operation.UPDATE
        for side, left in enumerate((self.in_back(update) & ~going.rows_sent, self.in_back(update))):
            owed = self.owed(m, f"words_{side}", self.commanded(update), passes(words, sideband=side), MANY)
            self.claim(f"words_{side}", owed == self.in_front(update) + self.in_management(update) + left)

    def claim_pulses(self, m: Module) -> None:
        """Pulses of a side for every vector of its words."""
        blocks = self.block.blocks
        words, generator = blocks.probability.o, blocks.pulse_generator
        for side in (0, 1):
            waiting = self.owed(m, f"waiting_{side}", passes(words, sideband=side), passes(generator.i, sideband=side))
            drawn = self.owed(
                m, f"drawn_{side}", passes(generator.i, sideband=side), passes(self.block.pulse, side=side)
            )
            self.claim(f"waiting_{side}", waiting <= 1)
            self.claim(f"drawn_{side}", drawn <= generator.latency)

    def claim_answers(self, m: Module) -> None:
        """An answer for every access that reads."""
        tile = self.block
        reads = taken(tile.access) & ~tile.access.payload.write
        self.claim("answers", self.owed(m, "answers", reads, taken(tile.answer)) <= 1)

    def claim_management(self, m: Module) -> None:
        """Maxima are found, and what comes of them is taken by back, in a few cycles once that is free."""
        going = self.block.going
        searching = ~going.front_idle & ~going.loading & ~going.managed
        waiting = going.managed & going.back_idle & ~going.pulses_on_their_way
        for name, condition in (("searching", searching), ("waiting", waiting)):
            self.claim(name, run_of(m, condition, MANAGEMENT_CYCLES, name) < MANAGEMENT_CYCLES)


PARTS: dict[str, Callable[[ConservationHarness, Module], None]] = {
    name.removeprefix("claim_"): method
    for name, method in vars(ConservationHarness).items()
    if name.startswith("claim_")
}


def passes(stream: wiring.PureInterface, **fields: int) -> Value:
    """Whether the last beat of a vector is taken, with these fields."""
    passing = taken(stream) & stream.payload.last
    for name, value in fields.items():
        passing &= stream.payload[name] == value
    return passing


def conserved(part: str, tile: type[Tile] = Tile) -> Proof:
    return by_invariant(ConservationHarness(part, tile))


#: Proofs that take seconds.
SHORT = ("answers", "management")


def parts() -> list[str | ParameterSet]:
    return [part if part in SHORT else pytest.param(part, marks=LONG) for part in PARTS]


@pytest.mark.parametrize("part", parts())
def test_conservation(part: str) -> None:
    proof = conserved(part)
    assert proof, proof


#: For every part, text of the tile, and what in its place breaks that part within some twenty cycles: longer runs are hard to
#: find.
FAULTS = {
    "reports": ("free = ~(end & going.reporting)", "free = ~(end & 0)"),
    "ends": ("rows.payload.last & going.pulses_on_their_way):", "rows.payload.last & going.reporting):"),
    "vectors": ("m.d.sync += going.rows_loaded.eq(1)", "m.d.sync += going.rows_loaded.eq(0)"),
    "reads": ("with m.If(_last_passes(self.drive)):", "with m.If(self.drive.valid):"),
    "accepted": ("valid.eq(held.valid & going.delivering)", "valid.eq(held.valid | going.loading)"),
    "results": ("managed_operation.eq(front.operation)", "managed_operation.eq(Operation.FORWARD)"),
    "scaled": ("target.valid.eq(result.valid & chosen)", "target.valid.eq(result.valid & chosen | going.loading)"),
    "words": ("rows_sent.eq(operation == Operation.BACKWARD)", "rows_sent.eq(operation != Operation.FORWARD)"),
    "pulses": (
        "target.i.valid.eq(source.valid),\n            source.ready",
        "target.i.valid.eq(source.valid | going.loading),\n            source.ready",
    ),
    "answers": (
        "wiring.connect(m, target.answer, wiring.flipped(self.answer))",
        "m.d.comb += [self.answer.valid.eq(target.answer.valid), target.answer.ready.eq(1)]",
    ),
    "management": ("with m.Elif(~going.managed):", "with m.Elif(~going.managed & ~self.x.valid):"),
}


def test_every_part_has_a_fault() -> None:
    assert FAULTS.keys() == PARTS.keys()


@pytest.mark.parametrize("part", parts())
def test_fails_with_a_fault(part: str) -> None:
    with faulty_module(Fault("hdl/network/tile.py", *FAULTS[part], f"no {part}")) as module:
        assert not conserved(part, module.Tile)
