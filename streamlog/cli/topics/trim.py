"""`streamlog topic trim`: let go of old records before their retention does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamlog.cli.completion import complete_topics
from streamlog.cli.confirm import DryRun, Yes, confirm
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.options import examples, whole_number
from streamlog.cli.output import Output, OutputOption, counted, show_json, table
from streamlog.cli.records.positions import OFFSET_MAX, Place, parse_place
from streamlog.cli.remote import admin_of, on_cluster, run
from streamlog.cli.target import Target

if TYPE_CHECKING:
    from streamlog.client import Admin, TopicPartition

PARTITION_MAX = 2**31 - 1
RANGES_SHOWN_MAX = 5
"""Partitions that an error names."""


@dataclass(frozen=True, slots=True)
class PartitionTrim:
    """Where a partition begins, and where it shall.

    Invariant: start <= new_start.
    """

    partition: int
    start: int
    new_start: int

    @property
    def let_go(self) -> int:
        """Offsets that are not there afterwards: of records, and of control batches."""
        return self.new_start - self.start

    def row(self) -> dict[str, Any]:
        """As it is printed."""
        return {
            "partition": self.partition,
            "start": self.start,
            "new_start": self.new_start,
            "let_go": self.let_go,
        }


def register(group: typer.Typer) -> None:
    """Add the command to `streamlog topic`."""
    group.command(
        "trim",
        epilog=examples(
            "streamlog topic trim orders --before @-7d --dry-run",
            "streamlog topic trim orders --before @2026-01-31T00:00:00Z --yes",
            "streamlog topic trim orders --before 120000 --partition 0 --yes",
            "streamlog topic trim orders --before end --yes",
        ),
    )(on_cluster(trim))


def trim(
    name: Annotated[
        str, typer.Argument(metavar="TOPIC", help="Topic.", autocompletion=complete_topics)
    ],
    before: Annotated[
        str,
        typer.Option(
            metavar="PLACE",
            help="Let go of what is before: start (nothing), end (everything), an offset or @TIME"
            " (@-7d, ISO 8601, Unix milliseconds).",
        ),
    ],
    partitions: Annotated[
        list[int] | None,
        typer.Option(
            "--partition",
            "-p",
            metavar="N",
            parser=whole_number(0, PARTITION_MAX),
            help="Only this partition; may be repeated.",
        ),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Let go of the oldest records of a topic.

    They are gone for ever, and readers who stand there go on at the new start. A batch that holds
    the place is kept whole, so that a partition may begin a little before it. What goes is counted
    in offsets: control batches take some, too.
    """
    place = parse_place("--before", before)

    async def plan() -> list[PartitionTrim]:
        async with admin_of(target) as admin:
            return await plan_trim(admin, name, partitions, place)

    planned = run(plan(), target, [name])
    doomed = [each for each in planned if each.let_go]
    if dry_run or not doomed:
        _show(name, planned, output, dry_run=dry_run)
        return
    offsets = sum(each.let_go for each in doomed)
    if not yes:
        typer.echo(table([each.row() for each in doomed]), err=True)
    confirm(
        f"let go of up to {counted(offsets, 'offset')} of {name} at {target.bootstrap} for ever?",
        yes=yes,
    )

    async def work() -> list[PartitionTrim]:
        async with admin_of(target) as admin:
            begins = await admin.trim({(name, each.partition): each.new_start for each in doomed})
        starts = {pair.partition: start for pair, start in begins.items()}
        return [
            PartitionTrim(
                each.partition,
                each.start,
                max(starts.get(each.partition, each.start), each.start),
            )
            for each in planned
        ]

    _show(name, run(work(), target, [name]), output, dry_run=False)


async def plan_trim(
    admin: Admin, name: str, partitions: list[int] | None, place: Place
) -> list[PartitionTrim]:
    """What each partition would lose, at most. Raises CommandFailed, ClientError.

    An offset beyond the end of a partition is refused: it is a slip more likely than a wish to let
    go of everything, and for that there is `end`.
    """
    there = [p.partition for p in (await admin.describe_topic(name)).partitions]
    for number in partitions or ():
        if number not in there:
            raise CommandFailed(
                f"{name} has partitions 0 to {len(there) - 1}, not {number}", EXIT_USAGE
            )
    pairs = [(name, number) for number in dict.fromkeys(partitions or there)]
    starts = await admin.list_offsets(pairs, "earliest")
    ends = await admin.list_offsets(pairs, "latest")
    if place.kind == "offset":
        _refuse_beyond(place.number, {p: (starts[p].offset, ends[p].offset) for p in ends})
    times = await admin.list_offsets(pairs, place.number) if place.kind == "time" else {}
    planned = []
    for pair, first in starts.items():
        end = ends[pair].offset
        match place.kind:
            case "start":
                wanted = 0
            case "end":
                wanted = OFFSET_MAX
            case "time":
                wanted = times[pair].offset
            case _:
                wanted = place.number
        start = first.offset
        planned.append(PartitionTrim(pair.partition, start, max(start, min(wanted, end))))
    return planned


def _refuse_beyond(offset: int, bounds: dict[TopicPartition, tuple[int, int]]) -> None:
    beyond = {pair: (start, end) for pair, (start, end) in bounds.items() if offset > end}
    if beyond:
        ranges = ", ".join(
            f"{pair.topic}/{pair.partition} has {start} to {end}"
            for pair, (start, end) in list(beyond.items())[:RANGES_SHOWN_MAX]
        )
        more = ", ..." if len(beyond) > RANGES_SHOWN_MAX else ""
        raise CommandFailed(
            f"offset {offset} is out of range: {ranges}{more}; --before end lets go of everything,"
            " --partition chooses"
        )


def _show(name: str, trims: list[PartitionTrim], output: Output, *, dry_run: bool) -> None:
    offsets = sum(each.let_go for each in trims)
    if output is Output.JSON:
        show_json(
            {
                "topic": name,
                "dry_run": dry_run,
                "let_go": offsets,
                "partitions": [each.row() for each in trims],
            }
        )
        return
    typer.echo(table([each.row() for each in trims]))
    if offsets == 0:
        typer.echo("nothing is before that")
    elif dry_run:
        typer.echo(f"would let go of up to {counted(offsets, 'offset')}")
    else:
        typer.echo(f"let go of {counted(offsets, 'offset')}")
