"""`streamlog produce`: lines of standard input or of a file become records."""

from __future__ import annotations

import asyncio
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streamlog.cli.completion import complete_topics
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.options import RATE_MAX, examples, fields, whole_number
from streamlog.cli.output import Output, OutputOption, counted, size_text
from streamlog.cli.progress import Progress
from streamlog.cli.records import parser
from streamlog.cli.records.input_lines import open_input
from streamlog.cli.records.pacing import Pacer
from streamlog.cli.records.parser import Parser
from streamlog.cli.records.positions import parse_time
from streamlog.cli.records.producing import Production
from streamlog.cli.records.report import ProduceReport
from streamlog.cli.remote import on_cluster, policy, run
from streamlog.cli.target import Target

PARTITION_MAX = 2**31 - 1
TIMEOUT_S_MAX = 86_400


class Compression(StrEnum):
    """What batches are compressed with."""

    ZSTD = "zstd"
    NONE = "none"


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command(
        "produce",
        epilog=fields(parser.LETTERS)
        + examples(
            "echo hello | streamlog produce greetings",
            "streamlog produce orders --key-separator : < orders.txt",
            "streamlog produce orders --file orders.txt -H source=import --null NULL",
            "streamlog produce orders --file orders.tsv -f '%k\\t%h{kind}\\t%v\\n' --rate 500",
            "streamlog consume orders --from start:end -o json | streamlog produce copy -f json",
            "echo hello | streamlog produce greetings --report -o json",
        ),
    )(on_cluster(produce))


def produce(
    topic: Annotated[
        str,
        typer.Argument(metavar="TOPIC", help="Topic to write to.", autocompletion=complete_topics),
    ],
    key: Annotated[str | None, typer.Option("--key", "-k", help="One key for all lines.")] = None,
    key_separator: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="What stands between key and value; a line without it has no key."
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="TEMPLATE",
            help=r"What a line looks like, as '%k\t%v\n'; the fields are below. Or json: what"
            " 'consume -o json' prints.",
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header", "-H", metavar="NAME=VALUE", help="For every record; may be repeated."
        ),
    ] = None,
    null: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A key or value that is this is null.")
    ] = None,
    partition: Annotated[
        int | None,
        typer.Option(
            "--partition",
            "-p",
            metavar="N",
            parser=whole_number(0, PARTITION_MAX),
            help="Default: by the key; without a key, spread.",
        ),
    ] = None,
    timestamp: Annotated[
        str | None,
        typer.Option(
            metavar="@TIME",
            help="Of every record: @-1h, ISO 8601 or Unix milliseconds after an @. Default: now.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Read this instead of standard input."),
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=whole_number(1, RATE_MAX),
            help="At most so many records a second, evenly.",
        ),
    ] = None,
    compression: Annotated[Compression, typer.Option(help="Of the batches.")] = Compression.ZSTD,
    timeout: Annotated[
        int,
        typer.Option(
            metavar="SECONDS",
            parser=whole_number(1, TIMEOUT_S_MAX),
            help="How long to try to store a record before giving up.",
        ),
    ] = 30,
    report: Annotated[
        bool, typer.Option("--report", help="Print where each record was stored, as that is known.")
    ] = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Write each line of the input as a record.

    Lines are sent as they come. The command ends with its input, when a majority of the replicas
    has every record on disk: that is what exit code 0 says. Ctrl-C ends it, too, with exit code 130,
    when what was sent until then is stored; it tells how many lines that are.

    With --report -o json a line of JSON tells of each record; -o json alone prints a summary.
    """
    headers = [_header(text) for text in header or []]
    stamp_ms = None if timestamp is None else parse_time("--timestamp", timestamp)
    parse = _parser(key, key_separator, template, null)
    if headers or partition is not None or stamp_ms is not None:
        parse = parser.with_defaults(parse, headers, partition, stamp_ms)
    source = open_input(file)
    if file is None and sys.stdin.isatty():
        typer.echo("each line becomes a record; Ctrl-D ends the input", err=True)

    told = ProduceReport(topic, output, each=report) if report or output is Output.JSON else None
    shown = sys.stderr.isatty() and not sys.stdin.isatty() and not (report and sys.stdout.isatty())

    async def work() -> None:
        from streamlog.client import Producer

        progress = Progress(shown=shown)
        pacer = None if rate is None else Pacer(rate, asyncio.get_running_loop().time)
        async with (
            Producer(
                target.bootstrap,
                compression=compression,
                delivery_timeout_ms=timeout * 1_000,
                policy=policy(),
            ) as producer,
            progress,
        ):
            production = Production(producer, topic, parse, progress, pacer=pacer, report=told)
            try:
                await production.send_all(source)
            except asyncio.CancelledError:  # Ctrl-C
                await production.store_the_rest()
                typer.echo(f"interrupted: {_summary(progress)}", err=True)
                raise
        if told is not None:
            told.finish(progress.size_bytes, progress.seconds)
        typer.echo(_summary(progress), err=True)

    run(work(), target, [topic])


def _parser(
    key: str | None, key_separator: str | None, template: str | None, null: str | None
) -> Parser:
    """How lines are read. Raises CommandFailed when the options contradict each other."""
    named = {"--key": key, "--key-separator": key_separator, "--format": template}
    given = [option for option, value in named.items() if value is not None]
    if len(given) > 1:
        raise CommandFailed(f"{' and '.join(given)} exclude each other", EXIT_USAGE)
    if key_separator == "":
        raise CommandFailed("--key-separator is empty", EXIT_USAGE)
    if key_separator is not None:
        parse = parser.separator_parser(os.fsencode(key_separator))
    elif template is not None:
        parse = parser.template_parser(template)
    else:
        parse = parser.value_parser(None if key is None else os.fsencode(key))
    return parse if null is None else parser.with_null(parse, os.fsencode(null))


def _header(text: str) -> tuple[str, bytes | None]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CommandFailed(f"--header {text!r} is not NAME=VALUE", EXIT_USAGE)
    return name, os.fsencode(value)


def _summary(progress: Progress) -> str:
    """How many; on a terminal how fast too, which differs from run to run."""
    stored = f"{counted(progress.records, 'record')} {_are(progress.records)} stored"
    if not sys.stderr.isatty() or not progress.records:
        return stored
    return (
        f"{stored}: {size_text(progress.size_bytes)} in {progress.seconds:.1f} s, "
        f"{progress.records / progress.seconds:,.0f} records/s"
    )


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
