"""`streamlog bench`: how fast records are written and read, from here."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from streamlog.cli.bench.latency import Latencies
from streamlog.cli.bench.load import ConsumeLoad, Limits, ProduceLoad
from streamlog.cli.completion import complete_topics
from streamlog.cli.options import PARTITIONS_MAX, RATE_MAX, examples, whole_number
from streamlog.cli.output import Output, OutputOption, show_json, size_text, table
from streamlog.cli.progress import Progress
from streamlog.cli.records.produce import Compression
from streamlog.cli.remote import admin_of, on_cluster, policy, run
from streamlog.cli.target import Target

SECONDS_DEFAULT = 10
SECONDS_MAX = 86_400
RECORDS_MAX = 10**12
RECORD_BYTES_MAX = 1_000_000
PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}

Topic = Annotated[
    str,
    typer.Option("--topic", "-t", metavar="TOPIC", help="Topic.", autocompletion=complete_topics),
]
Seconds = Annotated[
    int | None,
    typer.Option(
        "--seconds", metavar="N", parser=whole_number(1, SECONDS_MAX), help="Stop after so long."
    ),
]
Records = Annotated[
    int | None,
    typer.Option(
        "--records",
        "-n",
        metavar="N",
        parser=whole_number(1, RECORDS_MAX),
        help="Stop after so many records.",
    ),
]


def register(application: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Measure: produce, consume.", no_args_is_help=True)
    group.command(
        "produce",
        epilog=examples(
            "streamlog bench produce --topic load --create 6",
            "streamlog bench produce --topic load --records 1000000 --record-bytes 100",
            "streamlog bench produce --topic load --rate 5000 --seconds 30 --acks-latency -o json",
        ),
    )(on_cluster(bench_produce))
    group.command(
        "consume",
        epilog=examples(
            "streamlog bench consume --topic load",
            "streamlog bench consume --topic load --records 1000000 -o json",
            "streamlog bench consume --topic load --follow --seconds 30",
        ),
    )(on_cluster(bench_consume))
    application.add_typer(group, name="bench")


def bench_produce(
    topic: Topic,
    records: Records = None,
    seconds: Seconds = None,
    record_bytes: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=whole_number(1, RECORD_BYTES_MAX),
            help="Bytes of each value: hexadecimal digits, which zstd halves.",
        ),
    ] = 100,
    rate: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=whole_number(1, RATE_MAX),
            help="At most so many records a second, evenly. Default: as fast as it goes.",
        ),
    ] = None,
    compression: Annotated[Compression, typer.Option(help="Of the batches.")] = Compression.ZSTD,
    acks_latency: Annotated[
        bool,
        typer.Option(
            "--acks-latency",
            help="Measure the time from when each record is due, by --rate, to its acknowledgement;"
            " without --rate, from sending it, and most of that is waiting in the client.",
        ),
    ] = False,
    create: Annotated[
        int | None,
        typer.Option(
            metavar="PARTITIONS",
            parser=whole_number(1, PARTITIONS_MAX),
            help="Create the topic, with so many partitions, when it is not there.",
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Write records and tell how fast that went.

    They stay in the topic. Without --records and --seconds it takes 10 seconds; the clock stops
    when the last record is acknowledged.
    """
    limits = Limits(records, SECONDS_DEFAULT if records is None and seconds is None else seconds)
    latencies = Latencies() if acks_latency else None

    async def work() -> dict[str, Any]:
        from streamlog.client import Producer, TopicExists

        if create is not None:
            async with admin_of(target) as admin:
                try:
                    await admin.create_topic(topic, partitions=create)
                except TopicExists:
                    typer.echo(f"note: {topic} exists already", err=True)
        progress = Progress(total=records)
        async with (
            Producer(target.bootstrap, compression=compression, policy=policy()) as producer,
            progress,
        ):
            load = ProduceLoad(
                producer,
                topic,
                progress,
                record_bytes=record_bytes,
                rate=rate,
                latencies=latencies,
            )
            await load.run(limits)
            result = _result(progress, progress.seconds)
            result["sent_bytes"] = producer.sent_bytes
        if latencies is not None:
            result["acks_latency_ms"] = _milliseconds(latencies)
        return result

    _show(run(work(), target, [topic]), output)


def bench_consume(
    topic: Topic,
    records: Records = None,
    seconds: Seconds = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for new records at the end instead of stopping.")
    ] = False,
    output: OutputOption = Output.TABLE,
    *,
    target: Target,
) -> None:
    """Read a topic from its start and tell how fast that went.

    It stops at the end of the topic, if it gets so far. The clock stops at the last record.
    """

    async def work() -> dict[str, Any]:
        from streamlog.client import Consumer

        progress = Progress(total=records)
        async with Consumer(target.bootstrap, policy=policy()) as consumer, progress:
            load = ConsumeLoad(consumer, topic, progress)
            await load.run(Limits(records, seconds), follow=follow)
        result = _result(progress, load.last_record_s)
        if load.first_record_ms is not None:
            result["first_record_ms"] = round(load.first_record_ms, 3)
        return result

    result = run(work(), target, [topic])
    if result["records"] or output is Output.JSON:
        _show(result, output)
    else:
        typer.echo(
            f"{topic} holds no records; 'streamlog bench produce --topic {topic}' writes some"
        )


def _result(progress: Progress, seconds: float) -> dict[str, Any]:
    span_s = max(seconds, 1e-9)
    return {
        "records": progress.records,
        "bytes": progress.size_bytes,
        "seconds": round(seconds, 3),
        "records_per_second": round(progress.records / span_s) if progress.records else 0,
        "bytes_per_second": round(progress.size_bytes / span_s) if progress.records else 0,
    }


def _milliseconds(latencies: Latencies) -> dict[str, float]:
    found = {name: latencies.percentile_us(share) / 1_000 for name, share in PERCENTILES.items()}
    return found | {"max": latencies.max_us / 1_000}


def _show(result: dict[str, Any], output: Output) -> None:
    if output is Output.JSON:
        show_json(result)
        return
    rows = [
        {"measure": "records", "value": f"{result['records']:,}"},
        {"measure": "seconds", "value": f"{result['seconds']:.3f}"},
        {"measure": "records/s", "value": f"{result['records_per_second']:,}"},
        {"measure": "bytes", "value": size_text(result["bytes"])},
        {"measure": "bytes/s", "value": f"{size_text(result['bytes_per_second'])}/s"},
    ]
    if "sent_bytes" in result:
        rows.append({"measure": "sent, compressed", "value": size_text(result["sent_bytes"])})
    if "first_record_ms" in result:
        rows.append({"measure": "first record", "value": f"{result['first_record_ms']:.1f} ms"})
    for name, latency_ms in result.get("acks_latency_ms", {}).items():
        rows.append({"measure": f"ack latency {name}", "value": f"{latency_ms:.2f} ms"})
    typer.echo(table(rows))
