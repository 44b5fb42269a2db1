"""The identity of a network's hardware: a number by which a host knows that a board holds what it is about to talk to.

It covers what shapes the hardware and nothing else: the version of the protocol, the parameters of the network, and the
RTL's sources without comments, formatting and docstrings. Seeds, learning rates and other numbers that a host writes into
the hardware do not change it, so they need no new bitstream.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from board.gateware.wire import PROTOCOL_VERSION
from hdl.network.network_parameters import NetworkParameters

ROOT = Path(__file__).parents[1]
IDENTITY_BYTES = 8
#: The modules that hardware begins with. What they import counts too, as far as it is RTL or one of the constants below.
#: All else that the hardware has of a config is in its parameters.
TOPS = ("board.gateware.top", "hdl.network.network")
COUNTED = ("board.gateware.", "hdl.", "emulator.fixed.", "emulator.config.tables.")


def identity_of(parameters: NetworkParameters) -> int:
    """64 bits, which go over the line in little-endian order."""
    whole = "\n".join([str(PROTOCOL_VERSION), parameters.model_dump_json(), rtl_digest()])
    return int.from_bytes(hashlib.sha256(whole.encode()).digest()[:IDENTITY_BYTES], "little")


@cache
def rtl_digest() -> str:
    """Of the sources of all modules that shape hardware."""
    sources = {name: digest_of(path.read_text(encoding="utf-8")) for name, path in rtl_modules().items()}
    return hashlib.sha256(repr(sorted(sources.items())).encode()).hexdigest()


def rtl_modules() -> dict[str, Path]:
    """Names and files of the modules that shape hardware."""
    found: dict[str, Path] = {}
    left = list(TOPS)
    while left:
        name = left.pop()
        path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
        if name in found or not f"{name}.".startswith(COUNTED) or not path.is_file():
            continue
        found[name] = path
        left += _imported(ast.parse(path.read_text(encoding="utf-8")))
    return found


def digest_of(source: str) -> str:
    """Of a module's syntax tree, the same for all Python versions that read it alike."""
    return hashlib.sha256(repr(_plain(ast.parse(source))).encode()).hexdigest()


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _plain(node: object) -> object:
    """A tree as nested tuples. Empty fields are left out: newer versions of Python have more of them."""
    if isinstance(node, list):
        return tuple(map(_plain, node))
    if not isinstance(node, ast.AST):
        return node
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
        fields["body"] = fields["body"][1:]
    return (type(node).__name__, *((name, _plain(value)) for name, value in fields.items() if value not in (None, [])))
