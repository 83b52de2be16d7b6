"""Replay what happened in a span of time, by the records' timestamps.

The log is its own history: reading does not consume, and any reader begins wherever it likes.

Usage: python -m examples.replay [--bootstrap HOST:PORT]
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from examples.target import bootstrap, make_topic
from streamlog.client import Consumer, ConsumerRecord, Producer

TOPIC = "example-replay"
PARTITIONS = 2
SENSORS = 4


def milliseconds(moment: datetime) -> int:
    """Unix time."""
    return int(moment.timestamp() * 1_000)


async def write_a_day(addresses: str, midnight: datetime) -> None:
    """A reading of each sensor every ten minutes."""
    async with Producer(addresses) as producer:
        for minutes in range(0, 24 * 60, 10):
            moment = midnight + timedelta(minutes=minutes)
            await producer.send_many(
                TOPIC,
                [
                    (b"sensor-%d" % sensor, moment.isoformat().encode(), milliseconds(moment))
                    for sensor in range(SENSORS)
                ],
            )


async def replay(addresses: str, begin: datetime, end: datetime) -> list[ConsumerRecord]:
    """Records with a timestamp in [begin, end), of each partition in its order."""
    async with Consumer(addresses) as consumer:
        partitions = [(TOPIC, number) for number in await consumer.partitions_for(TOPIC)]
        stops = await consumer.offsets_for_times(dict.fromkeys(partitions, milliseconds(end)))
        consumer.assign(partitions)
        await consumer.seek_to_time(dict.fromkeys(partitions, milliseconds(begin)))
        found: list[ConsumerRecord] = []
        left = set(stops)
        while left:
            for pair in sorted(left):
                if await consumer.position(pair) >= stops[pair].offset:
                    consumer.pause(pair)
                    left.discard(pair)
            for records in (await consumer.getmany(timeout_ms=100)).values():
                found += [
                    each
                    for each in records
                    if milliseconds(begin) <= each.timestamp_ms < milliseconds(end)
                ]
        return found


async def main() -> None:
    """A day in, an hour out."""
    addresses = bootstrap(__doc__)
    await asyncio.to_thread(make_topic, addresses, TOPIC, PARTITIONS)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    midnight -= timedelta(days=1)
    await write_a_day(addresses, midnight)
    records = await replay(addresses, midnight + timedelta(hours=9), midnight + timedelta(hours=10))
    values = sorted({record.value.decode() for record in records})
    print(f"{len(records)} readings between 9 and 10, at {len(values)} times:")
    for value in values:
        print(f"  {value}")


if __name__ == "__main__":
    asyncio.run(main())
