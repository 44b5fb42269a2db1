#!/bin/sh
# Make .venv with the pinned packages. A missing system package is installed where that needs no question
# (root, or sudo without a password), else named in one line.
set -eu
cd "$(dirname "$0")/.."

need() { # package, what it is for
    if command -v apt-get >/dev/null 2>&1; then
        if [ "$(id -u)" = 0 ]; then become=""; elif sudo -n true 2>/dev/null; then become="sudo -n"; else become="none"; fi
        if [ "$become" != none ]; then
            echo "installing $1 ($2)"
            $become apt-get update -qq && $become env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1" >/dev/null && return
        fi
    fi
    echo "error: $2 is missing; install it with: apt-get install $1" >&2
    exit 1
}

command -v python3 >/dev/null 2>&1 || need python3 "Python 3"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "error: $(python3 --version) found; accepted: Python 3.11 or newer" >&2
    exit 1
}
python3 -c 'import ensurepip, venv' 2>/dev/null || need python3-venv "Python's venv module"
command -v g++ >/dev/null 2>&1 || command -v clang++ >/dev/null 2>&1 || need g++ "a C++20 compiler"

command -v perl >/dev/null 2>&1 || need perl "Perl, which Verilator runs on"
command -v iverilog >/dev/null 2>&1 || need iverilog "Icarus Verilog, the second simulator"

[ -x .venv/bin/python ] || python3 -m venv .venv
# 25.1 is the first pip that installs dependency groups.
.venv/bin/python -m pip install --quiet --disable-pip-version-check "pip==26.3"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --group dev
.venv/bin/python -c 'from emulator.engine.build import library; library()'
echo "ready: .venv"
