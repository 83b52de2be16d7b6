"""`streamlog`, the command: one module a sub-command, registered here.

Each module has `register(application)`, which adds its command or group of commands. Modules
import what is heavy (gRPC, the node) inside their functions, so that `--help` is quick.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from streamlog.cli import cluster, consume, dev, log, produce, server, topic
from streamlog.cli.failure import CommandFailed
from streamlog.model.version import SOFTWARE

EXIT_INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""
COMMANDS = (server, dev, topic, produce, consume, cluster, log)
"""In the order of the help."""


def show_version(asked: bool) -> None:
    """Print the version and end, when the option was given."""
    if asked:
        typer.echo(SOFTWARE)
        raise typer.Exit


def build() -> typer.Typer:
    """The application with all of its commands."""
    application = typer.Typer(
        name="streamlog",
        help="A partitioned, replicated event-streaming log.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @application.callback()
    def root(
        version: Annotated[
            bool,
            typer.Option(
                "--version",
                help="Print the version and exit.",
                is_eager=True,
                callback=show_version,
            ),
        ] = False,
    ) -> None:
        del version

    for command in COMMANDS:
        command.register(application)
    return application


def main() -> None:
    """Run the command that the arguments name; exit 0, 1 (failed) or 2 (wrong usage)."""
    # gRPC's C core writes notes of its own to stderr unless it is told not to.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        build()()
    except CommandFailed as failure:
        typer.echo(f"error: {failure.message}", err=True)
        sys.exit(failure.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
