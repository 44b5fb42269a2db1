"""Native simulation: every block equal to the golden model, and what the library, its cache and its queues promise."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import vcd.reader

from hdl.blocks import BLOCKS
from sim import native_build, runner
from sim.native import Native, NativeError, run_native
from sim.payload import limbs_of
from sim.runner import Design, SimulationError
from sim.small import work
from sim.transactions.base import Transactions

#: Blocks that compile in seconds, with payloads of one limb and of several.
QUICK = ("divider", "lfsr", "max_search", "tile")
STALL = 0.4


# --- a hand-written design ------------------------------------------------------------------------------------------

#: One of every type that a pin can have in Verilated C++: 8, 16, 32, 64 bits, and wide with even and odd words.
WIDTHS = (1, 8, 16, 32, 33, 64, 65, 96, 200)

STAGE = """
module stage #(parameter WIDTH = 1) (
    input clk, input rst, input i_valid, input [WIDTH-1:0] i_payload, output i_ready,
    output reg o_valid, output reg [WIDTH-1:0] o_payload, input o_ready
);
  assign i_ready = !o_valid | o_ready;
  always @(posedge clk)
    if (rst) o_valid <= 1'b0;
    else if (i_ready) begin o_valid <= i_valid; o_payload <= i_payload; end
endmodule
"""


def stream(direction: str, width: int) -> dict[str, Any]:
    return {"direction": direction, "width": width, "fields": {}}


def stages() -> Design:
    """A register behind every input ``iN``, whose words come out of ``oN``."""
    ports, bodies, streams = ["input clk, input rst"], [], {}
    for number, width in enumerate(WIDTHS):
        i, o = f"i{number}", f"o{number}"
        ports.append(f"input {i}__valid, input [{width - 1}:0] {i}__payload, output {i}__ready")
        ports.append(f"output {o}__valid, output [{width - 1}:0] {o}__payload, input {o}__ready")
        pins = ", ".join(
            f".{side}_{pin}({s}__{pin})" for side, s in (("i", i), ("o", o)) for pin in ("valid", "payload", "ready")
        )
        bodies.append(f"  stage #({width}) stage{number} (.clk(clk), .rst(rst), {pins});")
        streams |= {i: stream("in", width), o: stream("out", width)}
    verilog = "\n".join([STAGE, f"module stages ({', '.join(ports)});", *bodies, "endmodule", ""])
    return Design(verilog, {"block": "stages", "latency": 1, "cycles_per_beat": 1, "streams": streams})


def faulty() -> Design:
    """Outputs that break the contract: ``falls`` offers a word every other cycle, ``changes`` another one every cycle."""
    verilog = """
module faulty (
    input clk, input rst, output falls__valid, output [7:0] falls__payload, input falls__ready,
    output changes__valid, output [7:0] changes__payload, input changes__ready
);
  reg [7:0] count = 8'd0;
  always @(posedge clk) count <= count + 8'd1;
  assign falls__valid = count[0];
  assign falls__payload = 8'd1;
  assign changes__valid = 1'b1;
  assign changes__payload = count;
endmodule
"""
    streams = {name: stream("out", 8) for name in ("falls", "changes")}
    return Design(verilog, {"block": "faulty", "latency": 1, "cycles_per_beat": 1, "streams": streams})


def late() -> Design:
    """An output that offers its word from the fifth cycle after reset on."""
    verilog = """
module late (input clk, input rst, output o__valid, output [7:0] o__payload, input o__ready);
  reg [2:0] count = 3'd0;
  always @(posedge clk) count <= rst ? 3'd0 : o__valid ? count : count + 3'd1;
  assign o__valid = count == 3'd5;
  assign o__payload = 8'd1;
