"""All blocks by name. A block is found by being there: a class derived from Block in hdl/periphery, hdl/array or hdl/network.

The network, which is made for a whole config, is not among them: `NETWORK` is its name for commands, `NETWORK_AXI` that of the
network behind the pins of AXI.
"""

from __future__ import annotations

import importlib
import pkgutil
import re

from hdl import array, network, periphery
from hdl.block import Block


def block_name(block: type[Block]) -> str:
    """``MaxSearch`` is ``max_search``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", block.__name__).lower()


def _found() -> dict[str, type[Block]]:
    classes = {}
    for package in (periphery, array, network):
        for module_info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{module_info.name}")
            for value in vars(module).values():
                if not isinstance(value, type) or not issubclass(value, Block) or value.takes_config:
                    continue
                if value.__module__ == module.__name__:
                    classes[block_name(value)] = value
    return dict(sorted(classes.items()))


BLOCKS: dict[str, type[Block]] = _found()

NETWORK = "network"
NETWORK_AXI = "network_axi"
