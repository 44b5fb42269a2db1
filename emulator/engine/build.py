"""Compile the engine once per source, device models, compiler and processor, and load it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from emulator.array.devices import DEVICE_MODELS
from emulator.building import building_folder
from emulator.errors import MachineError
from emulator.termination import ending_group

SOURCE = Path(__file__).parent / "source"
BUILD_FOLDER = Path(__file__).parents[2] / "build" / "engine"
COMPILERS = ("g++", "clang++", "c++")
# No option may change floating-point results: integers in doubles are exact, and contraction to FMA keeps them so.
FLAGS = ("-std=c++20", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", "-Wall")


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The engine, compiled on first use. Raises MachineError if no compiler is there or it fails."""
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise MachineError(
            "machine 'fast': no C++ compiler found; accepted: g++ or clang++ on PATH (apt-get install g++), "
            "or machine golden"
        )
    devices = devices_header()
    path = _library_path(compiler, devices)
    if not path.exists():
        _compile(compiler, devices, path)
    return ctypes.CDLL(str(path))


def devices_header() -> str:
    """C++ of the device models: a type for each with its ``move``, and a dispatcher from index to type."""
    parts = ["#pragma once", '#include "arithmetic.hpp"', "namespace crosspoint {"]
    for name, model in DEVICE_MODELS.items():
        parts += [
            f"struct device_{name} {{",
            f"    static constexpr long PARAMETERS = {len(model.PARAMETERS)};",
            "    template <class Rounding>",
            "    static double move(double weight, const std::int32_t* parameter, double factor, bool up, Rounding round) {"
            + model.MOVE_CPP.rstrip(),
            "    }",
            "};",
        ]
    parts += ["template <class Action>", "void with_device_model(long index, Action action) {", "    switch (index) {"]
    parts += [f"        case {k}: action(device_{name}{{}}); break;" for k, name in enumerate(DEVICE_MODELS)]
    parts += ["    }", "}", "}  // namespace crosspoint"]
    return "\n".join(parts) + "\n"


def _library_path(compiler: str, devices: str) -> Path:
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    digest = hashlib.sha256()
    for text in (version, *FLAGS, platform.machine(), _processor(), devices):
        digest.update(text.encode() + b"\0")
    for source in sorted(SOURCE.iterdir()):
        digest.update(source.read_bytes())
    return BUILD_FOLDER / f"engine-{digest.hexdigest()[:16]}.so"


def _processor() -> str:
    """What ``-march=native`` depends on: the processor's feature flags, where the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _compile(compiler: str, devices: str, path: Path) -> None:
    print("compiling the engine (once) ...", file=sys.stderr, flush=True)
    try:
        with building_folder(path.parent) as folder:
            (folder / "devices.hpp").write_text(devices)
            result = folder / "engine.so"
            command = [compiler, *FLAGS, f"-I{folder}", f"-I{SOURCE}", str(SOURCE / "network.cpp"), "-o", str(result)]
            code, errors = _run(command)
            if code != 0:
                first = next((line for line in errors.splitlines() if "error" in line), errors[:200])
                raise MachineError(f"machine 'fast': {compiler} failed: {first}; accepted: a C++20 compiler")
            os.replace(result, path)
    except OSError as error:
        raise MachineError(
            f"machine 'fast': cannot write {path.parent}: {error.strerror}; accepted: a writable folder"
        ) from error


def _run(command: Sequence[str]) -> tuple[int, str]:
    """Exit code and errors of a compiler."""
    with (
        subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, process_group=0
        ) as process,
        ending_group(process),
    ):
        _, errors = process.communicate()
    return process.returncode, errors
