"""The Python client of this platform, run as a process: one JSON object on stdout.

Usage: python -m benchmarks.clients.platform WORK BOOTSTRAP TOPIC RECORDS
WORK: produce-events, produce-blobs, consume, single, costs.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time

from benchmarks.events import incompressible_blobs, json_events
from benchmarks.summary import percentile
from streamlog.client import Admin, Consumer, Producer

SILENCE_MS = 20_000


async def produce(
    bootstrap: str, topic: str, records: int, values: list[bytes]
) -> dict[str, float]:
    """As fast as the client takes them, each acknowledged by a majority's fsync."""
    size = sum(len(values[number % len(values)]) for number in range(len(values)))
    async with Producer(bootstrap) as producer:
        await producer.send(topic, values[0])
        begin = time.perf_counter()
        sent = 0
        while sent < records:
            chunk = values[: records - sent]
            await producer.send_many(topic, chunk)
            sent += len(chunk)
        await producer.flush()
        seconds = time.perf_counter() - begin
    per_record = size / len(values)
    return {
        "records": records + 1,
        "records_per_s": records / seconds,
        "mb_per_s": records * per_record / seconds / 1e6,
    }


async def consume(bootstrap: str, topic: str, records: int) -> dict[str, float]:
    """Read `records` from the start of all partitions."""
    async with Admin(bootstrap) as admin:
        description = await admin.describe_topic(topic)
    async with Consumer(bootstrap) as consumer:
        numbers = [partition.partition for partition in description.partitions]
        got = size = 0
        begin = time.perf_counter()
        consumer.assign([(topic, number) for number in numbers], start="earliest")
        while got < records:
            polled = await consumer.getmany(timeout_ms=SILENCE_MS, max_records=50_000)
            if not polled:
                raise SystemExit(f"only {got} of {records} records came")
            for batch in polled.values():
                got += len(batch)
                size += sum([len(record.value or b"") for record in batch])
        seconds = time.perf_counter() - begin
    return {"records": got, "records_per_s": got / seconds, "mb_per_s": size / seconds / 1e6}


async def single(bootstrap: str, topic: str, records: int) -> dict[str, float]:
    """One record at a time, each acknowledged by a majority's fsync before the next."""
    events = json_events()
    latencies = []
    async with Producer(bootstrap, linger_ms=0) as producer:
        for number in range(records + 50):
            begin = time.perf_counter()
            await producer.send(topic, events[number % len(events)], partition=0)
            latencies.append(time.perf_counter() - begin)
    warm = sorted(latencies[50:])
    return {"p50_ms": percentile(warm, 0.5) * 1e3, "p99_ms": percentile(warm, 0.99) * 1e3}


async def costs(bootstrap: str, topic: str, records: int) -> dict[str, float]:
    """Microseconds of CPU a record, of the calling thread: `send_nowait` alone; `async for` with
    all that the event loop does besides."""
    events = json_events()
    chunk = 256
    sent = spent = 0.0
    async with Producer(bootstrap) as producer:
        await producer.send(topic, events[0])
        while sent < records:
            begin = time.thread_time()
            for value in events[:chunk]:
                producer.send_nowait(topic, value, key=b"0123456789abcdef")
            spent += time.thread_time() - begin
            sent += chunk
            await producer.room()
            await asyncio.sleep(0.001)
    async with Admin(bootstrap) as admin, Consumer(bootstrap) as consumer:
        described = await admin.describe_topic(topic)
        consumer.assign([(topic, partition.partition) for partition in described.partitions])
        got = 0
        begin = time.thread_time()
        async for _ in consumer:
            got += 1
            if got == sent + 1:
                break
        read = time.thread_time() - begin
    return {"records": got, "send_nowait_us": spent / sent * 1e6, "async_for_us": read / got * 1e6}


def main() -> None:
    """Dispatch."""
    what, bootstrap, topic, records = sys.argv[1:5]
    count = int(records)
    match what:
        case "produce-events":
            work = produce(bootstrap, topic, count, json_events())
        case "produce-blobs":
            work = produce(bootstrap, topic, count, incompressible_blobs())
        case "consume":
            work = consume(bootstrap, topic, count)
        case "single":
            work = single(bootstrap, topic, count)
        case "costs":
            work = costs(bootstrap, topic, count)
        case _:
            raise SystemExit(__doc__)
    gc.freeze()
    print(json.dumps(asyncio.run(work)))


if __name__ == "__main__":
    main()
