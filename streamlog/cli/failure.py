"""How a command says that it could not do its work: one line, no traceback, a known exit code."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

EXIT_FAILED = 1
"""The command was understood, but could not be carried out."""
EXIT_USAGE = 2
"""The command line, the environment or a configuration file is wrong."""
EXIT_INTERRUPTED = 130
"""Ctrl-C: 128 and the number of SIGINT, as shells have it."""
EXIT_CLOSED_PIPE = 141
"""Whoever read the output has seen enough: 128 and the number of SIGPIPE."""


class CommandFailed(Exception):
    """Ends the command with a message for people; raised by commands, caught in `main`."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        self.message, self.exit_code = message, exit_code
        super().__init__(message)


def have_streams() -> None:
    """A stream that was closed before the start (`<&-`) is an empty one, that nobody reads."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - open to the end


def abandon_output(output: TextIO) -> None:
    """What is still in the buffer must not make Python complain at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
