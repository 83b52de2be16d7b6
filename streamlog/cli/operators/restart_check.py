"""`streamlog node restart-check`: may this node be stopped now?

For loops of scripts that restart one node after the other. The metadata's leader is asked whether
every partition and the metadata would keep a majority, also while members change (what a maintenance
would be refused for); it alone knows. And the other replicas of what the node holds are asked whether they have the log, because one that
was restarted a moment ago lives, and is of no help until it has caught up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamlog.cli.failure import EXIT_FAILED
from streamlog.cli.operators.arrivals import node_of
from streamlog.cli.operators.waiting import NodeId, timeout_option, wait_until
from streamlog.cli.options import examples
from streamlog.cli.output import Output, OutputOption, show_json
from streamlog.cli.remote import admin_of, on_cluster, run
from streamlog.cli.target import Target

if TYPE_CHECKING:
    from streamlog.client import Admin, PartitionDescription, ReplicaDescription

LAG_MAX: Final = 20_000
"""Offsets that a replica may lack to count, as the nodes' own readiness has it."""


def register(group: typer.Typer) -> None:
    """Add the command to `streamlog node`."""
    group.command(
        "restart-check",
        epilog=examples(
            "streamlog node restart-check 3",
            "streamlog node restart-check 3 --timeout 300",
            "streamlog node restart-check 3 -o json",
        ),
    )(on_cluster(restart_check))


def restart_check(
    node: NodeId,
    timeout: Annotated[
        int, timeout_option("Ask again for so long while it must not stop; 0: once.")
    ] = 0,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Say whether a node may be stopped now.

    Exit code 0: every partition and the metadata would keep a majority that lives and has caught
    up; 1: they would not, and what stands against it is named. With --timeout it asks again for so
    long. Nothing is changed.
    """

    async def work() -> list[str]:
        async with admin_of(target) as admin:
            found: list[str] = []

            async def look() -> str | None:
                found[:] = await risks(admin, node)
                return found[0] if found else None

            if timeout == 0:
                await look()
            else:
                await wait_until(
                    look, timeout_s=timeout, afterwards=f"node {node} must not stop now"
                )
            return found

    found = run(work(), target)
    if output is Output.JSON:
        show_json({"node": node, "may_stop": not found, "risks": found})
    elif found:
        typer.echo(f"node {node} must not stop now:")
        for risk in found:
            typer.echo(f"  {risk}")
    else:
        typer.echo(f"node {node} may stop: all that it holds keeps a majority")
    if found:
        raise typer.Exit(EXIT_FAILED)


async def risks(admin: Admin, node_id: int) -> list[str]:
    """What would be without a majority if the node stopped. Raises ClientError, CommandFailed."""
    refused = await refusal(admin, node_id)
    found = [] if refused is None else [refused]
    cluster = await admin.describe_cluster()
    node = node_of(cluster, node_id)
    if node is None or not node.live:
        return found
    live = {each.node_id for each in cluster.nodes if each.live}
    replicas = await admin.describe_replicas()
    by_partition: dict[tuple[str, int], list[ReplicaDescription]] = {}
    for replica in replicas:
        by_partition.setdefault((replica.topic, replica.partition), []).append(replica)
    topics = dict.fromkeys(each.topic for each in replicas if each.node_id == node_id)
    for topic in topics:
        for partition in (await admin.describe_topic(topic)).partitions:
            stored = by_partition.get((topic, partition.partition), [])
            risk = _risk_of(partition, stored, node_id, live)
            if risk:
                found.append(f"{topic}/{partition.partition} {risk}")
    return found


async def refusal(admin: Admin, node_id: int) -> str | None:
    """What the metadata's leader has against the node's being away now, also when it is in
    maintenance already. Raises ClientError (of any other reason)."""
    from streamlog.client import ClientError

    try:
        await admin.begin_maintenance(node_id, validate_only=True)
    except ClientError as error:
        if error.reason != "MAJORITY_AT_RISK":
            raise
        return error.message
    return None


def _risk_of(
    partition: PartitionDescription,
    stored: list[ReplicaDescription],
    node_id: int,
    live: set[int],
) -> str:
    """What stands against stopping the node; empty: nothing, or too few nodes live, which the
    metadata's leader has told already."""
    members = partition.replica_node_ids
    if node_id not in (*members, *partition.leaving_node_ids):
        return ""
    if partition.moving:  # Who of its members has caught up is not looked at.
        return "is on its way to other nodes: wait until that is done"
    if 2 * len(live & set(members) - {node_id}) <= len(members):
        return ""
    committed = max((replica.committed_end_offset for replica in stored), default=0)
    ready = [
        replica.node_id
        for replica in stored
        if replica.node_id in members
        and replica.node_id != node_id
        and replica.end_offset + LAG_MAX >= committed
    ]
    if 2 * len(ready) > len(members):
        return ""
    return f"is on nodes {_listed(members)}, and of the others {_listed(ready)} have caught up"


def _listed(node_ids: list[int] | tuple[int, ...]) -> str:
    return ", ".join(map(str, node_ids)) or "none"
