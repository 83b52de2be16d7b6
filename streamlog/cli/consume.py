"""`streamlog consume`: records become lines."""

from __future__ import annotations

import base64
import json
import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.remote import BOOTSTRAP_DEFAULT, Bootstrap, run

if TYPE_CHECKING:
    from streamlog.client import Consumer, ConsumerRecord, TopicPartition

ESCAPES = {r"\n": "\n", r"\t": "\t", r"\\": "\\"}
POLL_MS = 500


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command("consume")(consume)


def consume(
    topic: Annotated[str, typer.Argument(help="Topic to read.")],
    start: Annotated[
        str,
        typer.Option(
            "--from",
            help="start, end, an offset N, the last -N of each partition, or @TIME "
            "(Unix milliseconds or ISO 8601).",
        ),
    ] = "end",
    count: Annotated[
        int | None, typer.Option("-n", "--number", min=1, help="Stop after so many records.")
    ] = None,
    partition: Annotated[
        int | None, typer.Option("--partition", "-p", min=0, help="Only this partition.")
    ] = None,
    exit_at_end: Annotated[
        bool, typer.Option("--exit", "-e", help="Stop at the end instead of waiting for more.")
    ] = False,
    template: Annotated[
        str,
        typer.Option(
            "--format", "-f", help="%t topic, %p partition, %o offset, %T time, %k key, %v value."
        ),
    ] = r"%v\n",
    output: Annotated[str, typer.Option("--output", "-o", help="format, json or raw.")] = "format",
    bootstrap: Bootstrap = BOOTSTRAP_DEFAULT,
) -> None:
    r"""Print records.

    streamlog consume greetings --from start -e

    streamlog consume greetings --from @2026-01-31T00:00:00Z -f '%p %o %k %v\n'
    """
    if output not in {"format", "json", "raw"}:
        raise CommandFailed(f"--output {output!r}: one of format, json, raw", EXIT_USAGE)
    where = parse_start(start)

    async def work() -> None:
        from streamlog.client import Admin, Consumer

        async with Admin(bootstrap) as admin:
            described = await admin.describe_topic(topic)
        numbers = [p.partition for p in described.partitions]
        if partition is not None:
            if partition not in numbers:
                raise CommandFailed(
                    f"{topic} has partitions 0 to {len(numbers) - 1}, not {partition}", EXIT_USAGE
                )
            numbers = [partition]
        async with Consumer(bootstrap) as consumer:
            ends = await _begin(consumer, [(topic, number) for number in numbers], where)
            await _print(consumer, ends if exit_at_end else None)

    async def _print(consumer: Consumer, ends: dict[TopicPartition, int] | None) -> None:
        left = count
        while left is None or left > 0:
            if ends is not None:
                positions = [await consumer.position(pair) >= end for pair, end in ends.items()]
                if all(positions):
                    return
            polled = await consumer.getmany(
                max_records=min(left or 5_000, 5_000), timeout_ms=POLL_MS
            )
            for records in polled.values():
                for record in records:
                    sys.stdout.buffer.write(render(record, template, output))
                left = None if left is None else left - len(records)
            sys.stdout.buffer.flush()

    run(work(), bootstrap)


Where = tuple[Literal["start", "end", "offset", "last", "time"], int]


def parse_start(text: str) -> Where:
    """What --from says. Raises CommandFailed."""
    if text == "start":
        return ("start", 0)
    if text == "end":
        return ("end", 0)
    if re.fullmatch(r"\d+", text):
        return ("offset", int(text))
    if re.fullmatch(r"-\d+", text):
        return ("last", -int(text))
    if text.startswith("@"):
        if text[1:].isdigit():
            return ("time", int(text[1:]))
        try:
            moment = datetime.fromisoformat(text[1:])
        except ValueError as error:
            raise CommandFailed(f"--from {text!r}: {error}", EXIT_USAGE) from error
        return ("time", int(moment.timestamp() * 1_000))
    raise CommandFailed(f"--from {text!r}: start, end, N, -N or @TIME", EXIT_USAGE)


async def _begin(
    consumer: Consumer, partitions: list[tuple[str, int]], where: Where
) -> dict[TopicPartition, int]:
    """Place the consumer; the present ends."""
    kind, number = where
    ends = await consumer.end_offsets(partitions)
    starts = await consumer.beginning_offsets(partitions)
    consumer.assign(partitions, start="latest" if kind == "end" else "earliest")
    if kind == "offset":
        for pair in ends:
            await consumer.seek(pair, min(max(number, starts[pair]), ends[pair]))
    elif kind == "last":
        for pair, end in ends.items():
            await consumer.seek(pair, max(starts[pair], end - number))
    elif kind == "time":
        await consumer.seek_to_time(dict.fromkeys(partitions, number))
    return ends


def render(record: ConsumerRecord, template: str, output: str) -> bytes:
    """One record as it is printed."""
    if output == "raw":
        return record.value or b""
    if output == "json":
        content = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "key": _text(record.key),
            "value": _text(record.value),
            "headers": {name: _text(value) for name, value in record.headers},
        }
        return json.dumps(content).encode() + b"\n"
    parts = {
        "%t": record.topic.encode(),
        "%p": b"%d" % record.partition,
        "%o": b"%d" % record.offset,
        "%T": b"%d" % record.timestamp_ms,
        "%k": record.key or b"",
        "%v": record.value or b"",
        "%%": b"%",
    }
    pieces = re.split(r"(%[tpoTkv%]|\\[nt\\])", template)
    return b"".join(
        parts[piece] if piece in parts else ESCAPES.get(piece, piece).encode() for piece in pieces
    )


def _text(value: bytes | None) -> str | dict[str, str] | None:
    """Text where it is text, else base64 that says so."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
