"""What the command lines of all packages share: whatever a user can cause is one line on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from emulator.errors import CrosspointError
from emulator.termination import TerminatedError, raising_terminated

ERROR_EXIT = 2  # 1 is a command's own answer "no", such as "not bit-exact"
INTERRUPTED_EXIT = 130
TERMINATED_EXIT = 143


def run_command(commands: click.Command, program: str, arguments: Sequence[str] | None = None) -> int:
    """Run a command, or one of a group; returns the exit code of the process."""
    try:
        with raising_terminated():
            result = commands.main(args=arguments, prog_name=program, standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except (BrokenPipeError, SystemExit):
        # The reader of stdout is gone; click makes a SystemExit of it. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR_EXIT
    except click.UsageError as error:
        return _fail(error.format_message().removesuffix(".") + _accepted(error))
    except click.ClickException as error:
        return _fail(error.format_message().removesuffix("."))
    except CrosspointError as error:
        return _fail(str(error))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}; accepted: a readable, writable place with room")
    except MemoryError as error:
        # NumPy says how much was asked for; Python itself says nothing.
        reason = str(error).removesuffix(".") or "the system gives this process no more"
        return _fail(f"out of memory: {reason}; accepted: what fits into the memory here")
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED_EXIT
    except TerminatedError:
        print("terminated", file=sys.stderr)
        return TERMINATED_EXIT


def _accepted(error: click.UsageError) -> str:
    """For a missing or unknown command or option, those that there are; other messages say it themselves."""
    context = error.ctx
    if context is None:
        return ""
    if isinstance(context.command, click.Group):
        return f"; accepted: {', '.join(sorted(context.command.commands))}"
    if isinstance(error, click.NoSuchOption):
        options = [name for parameter in context.command.params for name in parameter.opts if name.startswith("--")]
        return f"; accepted: {', '.join(options) or 'no option'}"
    return ""


def _fail(message: str) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return ERROR_EXIT
