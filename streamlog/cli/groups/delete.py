"""`streamlog group delete` and `delete-offsets`: what nobody needs any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

from streamlog.cli.confirm import DryRun, Yes, confirm
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.groups.names import GroupName, Topics, existing, pairs_of, parse_topics
from streamlog.cli.operators.waiting import advised
from streamlog.cli.options import examples
from streamlog.cli.output import Output, OutputOption, counted, say
from streamlog.cli.remote import admin_of, on_cluster, run
from streamlog.cli.target import Target

if TYPE_CHECKING:
    from streamlog.client import GroupDescription

_ADVICE: Final = {
    "GROUP_NOT_EMPTY": "stop its members first ('streamlog group describe' names them)",
    "GROUP_SUBSCRIBED": "stop the members, or set the positions with 'streamlog group reset'",
}


def register(group: typer.Typer) -> None:
    """Add the commands to `streamlog group`."""
    group.command(
        "delete",
        epilog=examples(
            "streamlog group delete billing --dry-run", "streamlog group delete billing --yes"
        ),
    )(on_cluster(delete))
    group.command(
        "delete-offsets",
        epilog=examples(
            "streamlog group delete-offsets billing --topic old-orders --yes",
            "streamlog group delete-offsets billing --topic orders:4-7 --dry-run",
        ),
    )(on_cluster(delete_offsets))


def delete(
    name: GroupName,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Delete a group that has no members, with its positions.

    Readers that join a group of this name later begin where their own policy says.
    """
    found = _described(name, target)
    if found.members:
        raise CommandFailed(
            f"{name} has {counted(len(found.members), 'member')}; {_ADVICE['GROUP_NOT_EMPTY']}"
        )
    count = sum(each.committed is not None for each in found.partitions)
    if not dry_run:
        confirm(
            f"delete group {name} with {counted(count, 'position')} at {target.bootstrap}?",
            yes=yes,
        )

        async def work() -> int:
            async with admin_of(target) as admin, existing(admin, name):
                with advised(_ADVICE):
                    return await admin.delete_group(name)

        count = run(work(), target)
    say(
        f"{'would delete' if dry_run else 'deleted'} {name}: {counted(count, 'position')}",
        {"group": name, "positions": count, "dry_run": dry_run},
        output,
    )


def delete_offsets(
    name: GroupName,
    topics: Topics = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Forget positions of a group in topics that it left.

    None of its members may subscribe to them.
    """
    choices = parse_topics(topics or [])
    if not choices:
        raise CommandFailed("--topic must say of which topics", EXIT_USAGE)

    async def plan() -> list[tuple[str, int]]:
        async with admin_of(target) as admin, existing(admin, name):
            offsets = await admin.group_offsets(name)
            pairs = await pairs_of(admin, choices)
        there = {(pair.topic, pair.partition): None for pair in offsets}
        return [pair for pair in pairs if pair in there]

    named = [choice.topic for choice in choices]
    pairs = run(plan(), target, named)
    count = len(pairs)
    if pairs and not dry_run:
        confirm(f"forget {counted(count, 'position')} of {name} at {target.bootstrap}?", yes=yes)

        async def work() -> int:
            async with admin_of(target) as admin, existing(admin, name):
                with advised(_ADVICE):
                    return await admin.delete_group_offsets(name, pairs)

        count = run(work(), target, named)
    say(
        f"{'would forget' if dry_run else 'forgot'} {counted(count, 'position')} of {name}",
        {"group": name, "positions": count, "dry_run": dry_run},
        output,
    )


def _described(name: str, target: Target) -> GroupDescription:
    async def work() -> GroupDescription:
        async with admin_of(target) as admin, existing(admin, name):
            return await admin.describe_group(name, lag=False)

    return run(work(), target)
