"""`streamlog config`: the settings of a node, without starting it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from streamlog.cli.failure import CommandFailed
from streamlog.cli.node.resolved_settings import problems, resolve, unknown_variables
from streamlog.cli.node.settings import ENVIRONMENT_PREFIX, given, with_options
from streamlog.cli.node.settings_file import read_file
from streamlog.cli.options import examples
from streamlog.cli.output import Output, OutputOption, counted, show, show_json
from streamlog.model.settings.node import NODE_SETTINGS


def register(application: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Settings of a node: show, check.", no_args_is_help=True)
    group.command(
        "show",
        help="Show each setting of a node, and where it comes from.\n\nTakes the options of"
        " 'streamlog server', and shows what a node started so would run with. A change of a live"
        " setting takes effect on SIGHUP, of another one at the next start.",
        epilog=examples(
            "streamlog config show",
            "streamlog config show --changed",
            "streamlog config show --config node.toml --election-timeout-ms 500 -o json",
        ),
    )(with_options(show_settings))
    group.command(
        "check",
        help="Check a file of settings.\n\nEvery problem is told; exit code 1 when there is one."
        " Options and the environment count as with 'streamlog server'.",
        epilog=examples(
            "streamlog config check node.toml", "streamlog config check node.toml --node-id 2"
        ),
    )(with_options(check))
    application.add_typer(group, name="config")


def show_settings(
    *,
    config: Annotated[
        Path | None,
        typer.Option(envvar=f"{ENVIRONMENT_PREFIX}CONFIG", help="TOML file of settings."),
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only those that are not at their default.")
    ] = False,
    output: OutputOption = Output.TABLE,
    data_dir: Annotated[
        Path | None, typer.Option(help="As of 'streamlog server'; not needed.", hidden=True)
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(help="As of 'streamlog server'; not needed.", hidden=True)
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="As of 'streamlog server'; not needed.", hidden=True)
    ] = None,
    **settings: Any,
) -> None:
    """See `register` for the help."""
    del data_dir, log_format, log_level
    resolved = resolve(given(settings), os.environ, config)
    for note in unknown_variables(os.environ):
        typer.echo(f"note: {note}", err=True)
    chosen = [each for each in resolved.settings.values() if each.changed or not changed]
    if output is Output.JSON:
        show_json(
            [
                {
                    "setting": each.key,
                    "value": each.value,
                    "default": each.default,
                    "live": NODE_SETTINGS[each.key].live,
                    "origin": {"kind": each.origin.kind, "name": each.origin.name or None},
                }
                for each in chosen
            ]
        )
        return
    show(
        [
            {
                "setting": each.key,
                "value": each.value or '""',
                "unit": NODE_SETTINGS[each.key].unit,
                "change": "live" if NODE_SETTINGS[each.key].live else "restart",
                "from": each.origin,
            }
            for each in chosen
        ],
        output,
        none="every setting is at its default",
    )


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML file of settings.")],
    *,
    output: OutputOption = Output.TABLE,
    **settings: Any,
) -> None:
    """See `register` for the help."""
    found = problems(given(settings), os.environ, file)
    if output is Output.JSON:
        show_json({"file": str(file), "problems": found})
    else:
        for problem in found:
            typer.echo(problem)
    if found:
        raise CommandFailed(f"{file}: {counted(len(found), 'problem')}")
    if output is Output.TABLE:
        typer.echo(f"{file}: {counted(len(read_file(file)), 'setting')}, nothing wrong")
