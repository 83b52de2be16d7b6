"""`streamlog profile`: names for clusters, so that commands need no addresses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from streamlog.cli import profiles
from streamlog.cli.completion import complete_profiles
from streamlog.cli.confirm import Yes, confirm
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.options import examples
from streamlog.cli.output import Output, OutputOption, say, show, show_json, table
from streamlog.cli.target import parse_addresses, resolve_target

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Name of the profile.", autocompletion=complete_profiles),
]


def register(application: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Profiles: names for clusters.", no_args_is_help=True)
    group.command(
        "create",
        epilog=examples(
            "streamlog profile create local --bootstrap 127.0.0.1:9092",
            "streamlog profile create prod -b 10.0.0.1:9092,10.0.0.2:9092 --use",
        ),
    )(create)
    group.command(
        "list", epilog=examples("streamlog profile list", "streamlog profile list -o json")
    )(list_profiles)
    group.command("use", epilog=examples("streamlog profile use prod"))(use)
    group.command(
        "show", epilog=examples("streamlog profile show", "streamlog profile show prod -o json")
    )(show_profile)
    group.command("delete", epilog=examples("streamlog profile delete prod --yes"))(delete)
    application.add_typer(group, name="profile")


def _path() -> Path:
    return profiles.profiles_file(os.environ)


def _row(known: profiles.Profiles, name: str) -> dict[str, Any]:
    return {
        "profile": name,
        "bootstrap": known.bootstraps[name],
        "current": known.current == name,
    }


def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="1 to 64 characters of [a-zA-Z0-9._-].")
    ],
    bootstrap: Annotated[
        str,
        typer.Option(
            "--bootstrap",
            "-b",
            metavar="ADDRESSES",
            help="host:port of one or more nodes, separated by commas.",
        ),
    ],
    use_it: Annotated[
        bool, typer.Option("--use", help="Make it the current one; the first one is anyway.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Change it when it exists already.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Name a cluster."""
    profiles.check_name(name)
    addresses = parse_addresses(bootstrap, "--bootstrap")
    known = profiles.load(_path())
    if name in known.bootstraps and not replace:
        raise CommandFailed(
            f"the profile {name!r} exists already ({known.bootstraps[name]}); --replace changes it",
            EXIT_USAGE,
        )
    changed = known.with_profile(name, ",".join(addresses), use=use_it)
    profiles.save(_path(), changed)
    current = ", the current profile" if changed.current == name else ""
    say(f"{name} is {changed.bootstraps[name]}{current}", _row(changed, name), output)


def list_profiles(output: OutputOption = Output.TABLE) -> None:
    """List profiles."""
    known = profiles.load(_path())
    rows = [_row(known, name) for name in sorted(known.bootstraps)]
    if output is Output.TABLE:
        rows = [row | {"current": "*" if row["current"] else ""} for row in rows]
    show(
        rows,
        output,
        none="no profiles; make one: streamlog profile create NAME --bootstrap HOST:PORT",
    )


def use(name: Name, output: OutputOption = Output.TABLE) -> None:
    """Make a profile the current one."""
    known = profiles.load(_path()).using(name)
    profiles.save(_path(), known)
    say(f"commands talk to {name} ({known.bootstraps[name]})", _row(known, name), output)


def show_profile(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Default: what commands use now, and why.",
            autocompletion=complete_profiles,
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a profile, or which cluster commands talk to."""
    row: dict[str, Any]
    if name is None:
        target = resolve_target(None, None, os.environ)
        row = {"bootstrap": target.bootstrap, "from": target.source}
    else:
        known = profiles.load(_path())
        known.bootstrap(name)
        row = _row(known, name)
    if output is Output.JSON:
        show_json(row)
    else:
        typer.echo(table([row]))


def delete(name: Name, yes: Yes = False, output: OutputOption = Output.TABLE) -> None:
    """Forget a profile; the cluster stays as it is."""
    known = profiles.load(_path())
    rest = known.without(name)
    confirm(f"forget the profile {name} ({known.bootstraps[name]})?", yes=yes)
    profiles.save(_path(), rest)
    current = ", the current profile" if known.current == name else ""
    say(f"deleted {name}{current}", _row(known, name), output)
