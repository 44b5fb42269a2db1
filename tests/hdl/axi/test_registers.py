"""The wrapper's own words are answered while the network takes nothing, and the network sees none of their accesses."""

from __future__ import annotations

from amaranth.sim import Simulator, SimulatorContext

from hdl.axi.registers import OWN_SPACE, OwnRegister, Registers
from hdl.block import warnings_as_errors
from hdl.network.host import address_of


def test_own_words_need_no_network() -> None:
    registers = Registers(address_bits=6)
    bus, reply = registers.bus, registers.reply
    ended = []

    async def access(context: SimulatorContext, write: int, register: OwnRegister, word: int = 0) -> None:
        payload = {"write": write, "address": address_of(OWN_SPACE, register.value), "data": word}
        context.set(bus.payload, payload)
        context.set(bus.valid, 1)
        assert context.get(bus.ready) and not context.get(registers.onward.valid)
        await context.tick()
        context.set(bus.valid, 0)

    async def bench(context: SimulatorContext) -> None:
        context.set(registers.passed, 1)
        await context.tick().repeat(3)
        context.set(registers.passed, 0)
        await access(context, 1, OwnRegister.DROPPED, 1 << 40)
        assert context.get(registers.some_dropped)
        for register, count in ((OwnRegister.PACKETS, 3), (OwnRegister.DROPPED, 1 << 40)):
            await access(context, 0, register)
            for _ in range(3):
                assert context.get(reply.valid) and context.get(reply.payload.data) == count
                await context.tick()
            context.set(reply.ready, 1)
            await context.tick()
            context.set(reply.ready, 0)
            assert not context.get(reply.valid)
        ended.append(True)

    simulator = Simulator(registers)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    with warnings_as_errors():
        simulator.run_until(1e-4)
    assert ended, "hung"
