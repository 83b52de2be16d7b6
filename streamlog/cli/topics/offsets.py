"""`streamlog offsets`: where the partitions of a topic begin, end, or are at a time."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from streamlog.cli.completion import complete_topics
from streamlog.cli.options import examples
from streamlog.cli.output import Output, OutputOption, show
from streamlog.cli.records.positions import parse_time
from streamlog.cli.remote import admin_of, on_cluster, run
from streamlog.cli.target import Target


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command(
        "offsets",
        epilog=examples(
            "streamlog offsets orders",
            "streamlog offsets orders --at @2026-01-31T00:00:00Z",
            "streamlog offsets orders --at @-1h -o json",
        ),
    )(on_cluster(offsets))


def offsets(
    topic: Annotated[
        str, typer.Argument(metavar="TOPIC", help="Topic.", autocompletion=complete_topics)
    ],
    at: Annotated[
        str | None,
        typer.Option(
            metavar="@TIME",
            help="Also the first offset at or after a time: @-1h, ISO 8601, Unix milliseconds.",
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Show where each partition begins and ends.

    The end is exclusive. Between the two lie at most so many records: control batches take
    offsets, too.
    """
    moment = None if at is None else parse_time("--at", at)

    async def work() -> None:
        async with admin_of(target) as admin:
            described = await admin.describe_topic(topic)
            pairs = [(topic, p.partition) for p in described.partitions]
            starts = await admin.list_offsets(pairs, "earliest")
            ends = await admin.list_offsets(pairs, "latest")
            times = await admin.list_offsets(pairs, moment) if moment is not None else {}
        rows: list[dict[str, Any]] = []
        for pair, start in starts.items():
            row = {"partition": pair.partition, "start": start.offset, "end": ends[pair].offset}
            if moment is not None:
                row["at_time"] = times[pair].offset
            rows.append(row)
        show(rows, output, none="no partitions")

    run(work(), target, [topic])
