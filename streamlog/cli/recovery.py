"""What the two commands share that force a group on without its majority.

Nothing is done before somebody said so twice: yes, and the name of what may lose records.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from streamlog.cli.confirm import confirm
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.output import Output, show_json
from streamlog.cli.remote import admin_of, run
from streamlog.cli.target import Target, parse_addresses

if TYPE_CHECKING:
    from streamlog.client import Admin, Recovery

NodeOption = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT", help="Node whose replica goes on: the one that has the most."
    ),
]


def force(
    what: str,
    node: str,
    ask: Callable[[Admin, str, str | None], Awaitable[Recovery]],
    *,
    name_of: Callable[[Recovery], str],
    afterwards: Callable[[int], str],
    dry_run: bool,
    yes: bool,
    consent: str | None,
    output: Output,
) -> None:
    """Plan, tell, ask twice, and do it.

    Args:
        what: is recovered, for people.
        node: that goes on, host:port.
        ask: the node; with the consent, or None for a dry run.
        name_of: what the second consent must name.
        afterwards: the command that gives the node that went on, by its id, company again.
        dry_run: only tell.
        yes: the first consent was given.
        consent: the second one, if it was given.
        output: of the result.

    Raises CommandFailed, typer.Abort.
    """
    target = Target(parse_addresses(node, "--node"), "--node")
    if len(target.addresses) != 1:
        raise CommandFailed("--node names one node", EXIT_USAGE)

    async def asked(accepted: str | None) -> Recovery:
        async with admin_of(target) as admin:
            return await ask(admin, target.addresses[0], accepted)

    planned = run(asked(None), target)
    name = name_of(planned)
    if dry_run:
        _show(what, name, planned, output)
        return
    if consent is not None and consent != name:
        raise CommandFailed(f"--confirm is {consent!r}, and must be {name!r}", EXIT_USAGE)
    if not yes or consent is None:
        for line in _lines(what, planned):
            typer.echo(line, err=True)
    confirm(
        f"go on with node {planned.survivor.node_id} alone, and lose what only the others had?",
        yes=yes,
    )
    if consent is None:
        _confirm_by_name(name)
    recovery = run(asked(name), target)
    _show(what, name, recovery, output)
    typer.echo(f"next: {afterwards(recovery.survivor.node_id)}", err=True)


def _confirm_by_name(name: str) -> None:
    """The second consent. Raises CommandFailed (no terminal), typer.Abort (another name)."""
    if not sys.stdin.isatty():
        raise CommandFailed(
            "what was acknowledged may be lost for ever. Without a terminal to ask at, this needs"
            f" --confirm {name} too",
            EXIT_USAGE,
        )
    typer.echo(
        f"what was acknowledged may be lost for ever: type {name} to go on: ", err=True, nl=False
    )
    if sys.stdin.readline().strip() != name:
        raise typer.Abort


def _lines(what: str, recovery: Recovery) -> list[str]:
    """What is known, for people."""
    survivor = recovery.survivor
    verb = "goes" if recovery.forced else "would go"
    end, committed = recovery.end_offset, recovery.committed_end_offset
    heard = recovery.heard_committed_end_offset
    lines = [
        f"{what} {verb} on with replica {survivor.replica_id} on node {survivor.node_id} alone"
    ]
    lines.append(f"kept: offsets {recovery.start_offset} to {end} (exclusive)")
    if committed < end:
        lines.append(
            f"of it known to be committed: below {committed}; the rest may never have been"
            " acknowledged"
        )
    if heard > end:
        lines.append(f"gone for certain: committed offsets {end} to {heard} (exclusive)")
    lines.append(f"may be gone: everything from offset {end} on; how much, nobody knows")
    lines += [
        f"left behind: replica {member.replica_id} on node {member.node_id},"
        f" {'alive' if member.live else 'dead'}"
        for member in recovery.left_behind
    ]
    return lines


def _show(what: str, name: str, recovery: Recovery, output: Output) -> None:
    if output is not Output.JSON:
        for line in _lines(what, recovery):
            typer.echo(line)
        return
    gone = recovery.heard_committed_end_offset - recovery.end_offset
    show_json(
        {
            "name": name,
            "forced": recovery.forced,
            "group": recovery.group_id,
            "node": recovery.survivor.node_id,
            "term": recovery.term,
            "start": recovery.start_offset,
            "end": recovery.end_offset,
            "known_committed": recovery.committed_end_offset,
            "gone_for_certain": max(0, gone),
            "left_behind": [
                {"node": member.node_id, "replica": member.replica_id, "live": member.live}
                for member in recovery.left_behind
            ],
        }
    )
