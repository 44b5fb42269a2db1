"""All blocks by name. A block is found by being there: a class derived from Block in hdl/periphery or hdl/network."""

from __future__ import annotations

import importlib
import pkgutil
import re

from hdl import network, periphery
from hdl.block import Block


def block_name(block: type[Block]) -> str:
    """``MaxSearch`` is ``max_search``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", block.__name__).lower()


def _found() -> dict[str, type[Block]]:
    classes = {}
    for package in (periphery, network):
        for module_info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{module_info.name}")
            for value in vars(module).values():
                if isinstance(value, type) and issubclass(value, Block) and value.__module__ == module.__name__:
                    classes[block_name(value)] = value
    return dict(sorted(classes.items()))


BLOCKS: dict[str, type[Block]] = _found()
