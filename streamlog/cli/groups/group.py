"""`streamlog group`: what the commands on consumer groups have in common, and their registration."""

from __future__ import annotations

import typer

from streamlog.cli.groups import delete, describe, reset


def register(application: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="Consumer groups: list, describe, reset, delete.",
        no_args_is_help=True,
    )
    describe.register(group)
    reset.register(group)
    delete.register(group)
    application.add_typer(group, name="group")
