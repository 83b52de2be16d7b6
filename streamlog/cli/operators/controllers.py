"""`streamlog cluster controllers`: who votes on the metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamlog.cli.confirm import DryRun
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.operators.arrivals import STALE_LOOKS
from streamlog.cli.operators.waiting import NODE_ID_MAX, Timeout, Wait, advised, wait_until
from streamlog.cli.options import examples, whole_number
from streamlog.cli.output import Output, OutputOption, say, show
from streamlog.cli.remote import admin_of, on_cluster, run
from streamlog.cli.target import Target

if TYPE_CHECKING:
    from streamlog.client import Admin, ClusterDescription


def register(group: typer.Typer) -> None:
    """Add the command to `streamlog cluster`."""
    group.command(
        "controllers",
        epilog=examples(
            "streamlog cluster controllers",
            "streamlog cluster controllers 1 2 3 --dry-run",
            "streamlog cluster controllers 1 2 4",
        ),
    )(on_cluster(controllers))


class Voting:
    """Of the controllers that are wanted, on the metadata."""

    def __init__(self, admin: Admin, wanted: list[int]) -> None:
        """`wanted`: ascending."""
        self._admin, self._wanted = admin, wanted
        self._others = 0

    async def look(self) -> str | None:
        """What is left; None: those who shall vote do, and nobody else. Raises ClientError,
        CommandFailed (somebody else named others)."""
        cluster = await self._admin.describe_cluster()
        named, voters = controllers_of(cluster), list(cluster.metadata_voter_node_ids)
        if self._wanted == named == voters:
            return None
        self._others = self._others + 1 if self._wanted != named else 0
        if self._others >= STALE_LOOKS:
            raise CommandFailed(
                f"the controllers shall be {_listed(named)} and not {_listed(self._wanted)}:"
                " somebody else named others meanwhile"
            )
        return f"{_listed(self._wanted)} shall vote on the metadata, {_listed(voters)} do"


def controllers_of(cluster: ClusterDescription) -> list[int]:
    """Those that are wanted."""
    return [node.node_id for node in cluster.nodes if node.controller]


def setting_of(cluster: ClusterDescription, wanted: list[int]) -> str:
    """The value of the setting `controllers` that names them, ids ascending."""
    addresses = {node.node_id: node.address for node in cluster.nodes}
    return ",".join(f"{n}@{addresses[n]}" for n in sorted(wanted) if n in addresses)


def configure(setting: str) -> str:
    """What is to be done after other controllers were named."""
    return (
        f"set controllers = {setting} in the configuration of every node, and turn bootstrap off"
        " where it is on: a node that lists itself alone may form another cluster when its disk is"
        " lost"
    )


def controllers(
    nodes: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="[NODE]...",
            help="Those that shall vote, all of them: 1 to 7, best 1, 3 or 5.",
            parser=whole_number(1, NODE_ID_MAX),
        ),
    ] = None,
    wait: Wait = True,
    timeout: Timeout = None,
    dry_run: DryRun = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """List the controllers, or name others.

    They keep the cluster's metadata: a majority of them must live for anything to change. New ones
    copy the metadata first, then vote; those not named any more end to vote. One that goes must run
    until the command has ended.
    """
    if not nodes:
        _list(output, target)
        return
    if len(dict.fromkeys(nodes)) != len(nodes):
        raise CommandFailed("a node is named twice", EXIT_USAGE)
    wanted = sorted(nodes)

    async def work() -> str:
        async with admin_of(target) as admin:
            with advised(
                {
                    "UNKNOWN_NODE": "a node takes part once it was started with the"
                    " 'controllers' of the cluster",
                    "MAJORITY_AT_RISK": "bring controllers back first",
                }
            ):
                await admin.set_controllers(wanted, validate_only=dry_run)
            if wait and not dry_run:
                await wait_until(
                    Voting(admin, wanted).look, timeout_s=timeout, afterwards="the cluster goes on"
                )
            return setting_of(await admin.describe_cluster(), wanted)

    setting = run(work(), target)
    if len(wanted) % 2 == 0:
        fewer = "one" if len(wanted) == 2 else str(len(wanted) - 1)
        typer.echo(
            f"note: {len(wanted)} controllers survive no more failures than {fewer}", err=True
        )
    verb = "would be" if dry_run else "are" if wait else "shall be"
    if not dry_run:
        typer.echo(f"note: {configure(setting)}", err=True)
    say(
        f"the controllers {verb} {_listed(wanted)}",
        {"controllers": wanted, "dry_run": dry_run},
        output,
    )


def _list(output: Output, target: Target) -> None:
    async def work() -> None:
        async with admin_of(target) as admin:
            cluster = await admin.describe_cluster()
        rows: list[dict[str, Any]] = [
            {
                "node": node.node_id,
                "address": node.address,
                "live": node.live,
                "wanted": node.controller,
                "votes": node.node_id in cluster.metadata_voter_node_ids,
                "leads": node.node_id == cluster.metadata_leader_node_id,
            }
            for node in cluster.nodes
            if node.controller or node.node_id in cluster.metadata_voter_node_ids
        ]
        if output is not Output.JSON:
            for row in rows:
                row["leads"] = "yes" if row["leads"] else ""
        show(rows, output, none="no controllers")

    run(work(), target)


def _listed(node_ids: list[int]) -> str:
    return ", ".join(map(str, node_ids)) or "none"
