"""A network made only to know where its words lie."""

from __future__ import annotations

import warnings

from amaranth.hdl import UnusedElaboratable

from emulator.config import Config
from hdl.network.network import Network
from hdl.network.network_parameters import NetworkParameters


def network_layout(config: Config) -> Network:
    """The network of a config's hardware. It is never elaborated, of which Amaranth would warn whenever it is collected: so
    this process hears no such warning any more. Raises ValueError for a config that hardware does not hold."""
    warnings.simplefilter("ignore", UnusedElaboratable)
    return Network(NetworkParameters.of_config(config))
