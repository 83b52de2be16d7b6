"""What the commands that talk to a cluster share: where it is, and how failures are told."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer

from streamlog.cli.failure import EXIT_FAILED, EXIT_USAGE, CommandFailed

ResultT = TypeVar("ResultT")

Bootstrap = Annotated[
    str,
    typer.Option(
        "--bootstrap",
        "-b",
        envvar="STREAMLOG_BOOTSTRAP",
        help="host:port of one or more nodes, separated by commas.",
    ),
]
BOOTSTRAP_DEFAULT = "127.0.0.1:9092"


def run(work: Coroutine[Any, Any, ResultT], bootstrap: str) -> ResultT:
    """Run a command's work; what goes wrong becomes one line and an exit code."""
    from streamlog.client import ClientError, ConnectionLost

    try:
        return asyncio.run(work)
    except ConnectionLost as error:
        raise CommandFailed(
            f"no node answers at {bootstrap}: {error}. Is the cluster running? Name a node with "
            "--bootstrap or STREAMLOG_BOOTSTRAP."
        ) from error
    except ClientError as error:
        raise CommandFailed(str(error)) from error
    except ValueError as error:
        raise CommandFailed(str(error), EXIT_USAGE) from error
    except BrokenPipeError:
        # Whoever read our output has seen enough; the rest of it must not make Python complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(EXIT_FAILED) from None


def settings(pairs: list[str]) -> dict[str, str]:
    """`key=value` options as a mapping. Raises CommandFailed."""
    parsed = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise CommandFailed(f"{pair!r} is not key=value", EXIT_USAGE)
        parsed[key] = value
    return parsed
