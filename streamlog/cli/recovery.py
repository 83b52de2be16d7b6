"""What the two commands share that force a group on without its majority.

Nothing is done before somebody said so twice: yes, and the name of what may lose records. Nor while
a better replica is left (`survivors`), unless its node is named, too.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from streamlog.cli.confirm import confirm
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.operators.waiting import NODE_ID_MAX
from streamlog.cli.options import whole_number
from streamlog.cli.output import Output, show_json
from streamlog.cli.remote import admin_of, run
from streamlog.cli.survivors import Survivors, find_survivors, lines_of, rows_of
from streamlog.cli.target import Target, parse_addresses

if TYPE_CHECKING:
    from streamlog.client import Admin, Recovery

NodeOption = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT",
        help="Node whose replica goes on: of the highest last term, among those the highest end.",
    ),
]
PassOver = Annotated[
    list[int] | None,
    typer.Option(
        "--pass-over",
        metavar="NODE",
        parser=whole_number(1, NODE_ID_MAX),
        help="Leave the replica on this node behind, though it is better or its node objects; may be"
        " repeated.",
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
    passed_over: Sequence[int],
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
        passed_over: nodes whose replicas are left behind, however good they are.
        output: of the result.

    Raises CommandFailed, typer.Abort.
    """
    target = Target(parse_addresses(node, "--node"), "--node")
    if len(target.addresses) != 1:
        raise CommandFailed("--node names one node", EXIT_USAGE)

    async def plan() -> tuple[Recovery, Survivors]:
        async with admin_of(target) as admin:
            planned = await ask(admin, target.addresses[0], None)
            survivors = await find_survivors(
                planned, target.addresses[0], lambda address: ask(admin, address, None)
            )
            return planned, survivors

    async def carry_out(accepted: str) -> Recovery:
        async with admin_of(target) as admin:
            return await ask(admin, target.addresses[0], accepted)

    planned, survivors = run(plan(), target)
    name = name_of(planned)
    if dry_run:
        _show(what, name, planned, survivors, output)
        return
    if consent is not None and consent != name:
        raise CommandFailed(f"--confirm is {consent!r}, and must be {name!r}", EXIT_USAGE)
    survivors.check(passed_over)
    if not yes or consent is None:
        for line in _lines(what, planned, survivors):
            typer.echo(line, err=True)
    confirm(
        f"go on with node {planned.survivor.node_id} alone, and lose what only the others had?",
        yes=yes,
    )
    if consent is None:
        _confirm_by_name(name)
    recovery = run(carry_out(name), target)
    _show(what, name, recovery, survivors, output)
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


def _lines(what: str, recovery: Recovery, survivors: Survivors) -> list[str]:
    """What is known, for people."""
    survivor = recovery.survivor
    verb = "goes" if recovery.forced else "would go"
    end, committed = recovery.end_offset, recovery.committed_end_offset
    heard = recovery.heard_committed_end_offset
    lines = [
        f"{what} {verb} on with replica {survivor.replica_id} on node {survivor.node_id} alone"
    ]
    lines.append(
        f"kept: offsets {recovery.start_offset} to {end} (exclusive), last term {recovery.end_term}"
    )
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
    return lines + lines_of(survivors)


def _show(what: str, name: str, recovery: Recovery, survivors: Survivors, output: Output) -> None:
    if output is not Output.JSON:
        for line in _lines(what, recovery, survivors):
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
            "end_term": recovery.end_term,
            "known_committed": recovery.committed_end_offset,
            "gone_for_certain": max(0, gone),
            "left_behind": [
                {"node": member.node_id, "replica": member.replica_id, "live": member.live}
                for member in recovery.left_behind
            ],
            "replicas": rows_of(survivors),
            "silent": list(survivors.silent),
        }
    )
