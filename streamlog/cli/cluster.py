"""`streamlog cluster`: what the cluster is doing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamlog.cli.confirm import DryRun, Yes
from streamlog.cli.failure import EXIT_FAILED
from streamlog.cli.operators import controllers, open_damage, rebalance
from streamlog.cli.options import examples
from streamlog.cli.output import Output, OutputOption, counted, show, show_json, table
from streamlog.cli.recovery import NodeOption, PassOver, force
from streamlog.cli.remote import admin_of, on_cluster, run
from streamlog.cli.target import Target
from streamlog.cli.topics.cells import moving_cell
from streamlog.cli.topics.disk_usage import ANSWER_TIMEOUT_S, shown_size, size_column, size_of

if TYPE_CHECKING:
    from streamlog.client import (
        Admin,
        ClusterDescription,
        NodeDescription,
        NodeReplicas,
        Recovery,
    )


def register(application: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="The cluster: status, nodes, partitions, balance, controllers.", no_args_is_help=True
    )
    group.command(
        "status",
        epilog=examples(
            "streamlog cluster status",
            "streamlog cluster status -b 10.0.0.1:9092,10.0.0.2:9092 -o json",
        ),
    )(on_cluster(status))
    group.command(
        "nodes",
        epilog=examples(
            "streamlog cluster nodes",
            "streamlog cluster nodes --size",
            "streamlog cluster nodes -o json",
        ),
    )(on_cluster(nodes))
    group.command(
        "partitions",
        epilog=examples(
            "streamlog cluster partitions", "streamlog cluster partitions --leaderless -o json"
        ),
    )(on_cluster(partitions))
    rebalance.register(group)
    controllers.register(group)
    group.command(
        "force-recover",
        epilog=examples(
            "streamlog cluster force-recover --node 10.0.0.3:9092 --dry-run",
            "streamlog cluster force-recover --node 10.0.0.3:9092",
        ),
    )(force_recover)

    @group.callback()
    def root() -> None:
        """Tell about the cluster."""

    application.add_typer(group, name="cluster")


def _node_rows(cluster: ClusterDescription) -> list[dict[str, Any]]:
    return [
        {
            "node": node.node_id,
            "address": node.address,
            "rack": node.rack,
            "live": node.live,
            "condition": str(node.condition),
            "role": "metadata leader"
            if node.node_id == cluster.metadata_leader_node_id
            else "controller"
            if node.controller
            else "",
        }
        for node in cluster.nodes
    ]


def status(output: OutputOption = Output.TABLE, *, target: Target) -> None:
    """Show nodes, who leads, and what is wrong.

    Exit code 0: all is well; 1: a node is down or does not answer, a partition has no leader, or
    something that a node stores is damaged and not mended yet.
    """

    async def work() -> bool:
        async with admin_of(target) as admin:
            cluster = await admin.describe_cluster()
            moving = len(await admin.list_moves(progress=False))
            damage = await open_damage.damage_of(admin, cluster.nodes)
        rows = _node_rows(cluster)
        if output is Output.JSON:
            for row in rows:
                row["damaged_ranges"] = open_damage.range_count(damage, row["node"])
            show_json(
                {
                    "cluster_id": cluster.cluster_id,
                    "nodes": rows,
                    "metadata_leader": cluster.metadata_leader_node_id or None,
                    "topics": cluster.topic_count,
                    "partitions": cluster.partition_count,
                    "leaderless_partitions": cluster.leaderless_partition_count,
                    "moving_partitions": moving,
                    "damage": open_damage.rows(damage),
                }
            )
        else:
            typer.echo(f"cluster {cluster.cluster_id}")
            typer.echo(table(rows))
            typer.echo(
                f"{counted(cluster.topic_count, 'topic')}, "
                f"{counted(cluster.partition_count, 'partition')}, "
                f"{cluster.leaderless_partition_count} without a leader"
                + (f", {moving} moving" if moving else "")
            )
            for line in open_damage.lines(damage):
                typer.echo(line)
        return (
            not cluster.leaderless_partition_count
            and all(node.live for node in cluster.nodes)
            and open_damage.is_none(damage)
        )

    if not run(work(), target):
        raise typer.Exit(EXIT_FAILED)


def nodes(
    size: Annotated[
        bool, typer.Option("--size", help="Also what they store, and what is free on their disks.")
    ] = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """List the nodes."""

    async def work() -> None:
        async with admin_of(target) as admin:
            cluster = await admin.describe_cluster()
            rows = _node_rows(cluster)
            if size:
                stored = await asyncio.gather(*(_stored(admin, node) for node in cluster.nodes))
                for row, node in zip(rows, stored, strict=True):
                    row |= _size_columns(node, output)
        show(rows, output, none="no nodes")

    run(work(), target)


async def _stored(admin: Admin, node: NodeDescription) -> NodeReplicas | None:
    """What the node says of its disk; None when it does not answer."""
    from streamlog.client import ClientError

    if not node.live:
        return None
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return await admin.describe_node(node.address)
    except (ClientError, TimeoutError):
        return None


def _size_columns(node: NodeReplicas | None, output: Output) -> dict[str, Any]:
    return {
        "replicas": None if node is None else len(node.replicas),
        size_column(output): None
        if node is None
        else shown_size(size_of(node.replicas) or 0, output),
        size_column(output, "disk_free"): None
        if node is None
        else shown_size(node.disk_free_bytes, output),
    }


def partitions(
    leaderless: Annotated[
        bool, typer.Option("--leaderless", help="Only those without a leader.")
    ] = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """List all partitions with leaders and replicas."""

    async def work() -> None:
        rows: list[dict[str, Any]] = []
        async with admin_of(target) as admin:
            for listed in await admin.list_topics():
                topic = await admin.describe_topic(listed.name)
                rows += [
                    {
                        "topic": topic.name,
                        "partition": p.partition,
                        "leader": p.leader_node_id or None,
                        "term": p.leader_term,
                        "replicas": list(p.replica_node_ids),
                        "moving": moving_cell(p, output),
                        "group": p.group_id,
                    }
                    for p in topic.partitions
                    if not (leaderless and p.leader_node_id)
                ]
        show(
            rows,
            output,
            none="every partition has a leader"
            if leaderless
            else "no partitions; make a topic: streamlog topic create NAME",
        )

    run(work(), target)


def force_recover(
    node: NodeOption,
    dry_run: DryRun = False,
    yes: Yes = False,
    consent: Annotated[
        str | None,
        typer.Option(
            "--confirm",
            metavar="CLUSTER-ID",
            help="The cluster's id: the second consent, instead of typing it.",
        ),
    ] = None,
    pass_over: PassOver = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Go on with one controller: the majority is gone for good.

    The last resort, for the metadata: topics, nodes, where partitions are. The controller keeps
    what it has and decides alone; changes that only the lost ones had are lost. It answers also
    while it waits for the others at its start. Of the controllers that are left take the one of
    the highest last term, among those of the highest end: --dry-run asks all nodes, and lists them
    best first. Refused while a better one answers. Partitions come after it, one by one:
    'streamlog partition force-recover'.
    """

    async def ask(admin: Admin, address: str, accepted: str | None) -> Recovery:
        return await admin.force_recover_cluster(
            address, accept_data_loss=accepted or "", dry_run=accepted is None
        )

    force(
        "the metadata",
        node,
        ask,
        name_of=lambda recovery: recovery.cluster_id,
        afterwards=lambda survivor: (
            "name other controllers than those that are lost: streamlog cluster controllers"
            f" {survivor} NODE NODE"
        ),
        dry_run=dry_run,
        yes=yes,
        consent=consent,
        passed_over=pass_over or (),
        output=output,
    )
