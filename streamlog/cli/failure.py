"""How a command says that it could not do its work: one line, no traceback, a known exit code."""

from __future__ import annotations

EXIT_FAILED = 1
"""The command was understood, but could not be carried out."""
EXIT_USAGE = 2
"""The command line, the environment or a configuration file is wrong."""


class CommandFailed(Exception):
    """Ends the command with a message for people; raised by commands, caught in `main`."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        self.message, self.exit_code = message, exit_code
        super().__init__(message)
