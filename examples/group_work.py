"""Two members of a consumer group share the work, then one of them goes.

A record counts as done when the next one is asked for; positions are committed by themselves, when
a member goes, too. So nothing is handled twice here, and after a crash only what was in hand.

Usage: python -m examples.group_work [--bootstrap HOST:PORT]
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from examples.target import bootstrap, make_topic
from streamlog.client import Consumer, Producer

TOPIC = "example-parcels"
GROUP = "example-sorters"
PARTITIONS = 4


class Sorter:
    """One member; in earnest it would be a program of its own."""

    def __init__(self, addresses: str) -> None:
        self.consumer = Consumer(addresses, group=GROUP, topics=[TOPIC])
        self.parcels: list[bytes] = []

    async def work(self) -> None:
        """Until the consumer is closed."""
        async with self.consumer:
            async for record in self.consumer:
                self.parcels.append(record.value)

    @property
    def share(self) -> int:
        """How many partitions it has."""
        return len(self.consumer.membership.assigned)


async def until(condition: Callable[[], bool]) -> None:
    """Look now and then."""
    while not condition():
        await asyncio.sleep(0.02)


async def send(addresses: str, count: int) -> None:
    """Parcels for many addresses, spread over all partitions."""
    async with Producer(addresses) as producer:
        for number in range(count):
            await producer.send(
                TOPIC,
                b"parcel %d" % number,
                key=b"street %d" % number,
                partition=number % PARTITIONS,
            )


async def run(addresses: str) -> None:
    """Two, then one."""
    stays, goes = Sorter(addresses), Sorter(addresses)
    tasks = [asyncio.create_task(sorter.work()) for sorter in (stays, goes)]
    await until(lambda: stays.share == goes.share == PARTITIONS // 2)
    before = len(stays.parcels) + len(goes.parcels)  # what an earlier run may have left
    await send(addresses, 20)
    await until(lambda: len(stays.parcels) + len(goes.parcels) >= before + 20)
    members = sum(bool(sorter.parcels) for sorter in (stays, goes))
    print(f"20 parcels sorted by {members} members")
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    await until(lambda: stays.share == PARTITIONS)
    before = len(stays.parcels)
    await send(addresses, 10)
    await until(lambda: len(stays.parcels) >= before + 10)
    print("10 more by the one that stayed")
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])


def main() -> None:
    """Sort parcels."""
    addresses = bootstrap(__doc__)
    make_topic(addresses, TOPIC, partitions=PARTITIONS)
    asyncio.run(run(addresses))


if __name__ == "__main__":
    main()
