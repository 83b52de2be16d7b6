"""The consumer, by assignment: which partitions, from where, in what shape.

`fetcher` brings stored batches in order; here they are decoded, when the application asks.

Invariant: `position` is the offset after the last record that was handed out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self

from streamlog.client.cluster_metadata import CallPolicy, ClusterMetadata
from streamlog.client.connection import Connections
from streamlog.client.errors import DataCorrupt, closed
from streamlog.client.fetch_stream import FetchPolicy, PartitionFetch
from streamlog.client.fetcher import Fetcher, OutOfRange
from streamlog.client.leader_calls import LeaderCalls
from streamlog.client.offset_lookup import OffsetAtTime, OffsetLookup, Position
from streamlog.client.records import (
    ConsumerBatch,
    ConsumerRecord,
    TopicPartition,
    decode_records,
)
from streamlog.client.transport import Environment
from streamlog.model.record_set import new_decompressor
from streamlog.v1.batch_pb2 import RecordBatch

Start = Literal["earliest", "latest"] | int
"""Where to begin: the first offset, the committed end, or an offset."""

CORRUPT_RETRIES_MAX: Final = 3
"""A batch that fails its end-to-end checksum is fetched again so often before it is an error."""


class StoredBatch(NamedTuple):
    """A batch as it is stored; control batches, which hold no records, included."""

    topic: str
    partition: int
    from_offset: int
    """Records below were not asked for: the position lay within the batch."""
    batch: RecordBatch


class Consumer:
    """Reads partitions; an asynchronous context manager.

    Args:
        bootstrap: "host:port,host:port" of some nodes.
        prefetch_bytes: Most that a leader may send ahead, 64 KiB to 1 GiB.
        response_bytes: Most in one response of a partition, 1 to 16 MiB.
        min_bytes, max_wait_ms: A node waits for so much, but no longer than that.
        out_of_range: What to do when a position is not in the log (any more): None raises
            OffsetOutOfRange; "earliest" or "latest" goes on from there.
    """

    def __init__(
        self,
        bootstrap: str | Sequence[str],
        *,
        prefetch_bytes: int = 16 * 1024 * 1024,
        response_bytes: int = 1024 * 1024,
        min_bytes: int = 0,
        max_wait_ms: int = 500,
        out_of_range: OutOfRange = None,
        client_id: str = "",
        policy: CallPolicy | None = None,
        environment: Environment | None = None,
    ) -> None:
        _check("prefetch_bytes", prefetch_bytes, 64 * 1024, 1024 * 1024 * 1024)
        _check("response_bytes", response_bytes, 1, 16 * 1024 * 1024)
        _check("min_bytes", min_bytes, 0, 64 * 1024 * 1024)
        _check("max_wait_ms", max_wait_ms, 0, 60_000)
        if environment is None:
            from streamlog.client.real_environment import real_environment

            environment = real_environment()
        fetch_policy = FetchPolicy(
            response_bytes=response_bytes,
            credit_bytes=prefetch_bytes,
            min_bytes=min_bytes,
            max_wait_ms=max_wait_ms,
        )
        self._connections = Connections(environment, client_id)
        self._metadata = ClusterMetadata(
            bootstrap, self._connections, environment, policy or CallPolicy()
        )
        self._lookup = OffsetLookup(LeaderCalls(self._metadata, self._connections, environment))
        self._decompressor = new_decompressor()
        self._wanted: dict[TopicPartition, Start] = {}
        """Assigned, and not yet placed at an offset."""
        self._fetcher = Fetcher(
            self._metadata, self._connections, environment, fetch_policy, out_of_range
        )
        self._rest: ConsumerBatch | None = None
        """Records of a decoded batch that `getmany` did not take yet."""
        self._closed = False

    async def __aenter__(self) -> Self:
        self._fetcher.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop reading."""
        if self._closed:
            return
        self._closed = True
        await self._fetcher.close()
        await self._connections.close()

    # Which partitions, from where.

    def assign(self, partitions: Iterable[tuple[str, int]], *, start: Start = "earliest") -> None:
        """Read these partitions and no others; those that are read already go on as they are."""
        pairs = dict.fromkeys(TopicPartition(*pair) for pair in partitions)
        fetched = self._fetcher.partitions
        for pair in fetched:
            if pair not in pairs:
                self._fetcher.remove(pair)
        self._wanted = {pair: start for pair in pairs if pair not in fetched}
        self._fetcher.wake()

    async def partitions_for(self, topic: str) -> list[int]:
        """Numbers of the topic's partitions. Raises TopicUnknown, ConnectionLost."""
        return list(range(len((await self._metadata.topic(topic)).partitions)))

    @property
    def assignment(self) -> list[TopicPartition]:
        """Partitions that are read."""
        return [*self._fetcher.partitions, *self._wanted]

    async def seek(self, partition: tuple[str, int], offset: int) -> None:
        """Go on from an offset of an assigned partition."""
        pair = TopicPartition(*partition)
        if pair in self._wanted:
            self._wanted[pair] = offset
        else:
            self._fetcher.move(self._state(pair), offset)

    async def seek_to_beginning(self, *partitions: tuple[str, int]) -> None:
        """Go on from the first offset; all assigned partitions when none is named."""
        await self._seek_all(partitions, "earliest")

    async def seek_to_end(self, *partitions: tuple[str, int]) -> None:
        """Go on from the committed end; all assigned partitions when none is named."""
        await self._seek_all(partitions, "latest")

    async def seek_to_time(self, times_ms: Mapping[tuple[str, int], int]) -> None:
        """Go on, per partition, from the first offset with this timestamp or a later one."""
        await self._place()
        by_time: dict[int, list[TopicPartition]] = {}
        for partition, time_ms in times_ms.items():
            by_time.setdefault(time_ms, []).append(TopicPartition(*partition))
        for time_ms, pairs in by_time.items():
            await self._seek_all(pairs, time_ms)

    async def _seek_all(self, partitions: Sequence[tuple[str, int]], to: Position) -> None:
        await self._place()
        pairs = [TopicPartition(*pair) for pair in partitions] or self._fetcher.partitions
        found = await self._offsets(pairs, to)
        for pair in pairs:
            self._fetcher.move(self._state(pair), found[pair].offset)

    async def position(self, partition: tuple[str, int]) -> int:
        """Offset after the last record that was handed out."""
        await self._place()
        position = self._state(TopicPartition(*partition)).position
        assert position is not None
        return position

    async def beginning_offsets(
        self, partitions: Iterable[tuple[str, int]]
    ) -> dict[TopicPartition, int]:
        """First offsets."""
        found = await self._offsets([TopicPartition(*p) for p in partitions], "earliest")
        return {pair: at.offset for pair, at in found.items()}

    async def end_offsets(self, partitions: Iterable[tuple[str, int]]) -> dict[TopicPartition, int]:
        """Committed ends, exclusive."""
        found = await self._offsets([TopicPartition(*p) for p in partitions], "latest")
        return {pair: at.offset for pair, at in found.items()}

    async def offsets_for_times(
        self, times_ms: Mapping[tuple[str, int], int]
    ) -> dict[TopicPartition, OffsetAtTime]:
        """First offsets with these timestamps or later ones."""
        found: dict[TopicPartition, OffsetAtTime] = {}
        for partition, time_ms in times_ms.items():
            found |= await self._offsets([TopicPartition(*partition)], time_ms)
        return found

    def pause(self, *partitions: tuple[str, int]) -> None:
        """Hand out nothing of these until `resume`."""
        for partition in partitions:
            self._fetcher.pause(self._state(TopicPartition(*partition)))

    def resume(self, *partitions: tuple[str, int]) -> None:
        """Go on."""
        for partition in partitions:
            self._fetcher.resume(self._state(TopicPartition(*partition)))

    # Records.

    async def getmany(
        self, *, max_records: int = 10_000, timeout_ms: float = 0
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """Up to `max_records` that are there, by partition; waits up to the timeout for some.

        Raises ClientError: OffsetOutOfRange, DataCorrupt, TopicUnknown ...
        """
        taken: dict[TopicPartition, list[ConsumerRecord]] = {}
        left = max_records
        batch = await self._next(timeout_ms)
        while batch is not None:
            records = batch.records
            if len(records) > left:
                self._rest = batch._replace(records=records[left:])
                records = records[:left]
                state = self._state(TopicPartition(batch.topic, batch.partition))
                state.position = self._rest.records[0].offset
            pair = TopicPartition(batch.topic, batch.partition)
            known = taken.get(pair)
            if known is None:
                taken[pair] = records
            else:
                known += records
            left -= len(records)
            if left <= 0:
                break
            batch = self._take()
        return taken

    async def batches(self) -> AsyncIterator[ConsumerBatch]:
        """Runs of records of one partition, as they come, for ever."""
        while True:
            batch = await self._next(None)
            if batch is not None:
                yield batch

    async def __aiter__(self) -> AsyncIterator[ConsumerRecord]:
        async for batch in self.batches():
            for record in batch.records:
                yield record

    async def stored_batches(self) -> AsyncIterator[StoredBatch]:
        """Batches as they are stored, for ever: for those who pass them on undecoded. Not to be
        mixed with the other ways of reading. Raises ClientError."""
        while True:
            await self._place()
            current = self._current()
            if current is None:
                await self._fetcher.arrival()
                continue
            state, batch = current
            assert state.position is not None
            stored = StoredBatch(state.topic, state.partition, state.position, batch)
            self._fetcher.taken()
            yield stored

    async def _next(self, timeout_ms: float | None) -> ConsumerBatch | None:
        """The next batch; None when none came within the timeout."""
        await self._place()
        batch = self._take()
        if batch is not None or timeout_ms == 0:
            return batch
        try:
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1_000):
                while batch is None:
                    await self._fetcher.arrival()
                    await self._place()
                    batch = self._take()
        except TimeoutError:
            pass  # none came
        return batch

    def _current(self) -> tuple[PartitionFetch, RecordBatch] | None:
        if self._closed:
            raise closed("consumer")
        return self._fetcher.current()

    def _take(self) -> ConsumerBatch | None:
        """The next decoded batch with records, if one is there. Raises what went wrong."""
        if self._closed:
            raise closed("consumer")
        if self._rest is not None:
            batch, self._rest = self._rest, None
            state = self._fetcher.state_of(TopicPartition(batch.topic, batch.partition))
            if state is not None and state.position == batch.records[0].offset:
                state.position = batch.records[-1].offset + 1
                return batch
        while (current := self._fetcher.current()) is not None:
            records = self._decode(*current)
            if records:
                state = current[0]
                return ConsumerBatch(state.topic, state.partition, records)
        return None

    def _decode(self, state: PartitionFetch, batch: RecordBatch) -> list[ConsumerRecord]:
        assert state.position is not None
        try:
            records = decode_records(batch, state.topic, state.position, self._decompressor)
        except DataCorrupt as error:
            state.corrupt_count += 1
            if error.retriable and state.corrupt_count <= CORRUPT_RETRIES_MAX:
                self._fetcher.move(state, state.position)
            else:
                self._fetcher.failed(state, error)
            return []
        state.corrupt_count = 0
        self._fetcher.taken()
        return records

    # Placing.

    async def _place(self) -> None:
        """Give every newly assigned partition its first offset."""
        if self._closed:
            raise closed("consumer")
        if not self._wanted:
            return
        by_start: dict[Start, list[TopicPartition]] = {}
        for pair, start in self._wanted.items():
            by_start.setdefault(start, []).append(pair)
        for start, pairs in by_start.items():
            if isinstance(start, int):
                offsets = dict.fromkeys(pairs, start)
            else:
                found = await self._offsets(pairs, start)
                offsets = {pair: at.offset for pair, at in found.items()}
            for pair in pairs:
                topic = await self._metadata.topic(pair.topic)
                if self._wanted.pop(pair, None) is None:
                    continue
                self._fetcher.add(pair, topic.topic_id, offsets[pair])

    async def _offsets(
        self, pairs: Sequence[TopicPartition], position: Position
    ) -> dict[TopicPartition, OffsetAtTime]:
        ids = []
        for pair in pairs:
            topic = await self._metadata.topic(pair.topic, partitions=pair.partition + 1)
            if not 0 <= pair.partition < len(topic.partitions):
                raise ValueError(
                    f"topic {pair.topic!r} has partitions 0 to {len(topic.partitions) - 1}, "
                    f"not {pair.partition}"
                )
            ids.append((topic.topic_id, pair.partition))
        return dict(zip(pairs, await self._lookup.find(ids, position), strict=True))

    def _state(self, pair: TopicPartition) -> PartitionFetch:
        state = self._fetcher.state_of(pair)
        if state is None:
            raise ValueError(f"{pair.topic}/{pair.partition} is not assigned")
        return state


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; allowed are {low} to {high}")
