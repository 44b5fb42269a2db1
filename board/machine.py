"""`board`: a network on an FPGA as a machine, behind a serial port. The hardware is that which the config names.

Whether a board or its simulation (board/simulator.py) is at the end of the line, nothing here knows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from board import protocol
from board.gateware.wire import LARGEST_WIDTH, LOGIT_BYTES
from board.identity import identity_of
from board.layout import network_layout
from board.link import Link, Port
from board.serial_port import SerialPort
from emulator.config import Config
from emulator.errors import MachineError
from emulator.fixed import Integers
from emulator.machine import Connection
from hdl.array.crossbar_access import Space as CrossbarSpace
from hdl.network.host import SPACE_BIT, Space
from sim.bus_machine import BusMachine
from sim.network_memory import Addresses, BusWords, Words

#: Bytes given ahead to the link, and of answers to what was given: enough that the line never waits for the host, few enough
#: to be held.
AHEAD_BYTES = 1 << 16
WEIGHT_SPACE = Space.CROSSBAR.value + CrossbarSpace.WEIGHT.value
BYTE_BITS = 8


class BoardMachine(BusMachine):
    """See Machine. ``identity``: of the hardware, unless that which the sources here make; ``open_port``: from name and baud.
    Raises MachineError for a config that the hardware does not hold, and LinkError, which is one too."""

    def __init__(
        self,
        config: Config,
        connection: Connection,
        *,
        identity: int | None = None,
        open_port: Callable[[str, int], Port] = SerialPort,
    ) -> None:
        try:
            network = network_layout(config)
        except ValueError as error:
            raise MachineError(f"machine 'board': {error}") from error
        super().__init__("board", network, config)
        port = open_port(connection.port, connection.baud)
        try:
            wanted = identity_of(network.parameters) if identity is None else identity
            self.link = Link(port, wanted, patience=connection.patience)
            self.describe()
        except BaseException:
            port.close()
            raise

    def close(self) -> None:
        """Free the port. The machine is of no use afterwards."""
        self.link.close()

    def run(self, images: NDArray[np.uint8], labels: NDArray[np.uint8], *, train: bool) -> Integers:
        """See BusMachine. Images are sent while those before them are at work; the link's patience is that with one image."""
        size = LOGIT_BYTES * self.config.classes
        answers: list[bytes] = []
        for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            self.link.write(protocol.image_command(image.tobytes(), label, train=train))
            while len(answers) < number and max(self.link.waiting, size * (number - len(answers))) > AHEAD_BYTES:
                answers.append(self.link.read(size))
        answers += [self.link.read(size) for _ in range(len(images) - len(answers))]
        return protocol.logits_of(b"".join(answers), self.config.classes)

    def write(self, given: BusWords) -> None:
        """See BusMachine."""
        self.link.write(protocol.write_commands(given.addresses, given.words))
        self.link.flush()

    def read(self, addresses: Addresses) -> Words:
        """See BusMachine. Of weights, the bits above those that the memory has are 0."""
        weight_bytes = -(-self.network.parameters.crossbar.weight_bits // BYTE_BITS)
        widths = np.where(addresses >> SPACE_BIT == WEIGHT_SPACE, weight_bytes, LARGEST_WIDTH)
        commands, answers = protocol.read_commands(addresses, widths)
        self.link.write(commands)
        sizes = [count * width for count, width in answers]
        content = self.link.read(sum(sizes))
        ends = np.cumsum(sizes).tolist()
        parts = zip(answers, ends, sizes, strict=True)
        return np.concatenate(
            [protocol.from_bytes(content[end - size : end], width) for (_, width), end, size in parts]
        )
