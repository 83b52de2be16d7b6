"""`streamlog group reset`: move a group to other positions, whether it reads or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.groups.names import GroupName, TopicChoice, Topics, existing, pairs_of
from streamlog.cli.groups.names import parse_topics as parse_choices
from streamlog.cli.groups.offsets_file import Offsets, read_offsets
from streamlog.cli.groups.places import (
    PlannedReset,
    ResetPlan,
    bounds_of,
    offsets_of,
    parse_shift,
    parse_to,
)
from streamlog.cli.options import examples
from streamlog.cli.output import Output, OutputOption, counted, show_json, table
from streamlog.cli.records.positions import Place
from streamlog.cli.remote import admin_of, on_cluster, run
from streamlog.cli.target import Target

if TYPE_CHECKING:
    from streamlog.client import Admin, GroupDescription


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for. Invariant: exactly one of `place`, `shift` and `offsets` is there."""

    choices: Sequence[TopicChoice]
    """Empty: all that the group has to do with."""
    place: Place | None
    shift: int | None
    offsets: Offsets | None


def register(group: typer.Typer) -> None:
    """Add the command to `streamlog group`."""
    group.command(
        "reset",
        epilog=examples(
            "streamlog group reset billing --to earliest",
            "streamlog group reset billing --topic orders --to @2026-01-31T00:00:00Z --yes",
            "streamlog group reset billing --topic orders:0,3 --to 120000 --yes",
            "streamlog group reset billing --to -2h --yes",
            "streamlog group reset billing --shift -1000 --yes",
            "streamlog group reset billing --from-file billing.csv --yes",
            "streamlog group describe billing -o csv |"
            " streamlog group reset billing-2 --from-file - --create --yes",
        ),
    )(on_cluster(reset))


def reset(
    name: GroupName,
    topics: Topics = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="PLACE",
            help="earliest, latest, an offset, @TIME (@2026-01-31T00:00:00Z, Unix milliseconds) or"
            " -DURATION (-2h: what is younger is read again).",
        ),
    ] = None,
    shift: Annotated[
        str | None,
        typer.Option(
            "--shift",
            metavar="±N",
            help="By so many offsets from where the group stands, as far as the log reaches: -100"
            " reads again, +100 skips.",
        ),
    ] = None,
    from_file: Annotated[
        str | None,
        typer.Option(
            "--from-file",
            metavar="FILE",
            help="To the offsets in a file, as 'group describe -o json' or '-o csv' writes it, or"
            " lines of topic,partition,offset; '-': standard input.",
        ),
    ] = None,
    create: Annotated[
        bool,
        typer.Option("--create", help="Make the group when there is none of this name."),
    ] = False,
    execute: Annotated[
        bool,
        typer.Option("--yes", "--execute", "-y", help="Do it; without this it is only shown."),
    ] = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Set the positions of a group, to read again or to skip.

    Without --yes it is only shown what would change. Without --topic it is about every partition
    that the group subscribes to or has a position of.

    It can be done while members read: whoever owns one of the partitions loses it, and is given it
    anew at the new position; what it was about to commit is refused. An offset that the log does
    not have is refused.

    What is printed with -o json can be given to --from-file: that puts back what was before.
    """
    wish = _wish(topics or [], to, shift, from_file)
    if create and wish.shift is not None:
        raise CommandFailed("--create has nothing to --shift from", EXIT_USAGE)

    async def work() -> tuple[list[PlannedReset], int | None]:
        async with admin_of(target) as admin, existing(admin, name):
            planned = await plan_reset(admin, name, wish, create=create)
            doing = {
                (each.topic, each.partition): each.new_offset for each in planned if each.changes
            }
            if not execute or not doing:
                return planned, None
            return planned, await admin.reset_group_offsets(name, doing, create=create)

    planned, epoch = run(work(), target, [choice.topic for choice in wish.choices])
    _show(name, planned, epoch, output, executed=execute)


def _wish(topics: Sequence[str], to: str | None, shift: str | None, from_file: str | None) -> Wish:
    """Raises CommandFailed."""
    given = [
        flag
        for flag, value in (("--to", to), ("--shift", shift), ("--from-file", from_file))
        if value is not None
    ]
    if len(given) != 1:
        problem = f"{' and '.join(given)} do not go together" if given else "nothing says where to"
        raise CommandFailed(f"{problem}: give one of --to, --shift and --from-file", EXIT_USAGE)
    return Wish(
        parse_choices(topics),
        parse_to(to) if to is not None else None,
        parse_shift(shift) if shift is not None else None,
        read_offsets(from_file) if from_file is not None else None,
    )


async def plan_reset(
    admin: Admin, name: str, wish: Wish, *, create: bool = False
) -> list[PlannedReset]:
    """What would become of each partition. Raises CommandFailed, ClientError."""
    group = await _described(admin, name, create=create)
    chosen = await pairs_of(admin, wish.choices) if wish.choices else None
    if wish.offsets is not None:
        wanted = {
            pair: offset
            for pair, offset in wish.offsets.items()
            if chosen is None or pair in chosen
        }
        pairs = list(wanted)
    elif chosen is not None:
        pairs = chosen
    else:
        known = group.partitions if group is not None else ()
        pairs = [(each.topic, each.partition) for each in known]
    if not pairs:
        raise CommandFailed(
            f"there is nothing to set: {name} has no positions there and reads nothing; name"
            " topics with --topic"
        )
    starts, ends = await bounds_of(admin, pairs)
    plan = ResetPlan(group, starts, ends)
    if wish.shift is not None:
        skipped = plan.without_position()
        if skipped:
            typer.echo(
                f"note: {counted(len(skipped), 'partition')} without a position, like"
                f" {skipped[0][0]}/{skipped[0][1]}: nothing to shift there",
                err=True,
            )
        return plan.shifted(wish.shift)
    if wish.offsets is not None:
        return plan.to({pair: wanted[pair] for pair in starts})
    assert wish.place is not None
    return plan.to(await offsets_of(admin, wish.place, starts, ends))


async def _described(admin: Admin, name: str, *, create: bool) -> GroupDescription | None:
    from streamlog.client import ClientError

    try:
        return await admin.describe_group(name, lag=False)
    except ClientError as error:
        if create and error.reason == "UNKNOWN_GROUP":
            return None
        raise


def _show(
    name: str,
    planned: Sequence[PlannedReset],
    epoch: int | None,
    output: Output,
    *,
    executed: bool,
) -> None:
    changing = [each for each in planned if each.changes]
    limited = sum(each.limited for each in planned)
    if limited:
        typer.echo(
            f"note: {counted(limited, 'partition')} only as far as the log reaches", err=True
        )
    if output is Output.JSON:
        show_json(
            {
                "group": name,
                "dry_run": not executed,
                "epoch": epoch,
                "changed": len(changing),
                "partitions": [each.row() for each in planned],
            }
        )
    else:
        if planned:
            typer.echo(table([each.row() for each in planned]))
        positions = counted(len(changing), "position")
        if not changing:
            typer.echo(f"{name} is there already")
        elif executed:
            typer.echo(f"set {positions} of {name}")
        else:
            typer.echo(f"would set {positions} of {name}")
    if changing and not executed:
        typer.echo("nothing was changed; --yes does it", err=True)
