"""Optimistic concurrency: append only if nobody else did since the state was read.

A partition holds the entries of one account. A writer reads all of them, decides, and appends on
condition that the partition still ends where it read to. Of two that decide at the same time one
is refused with ConditionFailed, reads what the other one wrote, and decides again: the account
is never overdrawn, and no lock is held.

Usage: python -m examples.optimistic_append [--bootstrap HOST:PORT]
"""

from __future__ import annotations

import asyncio

from examples.target import bootstrap, make_topic
from streamlog.client import ConditionFailed, Consumer, Producer

TOPIC = "example-account"
PARTITION = 0
DEPOSIT = 100
WITHDRAWAL = 30
WRITERS = 8


class Account:
    """The state, as far as it was read. `end` is the offset after the last entry."""

    def __init__(self) -> None:
        self.balance = 0
        self.end = 0

    async def catch_up(self, consumer: Consumer) -> None:
        """Apply the entries that are there and were not seen yet."""
        pair = (TOPIC, PARTITION)
        end = (await consumer.end_offsets([pair]))[pair]  # type: ignore[index]
        while await consumer.position(pair) < end:
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                for record in records:
                    self.balance += int(record.value)
                    self.end = record.offset + 1


async def change(addresses: str, amount: int) -> str:
    """Deposit or withdraw, unless the account would be overdrawn."""
    account = Account()
    attempts = 0
    async with Consumer(addresses) as consumer, Producer(addresses) as producer:
        consumer.assign([(TOPIC, PARTITION)], start="earliest")
        while True:
            attempts += 1
            await account.catch_up(consumer)
            if account.balance + amount < 0:
                return f"{amount:+}: refused, the balance is {account.balance}"
            try:
                await producer.append_batch(
                    TOPIC, PARTITION, [b"%d" % amount], expected_end_offset=account.end
                )
            except ConditionFailed:
                continue  # somebody else was faster: look again
            return f"{amount:+}: done in {attempts} attempts"


async def main() -> None:
    """One deposit, and then many who want to withdraw at the same time."""
    addresses = bootstrap(__doc__)
    await asyncio.to_thread(make_topic, addresses, TOPIC, partitions=1)
    print(await change(addresses, DEPOSIT))
    for line in await asyncio.gather(*(change(addresses, -WITHDRAWAL) for _ in range(WRITERS))):
        print(line)
    account = Account()
    async with Consumer(addresses) as consumer:
        consumer.assign([(TOPIC, PARTITION)], start="earliest")
        await account.catch_up(consumer)
    print(f"balance: {account.balance}")


if __name__ == "__main__":
    asyncio.run(main())
