"""`rtl`: the network in logic, Verilated to a native library, as a machine.

One hardware description for the config (`hardware.lanes` devices at once), compiled on first use and kept in `build/sim`.
The state lives in the simulated memories; it is read and written over the network's bus as a host would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.config import Config, Stage
from emulator.errors import MachineError
from emulator.fixed import Integers
from emulator.trace import Trace
from hdl.network.host import Register, Space, address_of
from hdl.network.network import Network
from hdl.network.network_parameters import NetworkParameters
from hdl.network.tile import Operation
from sim.bus_machine import BusMachine
from sim.native import Native
from sim.network_memory import BusWords
from sim.rtl_trace import Recorder, phases
from sim.runner import Design

#: Bus accesses take a few cycles each, and wait for the image under way.
CYCLES_PER_ACCESS = 64
#: Cycles for an image, over the multiply-accumulates of its three passes: more than any network takes with all its repeats.
CYCLES_PER_PRODUCT = 32
CYCLES_PER_IMAGE = 1_000_000
#: Images given to the hardware in one call.
IMAGES_A_CALL = 16


class RtlMachine(BusMachine):
    """See Machine. ``parameters``: hardware to run the network on, unless the one that is made for it. ``design_of``: what is
    simulated of it, such as its netlist. ``waves``: of a build that can write them. Raises MachineError for a config that the
    hardware does not hold, and NativeError as `Native` does.
    """

    def __init__(
        self,
        config: Config,
        *,
        parameters: NetworkParameters | None = None,
        design_of: Callable[[Network], Design] = Design.of,
        waves: bool = False,
    ) -> None:
        self._design_of = design_of
        self._traced: RtlMachine | None = None
        try:
            network = Network(parameters or NetworkParameters.of_config(config))
        except ValueError as error:
            raise MachineError(f"machine 'rtl': {error}") from error
        super().__init__("rtl", network, config)
        self.native = Native(design_of(self.network), waves=waves)
        self.restart()

    def restart(self) -> None:
        """Reset the hardware, describe the network to it anew, and go to the config's initial state."""
        self.native.reset()
        self.describe()

    def trace(self, image: NDArray[np.uint8], label: int) -> Trace:
        """See Traceable. The image is trained on hardware with probes, which is built when it is first wanted."""
        if self._traced is None:
            parameters = self.network.parameters.model_copy(update={"probes": True})
            self._traced = RtlMachine(self.config, parameters=parameters, design_of=self._design_of)
        machine = self._traced
        machine.load(self.state())
        recorder = Recorder(machine.native, self.config.stages)
        before = None
        for phase in machine.watch(image, label):
            if before is not None:
                recorder.take(*before)
            before = phase
        state = machine.state()
        self.load(state)
        return recorder.finish(state)

    def watch(self, image: NDArray[np.uint8], label: int) -> Iterator[tuple[Stage, Operation] | None]:
        """Train on an image; gives each phase as it begins, and None once the image is done. The logits are dropped."""
        native = self.native
        self._await_idle()
        native.take("phase")  # of images before
        native.send("job", train=np.ones(1, np.uint8), label=np.array([label]))
        native.send("pixel", value=image.ravel())
        for phase in phases(self.config.stages):
            native.run({"phase": 1}, limit=self.image_limit)
            native.take("phase")
            yield phase
        self._await_idle()
        native.take("result")
        yield None

    def _await_idle(self) -> None:
        """Until the bus is served: the image under way is done."""
        self.read(np.array([address_of(Space.REGISTERS.value, Register.IMAGES.value)]))

    @property
    def image_limit(self) -> int:
        """Cycles after which an image counts as hung."""
        products = sum(stage.rows * stage.columns * stage.positions for stage in self.config.stages)
        return CYCLES_PER_IMAGE + CYCLES_PER_PRODUCT * products

    def run(self, images: NDArray[np.uint8], labels: NDArray[np.uint8], *, train: bool) -> Integers:
        """See BusMachine."""
        logits = np.empty((len(images), self.config.classes), np.int64)
        for first in range(0, len(images), IMAGES_A_CALL):
            part = slice(first, first + IMAGES_A_CALL)
            logits[part] = self._run_part(images[part], labels[part], train)
        return logits

    def _run_part(self, images: NDArray[np.uint8], labels: NDArray[np.uint8], train: bool) -> Integers:
        native, count = self.native, len(images)
        native.send("job", train=np.full(count, train, np.uint8), label=labels)
        native.send("pixel", value=images.ravel())
        lanes = self.network.parameters.lanes
        beats = -(-self.config.classes // lanes)
        native.run({"result": beats * count}, limit=self.image_limit * count)
        elements = native.receive("result", beats * count)["elements"].reshape(count, beats * lanes)
        native.take("phase")
        return elements[:, : self.config.classes]

    def write(self, given: BusWords) -> None:
        """See BusMachine."""
        self._access(given.addresses, given.words, write=1)
        self.native.run(drain=True, limit=self._access_limit(len(given.addresses)))

    def read(self, addresses: NDArray[Any]) -> NDArray[np.uint64]:
        """See BusMachine."""
        self._access(addresses, np.zeros(len(addresses), np.uint64), write=0)
        self.native.run({"reply": len(addresses)}, limit=self._access_limit(len(addresses)))
        return self.native.receive("reply", len(addresses))["data"]

    def _access(self, addresses: NDArray[Any], words: NDArray[np.uint64], *, write: int) -> None:
        self.native.send("bus", write=np.full(len(addresses), write, np.uint8), address=addresses, data=words)

    def _access_limit(self, count: int) -> int:
        return self.image_limit + CYCLES_PER_ACCESS * count
