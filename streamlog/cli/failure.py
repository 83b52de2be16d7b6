"""How a command says that it could not do its work: one line, no traceback, a known exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

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


@contextmanager
def closed_pipe_ends_it() -> Iterator[None]:
    """Around whatever prints: when nobody reads any more the command ends without a word."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffer must not make Python complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(EXIT_CLOSED_PIPE) from None
