"""Asking before something is destroyed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed

DryRun = Annotated[bool, typer.Option("--dry-run", help="Check only; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirm(question: str, *, yes: bool) -> None:
    """Return when it may be done: `--yes` was given, or somebody at the terminal says so.

    A script is never asked: what it feeds to a command is data, not consent. Raises CommandFailed
    (no terminal), typer.Abort (the answer is no).
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandFailed(
            f"{question} Without a terminal to ask at, this needs --yes", EXIT_USAGE
        )
    # On standard error: standard output may be JSON for a program.
    typer.echo(f"{question} [y/N] ", err=True, nl=False)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise typer.Abort
