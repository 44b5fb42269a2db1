"""Addresses, and the rules of the channels that no other side shows by chance. All else: tests/cosim/test_axi.py."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Const, Value
from amaranth.sim import Simulator, SimulatorContext

from hdl.axi.axi_lite import AxiLite, byte_address
from hdl.block import warnings_as_errors
from hdl.network.host import address_of


def everywhere(bus_address: Value) -> Value:
    return Const(1)


def simulate(axi_lite: AxiLite, bench: Any) -> None:
    """Fails if the bench does not come to its end."""
    simulator = Simulator(axi_lite)
    simulator.add_clock(1e-6)
    ended = []

    async def whole(context: SimulatorContext) -> None:
        await bench(context)
        ended.append(True)

    simulator.add_testbench(whole)
    with warnings_as_errors():
        simulator.run_until(1e-3)
    assert ended, "hung"


def test_byte_addresses() -> None:
    assert byte_address(address_of(0, 1)) == 0x8
    assert byte_address(address_of(5, 0x1234)) == 0x5000_91A0
    assert byte_address(address_of(15, (1 << 25) - 1)) == 0xFFFF_FFF8
    with pytest.raises(ValueError, match="offset 0x2000000: accepted: below 0x2000000"):
        byte_address(address_of(1, 1 << 25))


@pytest.mark.parametrize("data_first", (False, True))
def test_address_and_data_come_in_either_order_and_responses_wait_for_both(data_first: bool) -> None:
    axi_lite = AxiLite(everywhere)
    axi, bus = axi_lite.axi, axi_lite.bus

    async def offer(context: SimulatorContext, valid: Any, ready: Any) -> None:
        context.set(valid, 1)
        await context.tick().until(ready)
        context.set(valid, 0)

    async def bench(context: SimulatorContext) -> None:
        context.set(axi.awaddr, byte_address(address_of(3, 9)))
        context.set(axi.wdata, 0x0123_4567_89AB_CDEF)
        context.set(axi.wstrb, 0xFF)
        first, second = (axi.awvalid, axi.awready), (axi.wvalid, axi.wready)
        if data_first:
            first, second = second, first
        await offer(context, *first)
        for _ in range(5):
            await context.tick()
            assert not context.get(bus.valid) and not context.get(axi.bvalid)
        await offer(context, *second)
        # Neither the bus nor the manager is ready, and yet both are offered what is theirs.
        await context.tick().until(bus.valid)
        assert not context.get(axi.bvalid)
        word = context.get(bus.payload)
        assert (word.write, word.address, word.data) == (1, address_of(3, 9), 0x0123_4567_89AB_CDEF)
        context.set(bus.ready, 1)
        await context.tick()
        context.set(bus.ready, 0)
        for _ in range(3):
            await context.tick()
            assert context.get(axi.bvalid) and context.get(axi.bresp) == 0 and not context.get(bus.valid)
        context.set(axi.bready, 1)
        await context.tick()
        assert not context.get(axi.bvalid)

    simulate(axi_lite, bench)


def test_reads_and_writes_that_all_wait_take_turns() -> None:
    axi_lite = AxiLite(everywhere)
    axi, bus, reply = axi_lite.axi, axi_lite.bus, axi_lite.reply
    order = []

    async def bench(context: SimulatorContext) -> None:
        for pin in (axi.awvalid, axi.wvalid, axi.arvalid, axi.bready, axi.rready, bus.ready, reply.valid):
            context.set(pin, 1)
        context.set(axi.wstrb, 0xFF)
        while len(order) < 10:
            *_, valid, write = await context.tick().sample(bus.valid, bus.payload.write)
            if valid:
                order.append(write)

    simulate(axi_lite, bench)
    assert order in ([0, 1] * 5, [1, 0] * 5)


@pytest.mark.parametrize("write", (False, True))
def test_a_response_that_is_not_taken_holds_back_the_next_access(write: bool) -> None:
    axi_lite = AxiLite(everywhere)
    axi, bus, reply = axi_lite.axi, axi_lite.bus, axi_lite.reply
    valid, ready = (axi.bvalid, axi.bready) if write else (axi.rvalid, axi.rready)

    async def bench(context: SimulatorContext) -> None:
        for pin in (axi.awvalid, axi.wvalid) if write else (axi.arvalid,):
            context.set(pin, 1)
        for pin in (bus.ready, reply.valid):
            context.set(pin, 1)
        context.set(axi.wstrb, 0xFF)
        context.set(reply.payload.data, 1)
        await context.tick().until(valid)
        # The next address is held by now; what is offered after it has to wait.
        context.set(axi.awaddr if write else axi.araddr, byte_address(address_of(2, 1)))
        context.set(reply.payload.data, 2)
        for _ in range(10):
            await context.tick()
            assert context.get(valid) and not context.get(bus.valid)
            assert write or context.get(axi.rdata) == 1
        context.set(ready, 1)
        await context.tick()
        context.set(ready, 0)
        *_, address = await context.tick().sample(bus.payload.address).until(bus.valid)
        assert address == 0

    simulate(axi_lite, bench)
