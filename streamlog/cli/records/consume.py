"""`streamlog consume`: records become lines."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from streamlog.cli.completion import complete_groups, complete_topics
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.options import examples, fields, whole_number
from streamlog.cli.records.consuming import Consumption, tell_reset
from streamlog.cli.records.group_consuming import (
    GroupConsumption,
    first_position,
    tell_assigned,
    tell_given_up,
)
from streamlog.cli.records.positions import Place, Range, parse_range
from streamlog.cli.records.printer import (
    LETTERS,
    Printer,
    json_printer,
    raw_printer,
    template_printer,
)
from streamlog.cli.remote import admin_of, on_cluster, policy, run
from streamlog.cli.target import Target

if TYPE_CHECKING:
    from streamlog.client.consume.starting import Policy

OFFSET_MAX = 2**31 - 1
DEFAULT_TEMPLATE = r"%v\n"


class Form(StrEnum):
    """Forms of a record."""

    TEXT = "text"
    JSON = "json"
    RAW = "raw"


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command(
        "consume",
        epilog=fields(LETTERS)
        + examples(
            "streamlog consume orders",
            "streamlog consume orders --from start --exit",
            "streamlog consume orders --from -10 -f '%p %o %k %v\\n'",
            "streamlog consume orders --from @-1h:end -o json",
            "streamlog consume orders --from @2026-01-31T00:00:00Z:@2026-02-01T00:00:00Z",
            "streamlog consume orders -p 0 -p 2 --from 100:200 -f '%T{iso} %h{%k=%v,} %v{hex}\\n'",
            "streamlog consume orders payments -n 5 -f '%t %v\\n'",
            "streamlog consume orders payments --group billing",
            "streamlog consume orders --group billing --exit -o json",
            "streamlog consume --group audit --pattern 'orders-.*' --from @-1h",
        ),
    )(on_cluster(consume))


def consume(
    topics: Annotated[
        list[str] | None,
        typer.Argument(metavar="TOPIC...", help="Topics to read.", autocompletion=complete_topics),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            "-g",
            metavar="NAME",
            help="As a member of this consumer group: from where it stands, and what was printed is"
            " committed.",
            autocompletion=complete_groups,
        ),
    ] = None,
    pattern: Annotated[
        str,
        typer.Option(
            "--pattern",
            metavar="PATTERN",
            help="With --group: also the topics whose whole names match it, those that are yet to be"
            " made included; like 'orders-.*'.",
        ),
    ] = "",
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PLACE",
            help="start, end, an offset N, -N for N offsets before the end of each partition (control"
            " batches take some, after a new leader for one), or @TIME: @-1h, @2026-01-31T00:00:00Z,"
            " @1767225600000 (Unix milliseconds). With ':end' after it: stop"
            " at the end; or N:M, @TIME:@TIME. Default: end; with --group, where it says where to"
            " begin without a position: start.",
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--number",
            metavar="N",
            parser=whole_number(1),
            help="Stop after so many records.",
        ),
    ] = None,
    partitions: Annotated[
        list[int] | None,
        typer.Option(
            "--partition",
            "-p",
            metavar="N",
            parser=whole_number(0, OFFSET_MAX),
            help="Only this partition; may be repeated.",
        ),
    ] = None,
    exit_at_end: Annotated[
        bool, typer.Option("--exit", "-e", help="Stop at the end instead of waiting for more.")
    ] = False,
    template: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="TEMPLATE",
            help=f"What is printed of each record; the fields are below. Default: {DEFAULT_TEMPLATE}",
        ),
    ] = None,
    output: Annotated[
        Form,
        typer.Option(
            "--output",
            "-o",
            help="text: as --format says; json: an object a line; raw: values, nothing between.",
        ),
    ] = Form.TEXT,
    *,
    target: Target,
) -> None:
    """Print the records of topics.

    New ones are printed as they come, until Ctrl-C, -n records, or the end with --exit.

    With --group several of these commands share the partitions of the topics, and each goes on
    where the group stands: 'streamlog group describe' shows it.

    In JSON, bytes that are not UTF-8 are base64, and "value_encoding": "base64" says so.
    """
    names = list(dict.fromkeys(topics or []))
    if not names and not pattern:
        raise CommandFailed(
            "Missing argument 'TOPIC...'; see 'streamlog consume --help'", EXIT_USAGE
        )
    if pattern and group is None:
        raise CommandFailed("--pattern is for --group", EXIT_USAGE)
    if group is not None and partitions:
        raise CommandFailed("--partition is not for --group: it shares them out", EXIT_USAGE)
    wanted = parse_range("--from", start or ("end" if group is None else "start"))
    if group is not None:
        _consume_group(
            target,
            group,
            names,
            pattern,
            first_position(wanted),
            _printer_of(output, template),
            count,
            exit_at_end=exit_at_end,
        )
        return
    if exit_at_end and wanted.until is None:
        wanted = Range(wanted.start, Place("end"))
    printer = _printer_of(output, template)

    async def work() -> int:
        from streamlog.client import Consumer

        async with (
            Consumer(
                target.bootstrap,
                # Who reads a given range must have all of it; who follows goes on.
                below_start="earliest" if wanted.until is None else "error",
                on_reset=tell_reset,
                policy=policy(),
            ) as consumer,
            admin_of(target) as admin,
        ):
            reading = Consumption(consumer, admin, names, partitions, wanted)
            await reading.begin()
            if wanted.until is None and wanted.start == Place("end") and sys.stdout.isatty():
                typer.echo(
                    "waiting for new records (--from start shows those that are there)", err=True
                )
            return await reading.print(printer, count)

    printed = run(work(), target, names)
    if not printed and sys.stderr.isatty():
        typer.echo("no records there", err=True)


def _consume_group(
    target: Target,
    group: str,
    names: list[str],
    pattern: str,
    no_position: Policy,
    printer: Printer,
    count: int | None,
    *,
    exit_at_end: bool,
) -> None:
    async def work() -> int:
        from streamlog.client import Consumer

        async with Consumer(
            target.bootstrap,
            group=group,
            topics=names,
            pattern=pattern,
            no_position=no_position,
            below_start="earliest",
            on_reset=tell_reset,
            on_assigned=tell_assigned,
            on_revoked=tell_given_up,
            on_lost=tell_given_up,
            client_id=f"streamlog consume (pid {os.getpid()})",
            policy=policy(),
        ) as consumer:
            return await GroupConsumption(consumer, exit_at_end=exit_at_end).print(printer, count)

    printed = run(work(), target, names)
    if not printed and sys.stderr.isatty():
        typer.echo("no records that the group has not read", err=True)


def _printer_of(output: Form, template: str | None) -> Printer:
    """Raises CommandFailed."""
    if template is not None and output is not Form.TEXT:
        raise CommandFailed(f"--format is for -o text, not for -o {output}", EXIT_USAGE)
    return _printer(output, DEFAULT_TEMPLATE if template is None else template)


def _printer(output: Form, template: str) -> Printer:
    match output:
        case Form.JSON:
            return json_printer
        case Form.RAW:
            return raw_printer
        case Form.TEXT:
            return template_printer(template)
