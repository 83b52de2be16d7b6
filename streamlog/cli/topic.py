"""`streamlog topic`: create, list, describe, alter, extend and delete topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.options import examples, whole_number
from streamlog.cli.output import Output, OutputOption, show, show_json, table
from streamlog.cli.remote import BOOTSTRAP_DEFAULT, Bootstrap, policy, run, settings

if TYPE_CHECKING:
    from streamlog.client import Admin
    from streamlog.client.admin import TopicDescription

PARTITIONS_MAX = 10_000
REPLICAS_MAX = 7

Name = Annotated[
    str, typer.Argument(metavar="TOPIC", help="1 to 249 characters of [a-zA-Z0-9._-].")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check only; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def register(application: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Topics: create, list, describe, alter, delete.", no_args_is_help=True)
    group.command(
        "create",
        epilog=examples(
            "streamlog topic create orders --partitions 6",
            "streamlog topic create audit -p 3 -r 3 -c retention.ms=-1 -c max.batch.bytes=65536",
        ),
    )(create)
    group.command("list", epilog=examples("streamlog topic list", "streamlog topic list -o json"))(
        list_topics
    )
    group.command("describe", epilog=examples("streamlog topic describe orders"))(describe)
    group.command(
        "alter",
        epilog=examples(
            "streamlog topic alter orders --set retention.ms=86400000",
            "streamlog topic alter orders --unset retention.ms --dry-run",
        ),
    )(alter)
    group.command(
        "add-partitions",
        epilog=examples("streamlog topic add-partitions orders 12 --yes"),
    )(add_partitions)
    group.command("delete", epilog=examples("streamlog topic delete orders --yes"))(delete)
    application.add_typer(group, name="topic")


def _admin(bootstrap: str) -> Admin:
    from streamlog.client import Admin

    return Admin(bootstrap, policy=policy())


def create(
    name: Name,
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
        ),
    ] = None,
    dry_run: DryRun = False,
    bootstrap: Bootstrap = BOOTSTRAP_DEFAULT,
) -> None:
    """Create a topic."""
    overrides = settings(config or [])

    async def work() -> None:
        async with _admin(bootstrap) as admin:
            topic = await admin.create_topic(
                name,
                partitions=partitions,
                replication_factor=replication_factor,
                config=overrides,
                validate_only=dry_run,
            )
        replicas = len(topic.partitions[0].replica_node_ids)
        done = "would create" if dry_run else "created"
        typer.echo(f"{done} {name}: {len(topic.partitions)} partitions, {replicas} replicas")

    run(work(), bootstrap)


def list_topics(
    output: OutputOption = Output.TABLE, bootstrap: Bootstrap = BOOTSTRAP_DEFAULT
) -> None:
    """List topics."""

    async def work() -> None:
        async with _admin(bootstrap) as admin:
            topics = await admin.list_topics()
        rows = [
            {
                "topic": topic.name,
                "partitions": topic.partition_count,
                "replicas": topic.replication_factor,
                "id": topic.topic_id,
            }
            for topic in topics
        ]
        show(rows, output, none="no topics")

    run(work(), bootstrap)


def describe(
    name: Name,
    output: OutputOption = Output.TABLE,
    bootstrap: Bootstrap = BOOTSTRAP_DEFAULT,
) -> None:
    """Show a topic's partitions, leaders, offsets and settings."""

    async def work() -> None:
        async with _admin(bootstrap) as admin:
            topic = await admin.describe_topic(name)
            rows = await partition_rows(admin, topic)
        config = [
            {"key": entry.key, "value": entry.value, "set_on_topic": entry.overridden}
            for entry in topic.config
        ]
        if output is Output.JSON:
            show_json({"topic": name, "id": topic.topic_id, "partitions": rows, "settings": config})
            return
        typer.echo(table(rows))
        typer.echo()
        for entry in topic.config:
            mark = "*" if entry.overridden else " "
            typer.echo(f"{mark} {entry.key} = {entry.value}")
        typer.echo("(* set on the topic, the others are defaults)")

    run(work(), bootstrap)


async def partition_rows(admin: Admin, topic: TopicDescription) -> list[dict[str, Any]]:
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
            "start": start_of.get(p.partition),
            "end": end_of.get(p.partition),
        }
        for p in topic.partitions
    ]


def alter(
    name: Name,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", "-c", metavar="KEY=VALUE", help="Set it; may be repeated."),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="KEY", help="Back to the default; may be repeated."),
    ] = None,
    dry_run: DryRun = False,
    bootstrap: Bootstrap = BOOTSTRAP_DEFAULT,
) -> None:
    """Change a topic's settings.

    All that are named or, when one of them is refused, none.
    """
    changes = settings(set_ or [])
    if not changes and not unset:
        raise CommandFailed("nothing to change: give --set KEY=VALUE or --unset KEY", EXIT_USAGE)

    async def work() -> None:
        async with _admin(bootstrap) as admin:
            config = await admin.alter_topic(
                name, config=changes, unset=unset or [], validate_only=dry_run
            )
        typer.echo(f"{name} {'would differ' if dry_run else 'differs'} from the defaults in:")
        for key, value in sorted(config.items()):
            typer.echo(f"  {key} = {value}")
        if not config:
            typer.echo("  nothing")

    run(work(), bootstrap)


def add_partitions(
    name: Name,
    partitions: Annotated[
        int,
        typer.Argument(
            metavar="N",
            parser=whole_number(1, PARTITIONS_MAX),
            help="Partitions it shall have afterwards; more than now, at most 10,000.",
        ),
    ],
    yes: Yes = False,
    dry_run: DryRun = False,
    bootstrap: Bootstrap = BOOTSTRAP_DEFAULT,
) -> None:
    """Add partitions to a topic.

    They are never taken away again, and new records of a key may go to another partition than
    its old ones.
    """
    if not yes and not dry_run:
        typer.confirm(
            f"give {name} {partitions} partitions? Keys will map to other partitions", abort=True
        )

    async def work() -> None:
        async with _admin(bootstrap) as admin:
            topic = await admin.add_partitions(name, partitions, validate_only=dry_run)
        typer.echo(
            f"{name} {'would have' if dry_run else 'has'} {len(topic.partitions)} partitions"
        )

    run(work(), bootstrap)


def delete(
    name: Name,
    yes: Yes = False,
    bootstrap: Bootstrap = BOOTSTRAP_DEFAULT,
) -> None:
    """Delete a topic and its data."""
    if not yes:
        typer.confirm(f"delete topic {name} and all of its records?", abort=True)

    async def work() -> None:
        async with _admin(bootstrap) as admin:
            await admin.delete_topic(name)
        typer.echo(f"deleted {name}")

    run(work(), bootstrap)
