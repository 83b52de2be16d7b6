"""`streamlog consume`: records become lines."""

from __future__ import annotations

import base64
import json
import re
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.options import examples, whole_number
from streamlog.cli.positions import Where, parse_start
from streamlog.cli.remote import BOOTSTRAP_DEFAULT, Bootstrap, policy, run

if TYPE_CHECKING:
    from streamlog.client import Consumer, ConsumerRecord, TopicPartition

ESCAPES = {r"\n": b"\n", r"\t": b"\t", r"\\": b"\\"}
PIECE = re.compile(r"(%h\{[^}]*\}|%[tpoTkv%]|\\[nt\\])")
POLL_MS = 500
RECORDS_AT_ONCE = 5_000
OFFSET_MAX = 2**31 - 1


class Form(StrEnum):
    """Forms of a record."""

    FORMAT = "format"
    JSON = "json"
    RAW = "raw"


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command(
        "consume",
        epilog=examples(
            "streamlog consume orders --from start --exit",
            "streamlog consume orders --from -10 -f '%p %o %k %v\\n'",
            "streamlog consume orders --from @2026-01-31T00:00:00Z:end -o json",
        ),
    )(consume)


def consume(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Topic to read.")],
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="PLACE",
            help="start, end, an offset N, -N for the last N of each partition, or @TIME "
            "(Unix milliseconds or ISO 8601). With ':end' after it: stop at the end.",
        ),
    ] = "end",
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
    partition: Annotated[
        int | None,
        typer.Option(
            "--partition",
            "-p",
            metavar="N",
            parser=whole_number(0, OFFSET_MAX),
            help="Only this partition.",
        ),
    ] = None,
    exit_at_end: Annotated[
        bool, typer.Option("--exit", "-e", help="Stop at the end instead of waiting for more.")
    ] = False,
    template: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="%t topic, %p partition, %o offset, %T time in Unix milliseconds, %k key, "
            "%v value, %h{NAME} header, %% percent.",
        ),
    ] = r"%v\n",
    output: Annotated[
        Form,
        typer.Option(
            "--output",
            "-o",
            help="format: as --format says; json: an object a line; raw: values, nothing between.",
        ),
    ] = Form.FORMAT,
    bootstrap: Bootstrap = BOOTSTRAP_DEFAULT,
) -> None:
    """Print the records of a topic.

    New ones are printed as they come, until Ctrl-C, -n records, or the end with --exit.
    """
    where = parse_start(start)
    check_template(template)

    async def work() -> None:
        from streamlog.client import Consumer

        async with Consumer(bootstrap, policy=policy()) as consumer:
            numbers = await consumer.partitions_for(topic)
            if partition is not None:
                if partition not in numbers:
                    raise CommandFailed(
                        f"{topic} has partitions 0 to {len(numbers) - 1}, not {partition}",
                        EXIT_USAGE,
                    )
                numbers = [partition]
            ends = await _begin(consumer, [(topic, number) for number in numbers], where)
            stops = exit_at_end or where.until_end
            await _print(consumer, ends if stops else None)

    async def _print(consumer: Consumer, ends: dict[TopicPartition, int] | None) -> None:
        left = count
        while left is None or left > 0:
            if ends is not None:
                positions = [await consumer.position(pair) >= end for pair, end in ends.items()]
                if all(positions):
                    return
            wanted = RECORDS_AT_ONCE if left is None else min(left, RECORDS_AT_ONCE)
            polled = await consumer.getmany(max_records=wanted, timeout_ms=POLL_MS)
            for pair, records in polled.items():
                end = None if ends is None else ends[pair]
                for record in records:
                    if end is not None and record.offset >= end:
                        break
                    sys.stdout.buffer.write(render(record, template, output))
                    left = None if left is None else left - 1
            sys.stdout.buffer.flush()

    run(work(), bootstrap)


async def _begin(
    consumer: Consumer, partitions: list[tuple[str, int]], where: Where
) -> dict[TopicPartition, int]:
    """Place the consumer; the present ends."""
    kind, number, _ = where
    ends = await consumer.end_offsets(partitions)
    starts = await consumer.beginning_offsets(partitions)
    consumer.assign(partitions, start="latest" if kind == "end" else "earliest")
    if kind == "offset":
        for pair in ends:
            if len(ends) == 1 and not starts[pair] <= number <= ends[pair]:
                raise CommandFailed(
                    f"offset {number} of {pair.topic}/{pair.partition} is out of range: "
                    f"{starts[pair]} to {ends[pair]}"
                )
            await consumer.seek(pair, min(max(number, starts[pair]), ends[pair]))
    elif kind == "last":
        for pair, end in ends.items():
            await consumer.seek(pair, max(starts[pair], end - number))
    elif kind == "time":
        await consumer.seek_to_time(dict.fromkeys(partitions, number))
    return ends


def check_template(template: str) -> None:
    """Raises CommandFailed for a percent sign that means nothing."""
    for piece in PIECE.split(template):
        if not PIECE.fullmatch(piece) and "%" in piece:
            unknown = piece[piece.index("%") :][:2]
            raise CommandFailed(
                f"--format {template!r}: {unknown!r} is none of %t %p %o %T %k %v %h{{NAME}} %%",
                EXIT_USAGE,
            )


def render(record: ConsumerRecord, template: str, output: str) -> bytes:
    """One record as it is printed."""
    if output == Form.RAW:
        return record.value or b""
    if output == Form.JSON:
        content = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "key": _text(record.key),
            "value": _text(record.value),
            "headers": [[name, _text(value)] for name, value in record.headers],
        }
        return json.dumps(content).encode() + b"\n"
    return b"".join(_piece(record, piece) for piece in PIECE.split(template))


def _piece(record: ConsumerRecord, piece: str) -> bytes:
    match piece:
        case "%t":
            return record.topic.encode()
        case "%p":
            return b"%d" % record.partition
        case "%o":
            return b"%d" % record.offset
        case "%T":
            return b"%d" % record.timestamp_ms
        case "%k":
            return record.key or b""
        case "%v":
            return record.value or b""
        case "%%":
            return b"%"
        case _ if piece.startswith("%h{"):
            values = [value or b"" for name, value in record.headers if name == piece[3:-1]]
            return b",".join(values)
        case _:
            return ESCAPES.get(piece, piece.encode())


def _text(value: bytes | None) -> str | dict[str, str] | None:
    """Text where it is text, else base64 that says so."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
