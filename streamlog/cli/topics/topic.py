"""`streamlog topic`: create, list and describe; `change` has what alters a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamlog.cli.completion import complete_settings, complete_topics
from streamlog.cli.confirm import DryRun
from streamlog.cli.options import PARTITIONS_MAX, REPLICAS_MAX, examples, whole_number
from streamlog.cli.output import (
    Output,
    OutputOption,
    counted,
    say,
    show,
    show_json,
    size_text,
    table,
)
from streamlog.cli.remote import admin_of, on_cluster, run, settings
from streamlog.cli.target import Target
from streamlog.cli.topics import change, trim
from streamlog.cli.topics.cells import moving_cell
from streamlog.cli.topics.disk_usage import (
    replica_rows,
    replicas_of,
    shown_size,
    size_column,
    size_of,
)
from streamlog.model.settings.topic import TOPIC_SETTINGS

if TYPE_CHECKING:
    from streamlog.client import Admin, ReplicaDescription, TopicDescription


def register(application: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="Topics: create, list, describe, alter, trim, delete.", no_args_is_help=True
    )
    group.command(
        "create",
        epilog=examples(
            "streamlog topic create orders --partitions 6",
            "streamlog topic create audit -p 3 -r 3 -c retention.ms=-1 -c max.batch.bytes=65536",
        ),
    )(on_cluster(create))
    group.command(
        "list",
        epilog=examples(
            "streamlog topic list", "streamlog topic list --size", "streamlog topic list -o json"
        ),
    )(on_cluster(list_topics))
    group.command(
        "describe",
        epilog=examples(
            "streamlog topic describe orders", "streamlog topic describe orders -o json"
        ),
    )(on_cluster(describe))
    change.register(group)
    trim.register(group)
    application.add_typer(group, name="topic")


def create(
    name: Annotated[
        str, typer.Argument(metavar="TOPIC", help="1 to 249 characters of [a-zA-Z0-9._-].")
    ],
    partitions: Annotated[
        int,
        typer.Option(
            "--partitions",
            "-p",
            metavar="N",
            parser=whole_number(0, PARTITIONS_MAX),
            help="1 to 10,000; 0: the cluster's default.",
        ),
    ] = 0,
    replication_factor: Annotated[
        int,
        typer.Option(
            "--replication-factor",
            "-r",
            metavar="N",
            parser=whole_number(0, REPLICAS_MAX),
            help="1 to 7; 0: the cluster's default.",
        ),
    ] = 0,
    config: Annotated[
        list[str] | None,
        typer.Option(
            "--config",
            "-c",
            metavar="KEY=VALUE",
            help="A setting; may be repeated. docs/configuration.md lists them.",
            autocompletion=complete_settings,
        ),
    ] = None,
    dry_run: DryRun = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Create a topic."""
    overrides = settings(config or [])

    async def work() -> None:
        async with admin_of(target) as admin:
            topic = await admin.create_topic(
                name,
                partitions=partitions,
                replication_factor=replication_factor,
                config=overrides,
                validate_only=dry_run,
            )
        replicas = len(topic.partitions[0].replica_node_ids)
        say(
            f"{'would create' if dry_run else 'created'} {name}: "
            f"{counted(len(topic.partitions), 'partition')}, {counted(replicas, 'replica')}",
            {
                "topic": name,
                "id": None if dry_run else topic.topic_id,
                "partitions": len(topic.partitions),
                "replicas": replicas,
                "dry_run": dry_run,
            },
            output,
        )

    run(work(), target)


def list_topics(
    size: Annotated[
        bool, typer.Option("--size", help="Also what they take on disk, on all nodes together.")
    ] = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """List topics."""

    async def work() -> None:
        async with admin_of(target) as admin:
            topics = await admin.list_topics()
            stored = await replicas_of(admin) if size and topics else []
        by_topic: dict[str, list[ReplicaDescription]] = {topic.name: [] for topic in topics}
        for replica in stored:
            by_topic.setdefault(replica.topic, []).append(replica)
        rows: list[dict[str, Any]] = []
        for topic in topics:
            row: dict[str, Any] = {
                "topic": topic.name,
                "partitions": topic.partition_count,
                "replicas": topic.replication_factor,
                "id": topic.topic_id,
            }
            if size:
                largest = max((each.size_bytes for each in by_topic[topic.name]), default=None)
                total = size_of(by_topic[topic.name])
                row[size_column(output)] = shown_size(total, output)
                row[size_column(output, "largest_replica")] = shown_size(largest, output)
            rows.append(row)
        show(rows, output, none="no topics; make one: streamlog topic create NAME")

    run(work(), target)


def describe(
    name: Annotated[
        str, typer.Argument(metavar="TOPIC", help="Topic.", autocompletion=complete_topics)
    ],
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Show a topic's partitions, replicas, sizes and settings.

    Each setting tells whether its value is the topic's own or the default. A replica whose node
    does not answer is left out, of the sizes too.
    """

    async def work() -> None:
        async with admin_of(target) as admin:
            topic = await admin.describe_topic(name)
            rows = await partition_rows(admin, topic, output)
            stored = await replicas_of(admin, name)
        for row in rows:
            total = size_of(each for each in stored if each.partition == row["partition"])
            row[size_column(output)] = shown_size(total, output)
        config = [
            {
                "setting": entry.key,
                "value": entry.value,
                "unit": TOPIC_SETTINGS[entry.key].unit if entry.key in TOPIC_SETTINGS else "",
                "from": "topic" if entry.overridden else "default",
            }
            for entry in topic.config
        ]
        if output is Output.JSON:
            show_json(
                {
                    "topic": name,
                    "id": topic.topic_id,
                    "size_bytes": size_of(stored),
                    "partitions": rows,
                    "replicas": replica_rows(stored, output),
                    "settings": config,
                }
            )
            return
        typer.echo(table(rows))
        if stored:
            typer.echo()
            typer.echo(table(replica_rows(stored, output)))
            typer.echo(f"{size_text(size_of(stored) or 0)} on disk, all replicas together")
        typer.echo()
        typer.echo(table(config))

    run(work(), target, [name])


async def partition_rows(
    admin: Admin, topic: TopicDescription, output: Output
) -> list[dict[str, Any]]:
    """A row a partition; offsets are absent where no leader answers."""
    from streamlog.client import ClientError

    pairs = [(topic.name, p.partition) for p in topic.partitions if p.leader_node_id]
    try:
        starts = await admin.list_offsets(pairs, "earliest") if pairs else {}
        ends = await admin.list_offsets(pairs, "latest") if pairs else {}
    except ClientError as error:
        if not error.retriable:
            raise
        typer.echo(f"the offsets are not known now: {error}", err=True)
        starts = ends = {}
    start_of = {pair.partition: at.offset for pair, at in starts.items()}
    end_of = {pair.partition: at.offset for pair, at in ends.items()}
    return [
        {
            "partition": p.partition,
            "leader": p.leader_node_id or None,
            "term": p.leader_term,
            "replicas": list(p.replica_node_ids),
            "moving": moving_cell(p, output),
            "start": start_of.get(p.partition),
            "end": end_of.get(p.partition),
        }
        for p in topic.partitions
    ]
