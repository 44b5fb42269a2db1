"""The errors a user can cause. Each carries one line: the thing, its value, what would be accepted."""


class CrosspointError(Exception):
    """Base of every error that the command line reports as one line, without a traceback."""


class ConfigError(CrosspointError):
    """A configuration, preset or ``--set`` that cannot be used."""


class DataError(CrosspointError):
    """A data set that is missing, truncated, corrupt or of the wrong size."""


class CheckpointError(CrosspointError):
    """A checkpoint that is missing, corrupt or belongs to another configuration."""


class MachineError(CrosspointError):
    """A machine that is unknown, not installed or unable to run the configuration."""


class MemoryNeedError(CrosspointError):
    """Work that needs more memory than there is here."""
