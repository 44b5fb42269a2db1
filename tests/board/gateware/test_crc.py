"""The CRC is zlib's, can be taken byte by byte, and leaves the residue."""

from __future__ import annotations

import random
import zlib

import pytest
from amaranth.sim import SimulatorContext

from board.gateware.crc import CRC_BYTES, RESIDUE, Crc32
from tests.board.gateware.bench import Bench


async def feed(context: SimulatorContext, crc: Crc32, byte: int, *, drop: bool = False) -> None:
    context.set(crc.byte, byte)
    context.set(crc.drop, drop)
    context.set(crc.update, 1)
    await context.tick()
    context.set(crc.update, 0)
    cycles = 0
    while context.get(crc.busy):
        await context.tick()
        cycles += 1
    assert cycles == 8


@pytest.mark.parametrize("seed", range(4))
def test_crc_of_random_bytes(seed: int) -> None:
    chance = random.Random(seed)
    crc = Crc32()
    bench = Bench(crc)

    async def conduct(context: SimulatorContext) -> None:
        for length in (0, 1, 2, 9, 30):
            content = chance.randbytes(length)
            context.set(crc.clear, 1)
            await context.tick()
            context.set(crc.clear, 0)
            for byte in content:
                await feed(context, crc, byte)
            expected = zlib.crc32(content)
            assert ~context.get(crc.register) & 0xFFFFFFFF == expected
            if seed % 2:
                for byte in expected.to_bytes(CRC_BYTES, "little"):
                    await feed(context, crc, byte)
                assert context.get(crc.register) == RESIDUE
            else:
                taken = []
                for _ in range(CRC_BYTES):
                    taken.append(~context.get(crc.register) & 0xFF)
                    await feed(context, crc, chance.randrange(256), drop=True)
                assert bytes(taken) == expected.to_bytes(CRC_BYTES, "little")

    bench.run(conduct)


def test_crc_of_every_byte() -> None:
    crc = Crc32()
    bench = Bench(crc)

    async def conduct(context: SimulatorContext) -> None:
        for byte in range(256):
            await feed(context, crc, byte)
        assert ~context.get(crc.register) & 0xFFFFFFFF == zlib.crc32(bytes(range(256)))

    bench.run(conduct)
