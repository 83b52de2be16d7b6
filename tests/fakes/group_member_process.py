"""Members of a group in a process that may be killed at any time, and what they leave behind.

Usage: python -m tests.fakes.group_member_process BOOTSTRAP GROUP TOPIC DIARY NAME:KIND...
KIND: "loop" reads and commits in turn; "worker" hands records to a Worker, and so does "late",
which commits once a minute: when it is killed, most of what it handled must be handled again.

The diary has a line for each thing, written with one call of the operating system, so that a
SIGKILL leaves whole lines. It ends when its standard input does: all members leave cleanly.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from streamlog.client import (
    CallPolicy,
    ClientClosed,
    ClientError,
    Consumer,
    ConsumerRecord,
    TopicPartition,
    Worker,
)

SESSION_MS = 4_000
PATIENCE_MS = 90_000
"""With a cluster that loses a node on a slow machine."""
IN_FLIGHT = 200
HANDLING_S = 0.002


class DiaryConsumer(Consumer):
    """Writes down what it hands out, and which of its commits were acknowledged; both with the
    epoch of the grant, which orders those who had the partition.

    taken MEMBER PARTITION GRANT OFFSET...
    acked MEMBER PARTITION GRANT POSITION
    """

    def __init__(self, name: str, write: Callable[[str], None], *args: Any, **options: Any) -> None:
        super().__init__(*args, client_id=name, **options)
        self.name, self.write = name, write

    def grant(self, pair: TopicPartition) -> int | None:
        """The epoch under which it has the partition."""
        assert self._group is not None
        hold = self._group._member.by_pair.get(pair)
        return None if hold is None else hold.grant_epoch

    async def getmany(
        self, *, max_records: int = 10_000, timeout_ms: float = 0
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """As it is, written down."""
        taken = await super().getmany(max_records=max_records, timeout_ms=timeout_ms)
        for pair, records in taken.items():
            offsets = " ".join(str(record.offset) for record in records)
            self.write(f"taken {self.name} {pair.partition} {self.grant(pair)} {offsets}")
        return taken

    async def commit(self, offsets: Any = None) -> None:
        """As it is, written down when it is acknowledged."""
        assert offsets is not None
        grants = self._grants(offsets)
        await super().commit(offsets)
        self._acked(offsets, grants)

    def commit_nowait(self, offsets: Any = None, on_commit: Any = None) -> None:
        """As it is, written down when it is acknowledged."""
        assert offsets is not None
        told = dict(offsets)
        grants = self._grants(told)

        def answered(error: ClientError | None, chosen: Any) -> None:
            if error is None:
                self._acked(told, grants)
            if on_commit is not None:
                on_commit(error, chosen)

        super().commit_nowait(told, answered)

    def _grants(self, offsets: Mapping[tuple[str, int], Any]) -> dict[int, int | None]:
        return {number: self.grant(TopicPartition(topic, number)) for topic, number in offsets}

    def _acked(self, offsets: Mapping[tuple[str, int], Any], grants: Mapping[int, Any]) -> None:
        for (_, number), position in offsets.items():
            self.write(f"acked {self.name} {number} {grants[number]} {position}")


async def read_in_a_loop(consumer: DiaryConsumer) -> None:
    """Take some, handle them, commit them."""
    with suppress(ClientClosed):
        while True:
            taken = await consumer.getmany(max_records=IN_FLIGHT, timeout_ms=60_000)
            for pair, records in taken.items():
                await asyncio.sleep(HANDLING_S)
                done = " ".join(f"{record.offset}:{record.value.decode()}" for record in records)
                consumer.write(f"done {consumer.name} {pair.partition} {done}")
                # They are somebody else's by now, or their answer got lost: somebody gets them
                # again.
                with suppress(ClientError):
                    await consumer.commit({pair: records[-1].offset + 1})


async def work(consumer: DiaryConsumer, commit_ms: int) -> None:
    """With a Worker."""

    async def handle(record: ConsumerRecord) -> None:
        await asyncio.sleep(HANDLING_S)
        value = record.value.decode()
        consumer.write(f"done {consumer.name} {record.partition} {record.offset}:{value}")

    await Worker(consumer, handle, max_in_flight=IN_FLIGHT, commit_ms=commit_ms).run()


async def main() -> None:
    """Until the standard input ends."""
    bootstrap, group, topic, diary, *members = sys.argv[1:]
    descriptor = os.open(diary, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(line: str) -> None:
        os.write(descriptor, line.encode() + b"\n")

    consumers, running = [], []
    for member in members:
        name, kind = member.split(":")
        consumer = DiaryConsumer(
            name,
            write,
            bootstrap,
            group=group,
            topics=[topic],
            auto_commit_ms=None,
            session_timeout_ms=SESSION_MS,
            policy=CallPolicy(total_timeout_ms=PATIENCE_MS),
        )
        await consumer.__aenter__()
        consumers.append(consumer)
        match kind:
            case "loop":
                reading = read_in_a_loop(consumer)
            case "worker":
                reading = work(consumer, 100)
            case _:
                reading = work(consumer, 60_000)
        running.append(asyncio.ensure_future(reading))
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait([ended, *running], return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*(consumer.close() for consumer in consumers))
    await asyncio.gather(*running)
    write(f"left {members[0].split(':')[0]}")


if __name__ == "__main__":
    asyncio.run(main())
