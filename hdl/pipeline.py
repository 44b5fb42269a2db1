"""Pipelines with stream ends: all stages advance together whenever the last one is empty or taken; and what joins streams."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring


def pipeline(m: Module, i: wiring.PureInterface, o: wiring.PureInterface, stages: int) -> tuple[Value, list[Signal]]:
    """Control of a pipeline of ``stages`` registers from stream ``i`` to stream ``o``, one result per input.

    Returns ``advance``, under which the registers of all stages load, and for every stage whether it holds something
    (``valid[k]``: stage k, the last is ``o.valid``). Latency ``stages`` cycles, a beat per cycle. Bubbles are not closed.
    """
    valid = [Signal(name=f"valid_{stage}") for stage in range(stages)]
    advance = Signal()
    m.d.comb += [advance.eq(~o.valid | o.ready), i.ready.eq(advance), o.valid.eq(valid[-1])]
    with m.If(advance):
        m.d.sync += Cat(valid).eq(Cat(i.valid, *valid[:-1]))
    return advance, valid


def registered(m: Module, i: wiring.PureInterface, name: str) -> wiring.PureInterface:
    """Stream ``i`` a cycle later, from registers."""
    o = stream.Signature(i.payload.shape()).create(path=(name,))
    advance, _ = pipeline(m, i, o, 1)
    with m.If(advance):
        m.d.sync += o.payload.eq(i.payload)
    return o


def delayed(m: Module, advance: Value, value: Value | data.View, stages: int, name: str) -> list:
    """``value`` after 0, 1 .. ``stages`` registers of a pipeline."""
    shape = value.shape()
    chain = [value]
    for stage in range(stages):
        register = Signal(shape, name=f"{name}_{stage + 1}")
        with m.If(advance):
            m.d.sync += register.eq(chain[-1])
        chain.append(register)
    return chain


def fork(m: Module, i: wiring.PureInterface, outputs: list[wiring.PureInterface], enable: Value) -> None:
    """Give every word of stream ``i`` to all ``outputs``, each of which takes it in its own time, while ``enable``."""
    taken = [Signal(name=f"taken_{index}") for index in range(len(outputs))]
    done = Cat(had | o.ready for had, o in zip(taken, outputs, strict=True)).all()
    m.d.comb += i.ready.eq(enable & done)
    for had, o in zip(taken, outputs, strict=True):
        m.d.comb += o.valid.eq(enable & i.valid & ~had)
        with m.If(enable & i.valid):
            m.d.sync += had.eq(~done & (had | o.ready))


def counted(m: Module, words: dict[str, Value], sending: Value, step: Value, *, relayed: bool) -> wiring.PureInterface:
    """What counters say, by names, as a stream that is offered while ``sending``; ``step``: they may go on. ``relayed``: the
    way of ``ready`` ends before the counters."""
    shape = data.StructLayout({name: word.shape() for name, word in words.items()})
    stream_of_words = stream.Signature(shape).create(path=("counted",))
    m.d.comb += [stream_of_words.payload[name].eq(word) for name, word in words.items()]
    m.d.comb += [stream_of_words.valid.eq(sending), step.eq(sending & stream_of_words.ready)]
    return relay(m, stream_of_words, "counted") if relayed else stream_of_words


def relay(m: Module, i: wiring.PureInterface, name: str) -> wiring.PureInterface:
    """Stream ``i`` in the same cycle, but with an ``i.ready`` that comes from a register: a word that is not taken at once
    waits here, and the one behind it until that is taken. So long ways of ``ready`` end here."""
    shape = i.payload.shape()
    o = stream.Signature(shape).create(path=(name,))
    waiting, kept = Signal(name=f"{name}_waiting"), Signal(shape, name=f"{name}_kept", reset_less=True)
    m.d.comb += [
        i.ready.eq(~waiting),
        o.valid.eq(i.valid | waiting),
        o.payload.eq(Mux(waiting, kept.as_value(), i.payload.as_value())),
    ]
    m.d.sync += waiting.eq(o.valid & ~o.ready)
    with m.If(~waiting):
        m.d.sync += kept.eq(i.payload)
    return o
