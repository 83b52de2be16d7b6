"""Members of a group of this platform, run as a process; what it says: `groups.members`.

Usage: python -m benchmarks.clients.group_member_platform BOOTSTRAP GROUP TOPIC NAMES COUNT
           SESSION_MS
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time
from collections.abc import Callable

from benchmarks.groups.members import COMMITS_FOR_S, line
from streamlog.client import ClientClosed, Consumer, TopicPartition


class Member:
    """One, with a task that reads."""

    def __init__(self, name: str, bootstrap: str, group: str, topic: str, session_ms: int) -> None:
        self._name = name
        self._settings = bootstrap, group, topic, session_ms
        self._mine: dict[int, None] = {}
        self._consumer: Consumer | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Join."""
        bootstrap, group, topic, session_ms = self._settings
        self._say("joining")
        self._consumer = Consumer(
            bootstrap,
            group=group,
            topics=[topic],
            session_timeout_ms=session_ms,
            client_id=self._name,
            on_assigned=self._told("assigned"),
            on_revoked=self._told("revoked"),
            on_lost=self._told("revoked"),
        )
        await self._consumer.__aenter__()
        self._reading = asyncio.ensure_future(self._read(self._consumer))

    async def leave(self) -> None:
        """Leave cleanly."""
        assert self._consumer is not None
        self._say("leaving")
        await self._consumer.close()

    async def commit(self) -> None:
        """One position after the other, each when the one before is committed."""
        assert self._consumer is not None
        _, _, topic, _ = self._settings
        partition = next(iter(self._mine))
        count = 0
        end_s = time.monotonic() + COMMITS_FOR_S
        while time.monotonic() < end_s:
            count += 1
            await self._consumer.commit({(topic, partition): count})
        self._say("committed", count)

    async def _read(self, consumer: Consumer) -> None:
        with contextlib.suppress(ClientClosed):
            async for record in consumer:
                self._say("read", record.partition, (record.value or b"0").decode())

    def _told(self, kind: str) -> Callable[[list[TopicPartition]], None]:
        def told(partitions: list[TopicPartition]) -> None:
            numbers = [partition for _, partition in partitions]
            for number in numbers:
                if kind == "assigned":
                    self._mine[number] = None
                else:
                    self._mine.pop(number, None)
            self._say(kind, *numbers)

        return told

    def _say(self, kind: str, *words: object) -> None:
        sys.stdout.write(line(kind, self._name, *words))
        sys.stdout.flush()


async def main() -> None:
    """Until the standard input ends."""
    bootstrap, group, topic, names, count, session_ms = sys.argv[1:7]
    members = [
        Member(f"{names}-{number}", bootstrap, group, topic, int(session_ms))
        for number in range(int(count))
    ]
    gc.freeze()
    words = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    sys.stdout.write(line("ready"))
    sys.stdout.flush()
    async for word in words:
        act = {b"go": Member.start, b"leave": Member.leave, b"commit": Member.commit}[word.strip()]
        await asyncio.gather(*map(act, members))


if __name__ == "__main__":
    asyncio.run(main())
