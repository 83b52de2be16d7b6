"""`streamlog`, the command: one module a sub-command, registered here.

Each module has `register(application)`, which adds its command or group of commands. Modules
import what is heavy (gRPC, the node) inside their functions, so that `--help` is quick.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, cast

import typer

from streamlog.cli import cluster, log, partition, profile
from streamlog.cli.bench import bench
from streamlog.cli.failure import (
    EXIT_CLOSED_PIPE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    CommandFailed,
    abandon_output,
    have_streams,
)
from streamlog.cli.groups import group
from streamlog.cli.node import config, dev, server
from streamlog.cli.operators import nodes
from streamlog.cli.records import consume, produce
from streamlog.cli.topics import offsets, topic
from streamlog.model.version import SOFTWARE

COMMANDS = (
    server,
    dev,
    topic,
    produce,
    consume,
    group,
    offsets,
    partition,
    nodes,
    cluster,
    config,
    profile,
    bench,
    log,
)
"""In the order of the help."""
USAGE_ERROR = cast("type[Exception]", typer.BadParameter.__mro__[1])
"""click.UsageError, wherever this version of typer keeps it."""


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
        epilog="\b\nBegin with:\n  streamlog dev",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        # Rich would take [a-z] in a help text for markup, cut tables, and draw boxes around errors.
        rich_markup_mode=None,
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
    """Run the command that the arguments name; `failure` has the exit codes."""
    # gRPC's C core writes notes of its own to stderr unless it is told not to.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    have_streams()
    output = sys.stdout
    try:
        code = build()(prog_name="streamlog", standalone_mode=False)
        output.flush()
    except CommandFailed as failure:
        typer.echo(f"error: {failure.message}", err=True)
        code = failure.exit_code
    except USAGE_ERROR as error:
        code = _wrong_usage(error)
    except typer.Abort:
        typer.echo("nothing was done", err=True)
        code = EXIT_FAILED
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except SystemExit as end:
        # The library exits by itself when nobody reads, and has put another stream there then.
        code = end.code if sys.stdout is output else EXIT_CLOSED_PIPE
    except BrokenPipeError:
        code = EXIT_CLOSED_PIPE
    except OSError as error:  # the disk that the output goes to is full, for one
        typer.echo(f"error: {error}", err=True)
        code = EXIT_FAILED
    try:
        output.flush()
    except OSError:
        abandon_output(output)
    sys.exit(code)


def _wrong_usage(error: BaseException) -> int:
    """One line: what is wrong, and where to read on. A group without a command shows its help."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(message)
        return EXIT_USAGE
    command = context.command_path if context is not None else "streamlog"
    message = " ".join(message.split()).rstrip(".")
    message = message.replace(": Value error, ", ": ", 1)  # what some versions of typer put there
    typer.echo(f"error: {message}; see '{command} --help'", err=True)
    return EXIT_USAGE


if __name__ == "__main__":
    main()
