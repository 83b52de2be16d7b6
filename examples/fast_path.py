"""Produce many records fast, each stored once whatever is retried.

The producer gathers records into compressed batches and keeps several of them in flight. It numbers
them, and a leader recognises a number it has seen: a retry after a lost connection or a change of
leaders is stored once (`idempotence`, the default).

Usage: python -m examples.fast_path [--bootstrap HOST:PORT]
"""

from __future__ import annotations

import asyncio
import time

from examples.target import bootstrap, make_topic
from streamlog.client import ClientError, Consumer, NotReady, Producer, RecordMetadata

TOPIC = "example-fast-path"
PARTITIONS = 3
RECORDS = 50_000


async def produce(addresses: str) -> None:
    """In bulk, and then one by one with a callback each."""
    begun = time.perf_counter()
    async with Producer(addresses, linger_ms=5) as producer:
        # Waits while the buffer is full, which is how a slow cluster slows its producers down.
        await producer.send_many(
            TOPIC, ((b"key-%d" % (n % 100), b"%d" % n) for n in range(RECORDS))
        )
        # Returns when all are on the disks of a majority; raises RecordsLost when some are not.
        await producer.flush()
        took_s = time.perf_counter() - begun
        print(f"{RECORDS} records are stored, {RECORDS / took_s:,.0f} a second")

        stored: list[RecordMetadata] = []

        def told(place: RecordMetadata | None, error: ClientError | None) -> None:
            if place is not None:
                stored.append(place)
            else:
                print(f"lost: {error}")

        for number in range(1_000):
            while True:
                try:
                    producer.send_nowait(TOPIC, b"%d" % number, on_delivery=told)
                    break
                except NotReady:  # nothing was taken: the buffer is full
                    await producer.room()
        await producer.flush()
        print(f"{len(stored)} callbacks told of a place")


async def count(addresses: str) -> int:
    """Records that are there; control batches take offsets, too, and are no records."""
    async with Consumer(addresses) as consumer:
        partitions = [(TOPIC, number) for number in range(PARTITIONS)]
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions, start="earliest")
        records = 0
        while any([await consumer.position(pair) < end for pair, end in ends.items()]):
            taken = await consumer.getmany(timeout_ms=1_000)
            records += sum(map(len, taken.values()))
        return records


async def main() -> None:
    """Write, and count what is there."""
    addresses = bootstrap(__doc__)
    await asyncio.to_thread(make_topic, addresses, TOPIC, PARTITIONS)
    before = await count(addresses)
    await produce(addresses)
    print(f"{await count(addresses) - before} records were added")


if __name__ == "__main__":
    asyncio.run(main())
