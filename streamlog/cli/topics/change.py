"""`streamlog topic alter`, `add-partitions` and `delete`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from streamlog.cli.completion import complete_keys, complete_settings, complete_topics
from streamlog.cli.confirm import DryRun, Yes, confirm
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.operators.arrivals import WATCH, Arrival
from streamlog.cli.operators.assignments import to_json
from streamlog.cli.operators.waiting import Timeout, Wait, wait_until
from streamlog.cli.options import PARTITIONS_MAX, REPLICAS_MAX, examples, whole_number
from streamlog.cli.output import Output, OutputOption, counted, say
from streamlog.cli.remote import admin_of, on_cluster, run, settings
from streamlog.cli.target import Target

Name = Annotated[
    str, typer.Argument(metavar="TOPIC", help="Topic.", autocompletion=complete_topics)
]


def register(group: typer.Typer) -> None:
    """Add the commands to `streamlog topic`."""
    group.command(
        "alter",
        epilog=examples(
            "streamlog topic alter orders --set retention.ms=86400000",
            "streamlog topic alter orders --unset retention.ms --dry-run",
            "streamlog topic alter orders --replication-factor 3",
        ),
    )(on_cluster(alter))
    group.command(
        "add-partitions",
        epilog=examples(
            "streamlog topic add-partitions orders 12 --dry-run",
            "streamlog topic add-partitions orders 12 --yes",
        ),
    )(on_cluster(add_partitions))
    group.command(
        "delete",
        epilog=examples(
            "streamlog topic delete orders --dry-run", "streamlog topic delete orders --yes"
        ),
    )(on_cluster(delete))


def alter(
    name: Name,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-c",
            metavar="KEY=VALUE",
            help="Set it; may be repeated.",
            autocompletion=complete_settings,
        ),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            "--unset",
            metavar="KEY",
            help="Back to the default; may be repeated.",
            autocompletion=complete_keys,
        ),
    ] = None,
    replication_factor: Annotated[
        int | None,
        typer.Option(
            "--replication-factor",
            "-r",
            metavar="N",
            parser=whole_number(1, REPLICAS_MAX),
            help="Replicas of each partition; 1 to 7. New ones are copied.",
        ),
    ] = None,
    wait: Wait = True,
    timeout: Timeout = None,
    dry_run: DryRun = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Change a topic's settings, or how many replicas it has.

    All settings that are named or, when one of them is refused, none. With --replication-factor the
    command waits until each partition has so many replicas; clients notice nothing.
    """
    changes = settings(set_ or [])
    has_settings = bool(changes or unset)
    if not has_settings and replication_factor is None:
        raise CommandFailed(
            "nothing to change: give --set KEY=VALUE, --unset KEY or --replication-factor N",
            EXIT_USAGE,
        )

    async def work() -> None:
        lines: list[str] = []
        content: dict[str, Any] = {"topic": name}
        async with admin_of(target) as admin:
            if replication_factor is not None:  # Refused more often: nothing is changed before.
                await admin.set_replication_factor(name, replication_factor, validate_only=True)
            if has_settings:
                config = await admin.alter_topic(
                    name, config=changes, unset=unset or [], validate_only=dry_run
                )
                lines.append(
                    f"{name} {'would differ' if dry_run else 'differs'} from the defaults in:"
                )
                lines += [f"  {key} = {value}" for key, value in sorted(config.items())]
                lines += [] if config else ["  nothing"]
                content["differs_from_defaults"] = dict(sorted(config.items()))
            if replication_factor is not None:
                wanted = await admin.set_replication_factor(
                    name, replication_factor, validate_only=dry_run
                )
                waited = wait and not dry_run
                if waited:
                    arrival = Arrival(admin, wanted)
                    await wait_until(arrival.look, timeout_s=timeout, afterwards=WATCH)
                verb = "has" if waited else "would have" if dry_run else "is about to have"
                lines.append(f"{name} {verb} {counted(replication_factor, 'replica')}")
                content["replication_factor"] = replication_factor
                content["assignments"] = to_json(wanted)
        say("\n".join(lines), {**content, "dry_run": dry_run}, output)

    run(work(), target, [name])


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
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Add partitions to a topic.

    They are never taken away again, and new records of a key may go to another partition than
    its old ones.
    """
    confirm(
        f"give {name} at {target.bootstrap} {counted(partitions, 'partition')}? Keys will map to"
        " other partitions.",
        yes=yes or dry_run,
    )

    async def work() -> None:
        async with admin_of(target) as admin:
            topic = await admin.add_partitions(name, partitions, validate_only=dry_run)
        say(
            f"{name} {'would have' if dry_run else 'has'} "
            f"{counted(len(topic.partitions), 'partition')}",
            {"topic": name, "partitions": len(topic.partitions), "dry_run": dry_run},
            output,
        )

    run(work(), target, [name])


def delete(
    name: Name,
    yes: Yes = False,
    dry_run: DryRun = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Delete a topic and its data."""
    if not dry_run:
        confirm(f"delete topic {name} and all of its records at {target.bootstrap}?", yes=yes)

    async def work() -> None:
        async with admin_of(target) as admin:
            if dry_run:
                topic = await admin.describe_topic(name)
                partitions = len(topic.partitions)
                say(
                    f"would delete {name}: {counted(partitions, 'partition')}",
                    {"topic": name, "partitions": partitions, "dry_run": True},
                    output,
                )
                return
            await admin.delete_topic(name)
        say(f"deleted {name}", {"topic": name, "dry_run": False}, output)

    run(work(), target, [name])
