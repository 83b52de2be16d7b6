"""`streamlog group list` and `describe`, once or for as long as somebody watches."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.groups.cells import as_csv, as_json, as_text, lag_text
from streamlog.cli.groups.names import GroupName, existing
from streamlog.cli.groups.watching import GroupScreen, ListScreen, watch
from streamlog.cli.options import examples, whole_number
from streamlog.cli.output import Output, OutputOption, show, show_json
from streamlog.cli.remote import admin_of, on_cluster, run
from streamlog.cli.target import Target

if TYPE_CHECKING:
    from streamlog.client import Admin, GroupDescription, GroupListing

DESCRIBED_AT_ONCE: Final = 8
INTERVAL_S_MAX: Final = 3_600


class DescribeOutput(StrEnum):
    """Forms of a description."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Watch = Annotated[
    bool,
    typer.Option(
        "--watch",
        "-w",
        help="Again and again, until Ctrl-C: in place on a terminal, else line by line.",
    ),
]
Interval = Annotated[
    int,
    typer.Option(
        "--interval",
        metavar="SECONDS",
        parser=whole_number(1, INTERVAL_S_MAX),
        help="How often, with --watch.",
    ),
]
Number = Annotated[
    int | None,
    typer.Option(
        "-n",
        "--number",
        metavar="N",
        parser=whole_number(1),
        help="With --watch: stop after so many looks.",
    ),
]


def register(group: typer.Typer) -> None:
    """Add the commands to `streamlog group`."""
    group.command(
        "list",
        epilog=examples(
            "streamlog group list",
            "streamlog group list --lag",
            "streamlog group list --lag --watch",
            "streamlog group list -o json",
        ),
    )(on_cluster(list_groups))
    group.command(
        "describe",
        epilog=examples(
            "streamlog group describe billing",
            "streamlog group describe billing --watch",
            "streamlog group describe billing -o json",
            "streamlog group describe billing -o csv",
            "streamlog group describe billing --watch --interval 10 -o json",
        ),
    )(on_cluster(describe))


def list_groups(
    lag: Annotated[
        bool, typer.Option("--lag", help="Also their lag: asks for each group by itself.")
    ] = False,
    watch_: Watch = False,
    interval: Interval = 2,
    number: Number = None,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """List consumer groups.

    A group is EMPTY when it has no members, and its positions are kept for a while; RECONCILING
    while partitions are on their way from one member to another; else STABLE.
    """
    _check_watch(watch_, number)

    async def rows(admin: Admin) -> list[dict[str, Any]]:
        listed = await admin.list_groups()
        described = await _described(admin, listed) if lag else {}
        return [_row(each, described.get(each.name), output, lag=lag) for each in listed]

    async def work() -> None:
        async with admin_of(target) as admin:
            if watch_:
                await watch(lambda: rows(admin), ListScreen(output), interval, number)
            else:
                show(
                    await rows(admin),
                    output,
                    none="no groups: one is made by its first member or its first commit",
                )

    run(work(), target)


def describe(
    name: GroupName,
    watch_: Watch = False,
    interval: Interval = 2,
    number: Number = None,
    output: Annotated[
        DescribeOutput,
        typer.Option("--output", "-o", help="A table; JSON or CSV for programs and 'group reset'."),
    ] = DescribeOutput.TABLE,
    *,
    target: Target,
) -> None:
    """Show a group: lag, members, positions, rebalances.

    The lag counts offsets from the oldest unread record to the end; its time is the age of that
    record. What somebody should look at comes first: a member that handles nothing, a partition
    that nobody owns, a topic that is not there.

    With --watch the lag is shown as it moves, the worst partitions first, with its change a second.
    """
    _check_watch(watch_, number)
    if watch_ and output is DescribeOutput.CSV:
        raise CommandFailed("--watch is for -o table and -o json, not for -o csv", EXIT_USAGE)

    async def work() -> None:
        async with admin_of(target) as admin:
            if watch_:
                as_json_lines = output is DescribeOutput.JSON
                async with existing(admin, name):
                    await watch(
                        lambda: admin.describe_group(name),
                        GroupScreen(as_json=as_json_lines),
                        interval,
                        number,
                    )
                return
            async with existing(admin, name):
                group = await admin.describe_group(name)
        match output:
            case DescribeOutput.JSON:
                show_json(as_json(group))
            case DescribeOutput.CSV:
                typer.echo(as_csv(group), nl=False)
            case DescribeOutput.TABLE:
                typer.echo(as_text(group))

    run(work(), target)


def _check_watch(watched: bool, number: int | None) -> None:
    if number is not None and not watched:
        raise CommandFailed("-n is for --watch", EXIT_USAGE)


async def _described(
    admin: Admin, listed: list[GroupListing]
) -> dict[str, GroupDescription | None]:
    """By name; None for one that went meanwhile, or whose coordinator does not answer."""
    import asyncio

    from streamlog.client import ClientError

    limit = asyncio.Semaphore(DESCRIBED_AT_ONCE)

    async def one(name: str) -> GroupDescription | None:
        async with limit:
            try:
                return await admin.describe_group(name)
            except ClientError as error:
                if error.retriable or error.reason == "UNKNOWN_GROUP":
                    return None
                raise

    found = await asyncio.gather(*(one(each.name) for each in listed))
    return {each.name: group for each, group in zip(listed, found, strict=True)}


def _row(
    each: GroupListing, described: GroupDescription | None, output: Output, *, lag: bool
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "group": each.name,
        "phase": each.phase.value,
        "members": each.member_count,
        "positions": each.offset_count,
        "assignor": each.assignor or None,
        "epoch": each.epoch,
        "coordinator": each.coordinator_node_id,
    }
    if lag:
        records = None if described is None else described.lag_records
        seconds = None if described is None else described.lag_seconds
        if output is Output.JSON:
            row |= {
                "lag_records": records,
                "lag_seconds": seconds,
                "findings": None if described is None else len(described.findings),
            }
        else:
            row |= {
                "lag": records,
                "lag_time": lag_text(seconds),
                "findings": None if described is None else len(described.findings),
            }
    return row
