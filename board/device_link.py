"""A symbolic link to a device file that exists as long as a process: it takes the place of nothing that is another's."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from emulator.errors import CrosspointError

NAME_BYTES = 8  # random ones, in the name of a link that is looked at


class DeviceLinkError(CrosspointError):
    """A link that cannot be made."""


class DeviceLink:
    """A link at ``path`` to ``device``, which is this process's own and stays there until `remove`.

    Where something is already, it stays, and DeviceLinkError is raised; but for a link to a device of the same kind that is
    gone, which a process that was killed has left.
    """

    def __init__(self, path: Path, device: str) -> None:
        self.path, self.device = path, device
        try:
            left = _target(path)
            # No other process has a link to this device by right: the one that made it is gone, and so was its device.
            if left is not None and (left == device or _is_gone(left, like=device)):
                _remove(path, left)
            os.symlink(device, path)
        except FileExistsError as error:
            now = _target(path)
            there = "something else is there" if now is None else f"a link to {now!r} is there"
            raise DeviceLinkError(
                f"--link {str(path)!r}: {there}; accepted: a name in a writable folder that nothing has"
            ) from error
        except OSError as error:
            raise DeviceLinkError(
                f"--link {str(path)!r}: {error.strerror}; accepted: a name in a writable folder that nothing has"
            ) from error

    def remove(self) -> None:
        """Remove the link, unless something else has its name by now."""
        with suppress(OSError):  # the folder may be gone, or not be writable any more
            if _target(self.path) == self.device:
                _remove(self.path, self.device)


def _target(path: Path) -> str | None:
    """Where a link points to; None for what is no link."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def _is_gone(device: str, *, like: str) -> bool:
    return os.path.dirname(device) == os.path.dirname(like) and not os.path.lexists(device)


def _remove(path: Path, target: str) -> None:
    """Remove a link that points to ``target``. Another process may put something else in its place at any moment: so it is
    moved aside first, looked at once more, and given back if it is not that link."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(NAME_BYTES)}")
    with suppress(FileNotFoundError):  # another process was faster
        os.rename(path, aside)
        if _target(aside) == target:
            os.unlink(aside)
        else:
            os.link(aside, path, follow_symlinks=False)  # unlike a renaming, it replaces nothing
            os.unlink(aside)
