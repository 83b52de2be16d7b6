"""`streamlog topic`: create, list, describe and delete topics."""

from __future__ import annotations

from typing import Annotated

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.remote import BOOTSTRAP_DEFAULT, Bootstrap, run, settings

Name = Annotated[str, typer.Argument(help="Topic: 1 to 249 characters of [a-zA-Z0-9._-].")]


def register(application: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="Topics.\n\n  streamlog topic create orders --partitions 6 --config retention.ms=-1",
        no_args_is_help=True,
    )
    group.command("create")(create)
    group.command("list")(list_topics)
    group.command("describe")(describe)
    group.command("delete")(delete)
    application.add_typer(group, name="topic")


def create(
    name: Name,
    partitions: Annotated[
        int, typer.Option("--partitions", "-p", help="1 to 10,000; 0: the cluster's default.")
    ] = 0,
    replication_factor: Annotated[
        int, typer.Option("--replication-factor", "-r", help="1 to 7; 0: the cluster's default.")
    ] = 0,
    config: Annotated[
        list[str] | None, typer.Option("--config", "-c", help="key=value; may be repeated.")
    ] = None,
    bootstrap: Bootstrap = BOOTSTRAP_DEFAULT,
) -> None:
    """Create a topic."""
    overrides = settings(config or [])
    if partitions < 0 or replication_factor < 0:
        raise CommandFailed("partitions and replication factor are 0 or more", EXIT_USAGE)

    async def work() -> None:
        from streamlog.client import Admin

        async with Admin(bootstrap) as admin:
            topic = await admin.create_topic(
                name,
                partitions=partitions,
                replication_factor=replication_factor,
                config=overrides,
            )
        replicas = len(topic.partitions[0].replica_node_ids)
        typer.echo(f"created {name}: {len(topic.partitions)} partitions, {replicas} replicas")

    run(work(), bootstrap)


def list_topics(bootstrap: Bootstrap = BOOTSTRAP_DEFAULT) -> None:
    """List topics."""

    async def work() -> None:
        from rich.console import Console
        from rich.table import Table

        from streamlog.client import Admin

        async with Admin(bootstrap) as admin:
            topics = await admin.list_topics()
        table = Table("topic", "partitions", "replicas", "id", box=None)
        for topic in topics:
            table.add_row(
                topic.name,
                str(topic.partition_count),
                str(topic.replication_factor),
                str(topic.topic_id),
            )
        Console().print(table if topics else "no topics")

    run(work(), bootstrap)


def describe(name: Name, bootstrap: Bootstrap = BOOTSTRAP_DEFAULT) -> None:
    """Show a topic's partitions, leaders, offsets and settings."""

    async def work() -> None:
        from rich.console import Console
        from rich.table import Table

        from streamlog.client import Admin

        async with Admin(bootstrap) as admin:
            topic = await admin.describe_topic(name)
            pairs = [(name, p.partition) for p in topic.partitions if p.leader_node_id]
            starts = await admin.list_offsets(pairs, "earliest") if pairs else {}
            ends = await admin.list_offsets(pairs, "latest") if pairs else {}
        table = Table("partition", "leader", "term", "replicas", "start", "end", box=None)
        for p in topic.partitions:
            start = next((at.offset for pair, at in starts.items() if pair[1] == p.partition), "-")
            end = next((at.offset for pair, at in ends.items() if pair[1] == p.partition), "-")
            table.add_row(
                str(p.partition),
                str(p.leader_node_id or "none"),
                str(p.leader_term),
                " ".join(map(str, p.replica_node_ids)),
                str(start),
                str(end),
            )
        console = Console()
        console.print(table)
        for entry in topic.config:
            mark = "*" if entry.overridden else " "
            console.print(f"{mark} {entry.key} = {entry.value}", highlight=False)
        console.print("(* set on the topic)")

    run(work(), bootstrap)


def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    bootstrap: Bootstrap = BOOTSTRAP_DEFAULT,
) -> None:
    """Delete a topic and its data."""
    if not yes:
        typer.confirm(f"delete topic {name} and all of its records?", abort=True)

    async def work() -> None:
        from streamlog.client import Admin

        async with Admin(bootstrap) as admin:
            await admin.delete_topic(name)
        typer.echo(f"deleted {name}")

    run(work(), bootstrap)
