"""A group consumer without a group: hands out what a test puts in, and remembers commits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamlog.client.errors import ClientError, closed
from streamlog.client.groups.member import Lease
from streamlog.client.groups.rebalance import Listener
from streamlog.client.records import ConsumerRecord, TopicPartition


def record(partition: int, offset: int, key: Any = None, value: Any = b"") -> ConsumerRecord:
    """Of the topic "t"."""
    return ConsumerRecord("t", partition, offset, 0, key, value, ())


class FakeGroupSource:
    """Implements `streamlog.client.groups.worker.Source`."""

    def __init__(self) -> None:
        self.waiting: list[ConsumerRecord] = []
        self.paused: set[TopicPartition] = set()
        self.committed: dict[TopicPartition, int] = {}
        self.commits: list[dict[TopicPartition, int]] = []
        self.refusal: ClientError | None = None
        """What commits fail with."""
        self.failure: Exception | None = None
        """What the next `getmany` raises."""
        self.sought: dict[TopicPartition, int] = {}
        self.taken_at_once: list[int] = []
        self.is_closed = False
        self.listener: Listener | None = None
        self.lease: Lease | None = None
        self._arrived = asyncio.Event()

    def put(self, *records: ConsumerRecord) -> None:
        """They are there."""
        self.waiting += records
        self._arrived.set()

    def wake(self) -> None:
        """Something else changed."""
        self._arrived.set()

    async def close(self) -> None:
        """As the consumer's: what is assigned is revoked first."""
        if self.listener is not None:
            await self.listener.revoked(list({TopicPartition("t", n): None for n in range(10)}))
        self.is_closed = True
        self._arrived.set()

    async def getmany(
        self, *, max_records: int = 10_000, timeout_ms: float = 0
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        assert timeout_ms > 0
        while True:
            if self.is_closed:
                raise closed("consumer")
            if self.failure is not None:
                raise self.failure
            found: dict[TopicPartition, list[ConsumerRecord]] = {}
            left = []
            count = 0
            for each in self.waiting:
                pair = TopicPartition(each.topic, each.partition)
                if pair in self.paused or count == max_records:
                    left.append(each)
                else:
                    found.setdefault(pair, []).append(each)
                    count += 1
            self.waiting = left
            if found:
                self.taken_at_once.append(count)
                return found
            self._arrived.clear()
            await self._arrived.wait()

    async def commit(self, offsets: Mapping[tuple[str, int], Any] | None = None) -> None:
        assert offsets
        await asyncio.sleep(0)
        self._commit(offsets)
        if self.refusal is not None:
            raise self.refusal

    def commit_nowait(
        self,
        offsets: Mapping[tuple[str, int], Any] | None = None,
        on_commit: Callable[[ClientError | None, Any], None] | None = None,
    ) -> None:
        assert offsets
        self._commit(offsets)
        if on_commit is not None:
            asyncio.get_running_loop().call_soon(on_commit, self.refusal, offsets)

    def _commit(self, offsets: Mapping[tuple[str, int], int]) -> None:
        plain = {TopicPartition(*pair): offset for pair, offset in offsets.items()}
        self.commits.append(plain)
        if self.refusal is None:
            self.committed |= plain

    def pause(self, *partitions: tuple[str, int]) -> None:
        self.paused |= {TopicPartition(*pair) for pair in partitions}

    def resume(self, *partitions: tuple[str, int]) -> None:
        self.paused -= {TopicPartition(*pair) for pair in partitions}
        self._arrived.set()

    async def seek(self, partition: tuple[str, int], offset: int) -> None:
        self.sought[TopicPartition(*partition)] = offset

    def listen(self, listener: Listener | None) -> None:
        self.listener = listener


def pairs(*numbers: int) -> Sequence[TopicPartition]:
    """Partitions of the topic "t"."""
    return [TopicPartition("t", number) for number in numbers]