endmodule
"""
    return Design(verilog, {"block": "late", "latency": 1, "cycles_per_beat": 1, "streams": {"o": stream("out", 8)}})


def drawn_words(width: int, count: int, seed: int = 1) -> np.ndarray:
    words = np.random.default_rng([seed, width]).integers(0, 1 << 64, (count, limbs_of(width)), np.uint64)
    words[:, -1] >>= np.uint64(-width % 64)
    return words


# --- equality -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BLOCKS]
)
def test_every_block_gives_the_golden_words(name: str) -> None:
    design, transactions = work(name)
    expected = {port: len(transactions.expected(port)) for phase in transactions.phases for port in phase.outputs}
    fast = run_native(design, transactions)
    assert fast.compared == expected
    for seed in (1, 2):
        slow = run_native(design, transactions, stall=STALL, seed=seed)
        assert slow.compared == expected
        assert slow.cycles > fast.cycles


def test_quick_blocks_exist() -> None:
    assert set(QUICK) <= set(BLOCKS)


def test_a_wrong_word_is_caught() -> None:
    design, transactions = work("divider")
    words = list(transactions.outputs["o"])
    words[-1] = {**words[-1], "remainder": words[-1]["remainder"] ^ 1}
    with pytest.raises(SimulationError, match="o, word 11: remainder"):
        run_native(design, Transactions(transactions.inputs, {"o": words}))


def test_a_missing_word_is_caught() -> None:
    design, transactions = work("divider")
    words = [*transactions.outputs["o"], transactions.outputs["o"][0]]
    with pytest.raises(SimulationError, match=r"hung after \d+ cycles: o has 12 of 13 words$"):
        run_native(design, Transactions(transactions.inputs, {"o": words}))


def test_a_word_too_many_is_caught() -> None:
    design, transactions = work("divider")
    with pytest.raises(SimulationError, match="12 words, expected 11"):
        run_native(design, Transactions(transactions.inputs, {"o": transactions.outputs["o"][:-1]}))


# --- queues and runs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stall", (0.0, STALL))
def test_words_of_every_width_pass_unchanged(stall: float) -> None:
    native = Native(stages())
    native.stall(stall)
    words = {number: drawn_words(width, 200) for number, width in enumerate(WIDTHS)}
    for number, fed in words.items():
        native.feed(f"i{number}", fed)
    native.run({f"o{number}": 200 for number in words}, limit=2000)
    for number, fed in words.items():
        np.testing.assert_array_equal(native.take(f"o{number}"), fed)


def test_a_run_ends_with_the_word_it_waits_for() -> None:
    native = Native(stages())
    native.feed("i1", drawn_words(8, 10))
    assert native.run({"o1": 1}, limit=100) == 2  # one into the stage, one out of it
    assert native.waiting("o1") == 1
    assert native.run({"o1": 1}, limit=100) == 0
    assert native.run({"o1": 4}, limit=100) == 3
    np.testing.assert_array_equal(native.take("o1", 3), drawn_words(8, 10)[:3])
    assert (native.waiting("o1"), native.waiting("i1"), native.cycles) == (1, 5, 5)
    assert native.run(limit=100, drain=True) == 5
    native.clock(3)
    np.testing.assert_array_equal(native.take("o1"), drawn_words(8, 10)[3:])
    assert native.cycles == 13


def test_feeding_and_taking_in_parts_is_the_same() -> None:
    native, words, seen = Native(stages()), drawn_words(96, 1000), []
    for start in range(0, 1000, 70):
        native.feed("i7", words[start : start + 70])
        native.clock(50)
        seen.append(native.take("o7", native.waiting("o7") // 2))
    native.run(limit=2000, drain=True)
    native.clock(2)
    np.testing.assert_array_equal(np.concatenate([*seen, native.take("o7")]), words)


def test_a_hang_says_what_waits() -> None:
    native = Native(stages())
    native.stall({"o1": 0.999999})
    native.feed("i0", drawn_words(1, 2))
    native.feed("i1", drawn_words(8, 5))
    with pytest.raises(
        NativeError, match=r"^stages: hung after 50 cycles: o0 has 2 of 3 words; o1 has 0 of 5 words; i1 has 4 "
    ):
        native.run({"o0": 3, "o1": 5}, limit=50)
    native.stall(0.0)
    native.run({"o1": 5}, limit=50)


def test_reset_empties_queues_and_pins() -> None:
    native, words = Native(stages()), drawn_words(65, 9)
    native.feed("i6", words)
    native.run({"o6": 3}, limit=20)
    native.reset()
    assert (native.cycles, native.waiting("i6"), native.waiting("o6")) == (0, 0, 0)
    native.clock(20)
    assert native.waiting("o6") == 0
    native.feed("i6", words)
    assert native.run({"o6": 9}, limit=20) == 10


def test_reset_ends_though_no_stream_moves() -> None:
    native = Native(late())
    native.stall(0.999999)
    native.reset()
    native.clock(20)
    native.stall(0.0)
    assert native.run({"o": 1}, limit=20) == 1


def test_stalls_are_as_often_as_said_and_follow_the_seed() -> None:
    def cycles(seed: int, **chances: float) -> int:
        native = Native(stages())
        native.stall(chances, seed=seed)
        native.feed("i1", drawn_words(8, 4000))
        return native.run({"o1": 4000}, limit=100_000)

    assert cycles(1) == 4001
    assert 15_000 < cycles(1, o1=0.75) < 17_000
    assert 15_000 < cycles(1, i1=0.75) < 17_000
    assert cycles(3, i1=0.5, o1=0.5) == cycles(3, i1=0.5, o1=0.5) != cycles(4, i1=0.5, o1=0.5)


@pytest.mark.parametrize(
    ("port", "message"), [("falls", "falls: valid fell"), ("changes", "changes: the word changed")]
)
def test_a_broken_contract_is_reported(port: str, message: str) -> None:
    native = Native(faulty())
    native.run({"falls": 100, "changes": 100}, limit=1000)
    native.stall({port: 0.5})
    with pytest.raises(NativeError, match=message):
        native.clock(1000)


def test_instances_do_not_disturb_each_other() -> None:
    (design, _), words = work("lfsr"), np.arange(1, 500, dtype=np.uint64)

    def drive(native: Native, seed: int) -> None:
        native.stall(STALL, seed=seed)
        native.send("i", state=words * np.uint64(seed))

    alone = []
    for seed in (1, 2):
        native = Native(design)
        drive(native, seed)
        native.run({"o": len(words)}, limit=10_000)
        alone.append((native.cycles, native.take("o")))
    first, second, other = Native(design), Native(design), Native(stages())
    drive(first, 1)
    drive(second, 2)
    other.feed("i8", drawn_words(200, 300))
    for count in range(1, len(words) + 1):
        first.run({"o": count}, limit=1000)
        second.run({"o": count}, limit=1000)
        other.clock(1)
    second.close()
    for native, (cycles, seen) in ((first, alone[0]),):
        assert native.cycles == cycles
        np.testing.assert_array_equal(native.take("o"), seen)
    np.testing.assert_array_equal(other.take("o8"), drawn_words(200, 300))


def test_fields_go_in_and_come_out() -> None:
    design, transactions = work("lfsr")
    native = Native(design)
    states = [payload["state"] for payload in transactions.inputs["i"]]
    native.send("i", state=np.array(states, np.uint64))
    native.run({"o": len(states)}, limit=1000)
    seen = native.receive("o")
    assert [{name: int(array[n]) for name, array in seen.items()} for n in range(len(states))] == transactions.outputs[
        "o"
    ]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda native: native.feed("o0", drawn_words(1, 1)), "input stream 'o0': accepted: i0, i1"),
        (lambda native: native.take("i0"), "output stream 'i0': accepted: o0, o1"),
        (lambda native: native.run({"i0": 1}, limit=1), "output stream 'i0'"),
        (lambda native: native.stall({"none": 0.5}), "stream 'none': accepted: i0, o0"),
        (lambda native: native.stall(1.0), "stream i0: stall 1.0: accepted: 0 .. below 1"),
        (lambda native: native.take("o0", 1), "o0: 1 words asked for; accepted: up to 0"),
        (lambda native: native.feed("i1", np.array([[256]], np.uint64)), "i1: a word has more bits; accepted: 8"),
        (lambda native: native.feed("i1", np.array([1], np.uint64)), r"i1: words uint64 \(1,\): accepted: uint64 \(count, 1\)"),
        (lambda native: native.feed("i1", np.array([[1]])), r"i1: words int64 \(1, 1\): accepted"),
        (lambda native: native.start_waves("dump.vcd"), r"built without waves; accepted: Native\(design, waves=True\)"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line(act: Callable[[Native], None], message: str) -> None:
    with pytest.raises(NativeError, match=message) as raised:
        act(Native(stages()))
    assert "\n" not in str(raised.value)


def test_waves_cover_the_window(tmp_path: Path) -> None:
    native = Native(work("lfsr")[0], waves=True)
    native.send("i", state=np.arange(1, 100, dtype=np.uint64))
    windows = []
    for number, cycles in enumerate((10, 20)):
        native.clock(5)
        path = tmp_path / f"{number}.vcd"
        native.start_waves(path)
        native.clock(cycles)
        native.stop_waves()
        with open(path, "rb") as file:
            tokens = list(vcd.reader.tokenize(file))
        names = {token.data.reference for token in tokens if token.kind is vcd.reader.TokenKind.VAR}
        assert {"i__valid", "o__payload"} <= names
        windows.append([token.data for token in tokens if token.kind is vcd.reader.TokenKind.CHANGE_TIME])
        assert len(windows[-1]) == 2 * cycles
    assert windows[1][0] - windows[0][-1] == 2 * 5 + 1
    with pytest.raises(OSError, match="No such file"):
        native.start_waves(tmp_path / "none" / "dump.vcd")


# --- builds ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(runner, "CACHE", tmp_path / "sim")
    return tmp_path / "sim"


def never(*_: object) -> Path:
    raise AssertionError("built")


def test_a_design_that_was_built_is_not_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    design, transactions = work("lfsr")
    run_native(design, transactions)
    monkeypatch.setattr(native_build, "_build", never)
    run_native(design, transactions)
    for other in (
        replace(design, verilog=design.verilog + "\n"),
        replace(design, description={**design.description, "latency": 7}),
    ):
        with pytest.raises(AssertionError, match="built"):
            Native(other)
    monkeypatch.setattr(native_build, "VERILATOR_FLAGS", {**native_build.VERILATOR_FLAGS, "-O2": "another"})
    with pytest.raises(AssertionError, match="built"):
        Native(design)


def test_builds_at_the_same_time_do_not_meet(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = Barrier(2)

    def build(design: Design, compiler: str, waves: bool, folder: Path) -> Path:
        (folder / "result").mkdir()
        (folder / "result" / native_build.LIBRARY).write_text("library")
        together.wait()
        return folder / "result"

    monkeypatch.setattr(native_build, "_build", build)
    design, _ = work("lfsr")
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: native_build.library(design, waves=False), range(2))
    assert first == second
    assert first.read_text() == "library"
    assert list(cache.iterdir()) == [first.parent]


def test_an_interrupted_build_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, command: list[str], **options: Any) -> None:
            super().__init__(command, **options)
            if "--dry-run" not in command and command[0] == "make":
                started.append(self)
                raise_at_first_line(self)

    def raise_at_first_line(process: Any) -> None:
        class Output:
            def __iter__(self) -> Output:
                return self

            def __next__(self) -> str:
                raise KeyboardInterrupt

            def close(self) -> None:
                pass

        process.stdout.close()
        process.stdout = Output()

    monkeypatch.setattr(native_build.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        native_build.library(work("lfsr")[0], waves=False)
    assert [process.poll() is not None for process in started] == [True]
    assert list(cache.iterdir()) == []


def test_verilog_that_does_not_build_is_one_line(cache: Path) -> None:
    design, _ = work("lfsr")
    with pytest.raises(NativeError, match=r"^native simulation of lfsr: verilator: %Error: design.v:\d+:.*$"):
        Native(replace(design, verilog=design.verilog.replace("endmodule", "endmodul", 1)))
    assert list(cache.iterdir()) == []


def test_no_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_build.shutil, "which", lambda name: None)
    with pytest.raises(
        NativeError, match=r"^native simulation: a C\+\+ compiler was not found; accepted: g\+\+, make .*$"
    ):
        Native(work("lfsr")[0])


def test_unwritable_cache_is_one_line(cache: Path) -> None:
    cache.write_text("")
    with pytest.raises(
        NativeError, match=r"^native simulation: cannot write .*; accepted: a writable folder with room$"
    ):
        Native(work("lfsr")[0])
