"""The errors a user can cause. Each carries one line: the thing, its value, what would be accepted."""


class CrosspointError(Exception):
    """Base of every error that the command line reports as one line, without a traceback."""


class ConfigError(CrosspointError):
    """A configuration, preset or ``--set`` that cannot be used."""


class DataError(CrosspointError):
    """A data set that is missing, truncated, corrupt or of the wrong size."""


class CheckpointError(CrosspointError):
    """A checkpoint that is missing, corrupt or belongs to another configuration."""


class RunFolderError(CrosspointError):
    """A folder of a run that another run has, or that cannot be written to."""


class MachineError(CrosspointError):
    """A machine that is unknown, not installed or unable to run the configuration."""


class StateError(MachineError):
    """A state that is none of the machine's."""


class DivergenceError(MachineError):
    """Weights that are no longer finite after the image ``image``, counted from 0 in the call of the machine."""

    def __init__(self, layer: str, image: int, learning_rate: float) -> None:
        self.layer, self.image, self.learning_rate = layer, image, learning_rate
        super().__init__(self.told(f"image {image + 1} of this call"))

    def told(self, place: str) -> str:
        """The message, with the image as the caller counts."""
        return (
            f"machine 'reference': layer {self.layer}: weights are no longer finite after {place}: "
            f"learning_rate = {self.learning_rate:g}; accepted: a smaller one"
        )


class MemoryNeedError(CrosspointError):
    """Work that needs more memory than there is here."""
