"""The consumer, by assignment: which partitions, from where, in what shape.

    async with Consumer("127.0.0.1:9092") as consumer:
        consumer.assign([("events", 0)], start="earliest")
        async for record in consumer:
            print(record.offset, record.value)

Neighbours: `fetcher` brings stored batches in order, `record_source` decodes them when the
application asks, `placement` decides where a partition is begun.

Invariant: `position` is the offset after the last record that was handed out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from streamlog.client.cluster_metadata import CallPolicy, ClusterMetadata
from streamlog.client.connection import Connections
from streamlog.client.errors import closed
from streamlog.client.fetch_stream import FetchPolicy
from streamlog.client.fetcher import Fetcher
from streamlog.client.home import Home
from streamlog.client.leader_calls import LeaderCalls
from streamlog.client.offset_lookup import OffsetAtTime, OffsetLookup, Position
from streamlog.client.placement import Placement
from streamlog.client.record_source import Deserializer, RecordSource
from streamlog.client.records import ConsumerBatch, ConsumerRecord, TopicPartition
from streamlog.client.starting import Policy, PositionPolicies, PositionReset, Start
from streamlog.client.transport import Environment
from streamlog.v1.batch_pb2 import RecordBatch

TakenT = TypeVar("TakenT")


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
        no_position: Where to begin a partition that was assigned without a `start`.
        below_start: What to do when the position was let go by retention or a trim.
        above_end: What to do when the log ends before the position. Each of the three is
            "earliest", "latest", "error" or a timedelta (so long ago, by timestamps).
        on_reset: Called with each PositionReset that one of the last two policies made; it is
            logged as well.
        key_deserializer, value_deserializer: Make keys and values of bytes.
        client_id: For the nodes' logs.
        policy: How long calls are tried.
        environment: Transport, clock and randomness; default: the real ones.

    It belongs to the event loop of its first use; see `streamlog.client.sync` for threads and
    scripts. Raises ValueError when an argument is out of its range.
    """

    def __init__(
        self,
        bootstrap: str | Sequence[str],
        *,
        prefetch_bytes: int = 16 * 1024 * 1024,
        response_bytes: int = 1024 * 1024,
        min_bytes: int = 0,
        max_wait_ms: int = 500,
        no_position: Policy = "earliest",
        below_start: Policy = "error",
        above_end: Policy = "error",
        on_reset: Callable[[PositionReset], None] | None = None,
        key_deserializer: Deserializer | None = None,
        value_deserializer: Deserializer | None = None,
        client_id: str = "",
        policy: CallPolicy | None = None,
        environment: Environment | None = None,
    ) -> None:
        _check("prefetch_bytes", prefetch_bytes, 64 * 1024, 1024 * 1024 * 1024)
        _check("response_bytes", response_bytes, 1, 16 * 1024 * 1024)
        _check("min_bytes", min_bytes, 0, 64 * 1024 * 1024)
        _check("max_wait_ms", max_wait_ms, 0, 60_000)
        policies = PositionPolicies(no_position, below_start, above_end)
        if environment is None:
            from streamlog.client.real_environment import real_environment

            environment = real_environment()
        fetch_policy = FetchPolicy(
            response_bytes=response_bytes,
            credit_bytes=prefetch_bytes,
            min_bytes=min_bytes,
            max_wait_ms=max_wait_ms,
        )
        self._home = Home("consumer")
        self._connections = Connections(environment, client_id)
        self._metadata = ClusterMetadata(
            bootstrap, self._connections, environment, policy or CallPolicy()
        )
        lookup = OffsetLookup(LeaderCalls(self._metadata, self._connections, environment))
        self._placement = Placement(self._metadata, lookup, environment.clock, policies, on_reset)
        self._fetcher = Fetcher(
            self._metadata,
            self._connections,
            environment,
            fetch_policy,
            self._placement.out_of_range,
        )
        self._placement.fetcher = self._fetcher
        self._source = RecordSource(self._fetcher, key_deserializer, value_deserializer)
        self._closed = False

    async def __aenter__(self) -> Self:
        self._enter()
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
        self._home.check()
        self._closed = True
        await self._fetcher.close()
        await self._connections.close()

    # Which partitions, from where.

    def assign(self, partitions: Iterable[tuple[str, int]], *, start: Start | None = None) -> None:
        """Read these partitions and no others; those that are read already go on as they are.

        Args:
            partitions: (topic, partition) pairs.
            start: "earliest", "latest", an offset, or a timedelta (so long ago); None: as the
                policy `no_position` says.

        Raises PositionUnknown when that is "error".
        """
        self._enter()
        self._placement.assign([TopicPartition(*pair) for pair in partitions], start)

    async def partitions_for(self, topic: str) -> list[int]:
        """Numbers of the topic's partitions. Raises TopicUnknown, ConnectionLost."""
        self._enter()
        return list(range(len((await self._metadata.topic(topic)).partitions)))

    @property
    def assignment(self) -> list[TopicPartition]:
        """Partitions that are read."""
        return self._placement.assignment

    async def seek(self, partition: tuple[str, int], offset: int) -> None:
        """Go on from an offset of an assigned partition."""
        self._enter()
        self._placement.seek(TopicPartition(*partition), offset)

    async def seek_to_beginning(self, *partitions: tuple[str, int]) -> None:
        """Go on from the first offset; all assigned partitions when none is named."""
        await self._seek_all(partitions, "earliest")

    async def seek_to_end(self, *partitions: tuple[str, int]) -> None:
        """Go on from the committed end; all assigned partitions when none is named."""
        await self._seek_all(partitions, "latest")

    async def seek_to_time(self, times_ms: Mapping[tuple[str, int], int]) -> None:
        """Go on, per partition, from the first offset with this timestamp or a later one."""
        by_time: dict[int, list[TopicPartition]] = {}
        for partition, time_ms in times_ms.items():
            by_time.setdefault(time_ms, []).append(TopicPartition(*partition))
        for time_ms, pairs in by_time.items():
            await self._seek_all(pairs, time_ms)

    async def _seek_all(self, partitions: Sequence[tuple[str, int]], to: Position) -> None:
        self._enter()
        await self._placement.place()
        pairs = [TopicPartition(*pair) for pair in partitions] or self._fetcher.partitions
        found = await self._placement.offsets(pairs, to)
        for pair in pairs:
            self._placement.seek(pair, found[pair].offset)

    async def position(self, partition: tuple[str, int]) -> int:
        """Offset after the last record that was handed out."""
        self._enter()
        await self._placement.place()
        position = self._placement.state_of(TopicPartition(*partition)).position
        assert position is not None
        return position

    async def beginning_offsets(
        self, partitions: Iterable[tuple[str, int]]
    ) -> dict[TopicPartition, int]:
        """First offsets."""
        return await self._ends_of(partitions, "earliest")

    async def end_offsets(self, partitions: Iterable[tuple[str, int]]) -> dict[TopicPartition, int]:
        """Committed ends, exclusive."""
        return await self._ends_of(partitions, "latest")

    async def _ends_of(
        self, partitions: Iterable[tuple[str, int]], which: Position
    ) -> dict[TopicPartition, int]:
        self._enter()
        pairs = [TopicPartition(*pair) for pair in partitions]
        found = await self._placement.offsets(pairs, which)
        return {pair: at.offset for pair, at in found.items()}

    async def offsets_for_times(
        self, times_ms: Mapping[tuple[str, int], int]
    ) -> dict[TopicPartition, OffsetAtTime]:
        """First offsets with these timestamps or later ones."""
        self._enter()
        found: dict[TopicPartition, OffsetAtTime] = {}
        for partition, time_ms in times_ms.items():
            found |= await self._placement.offsets([TopicPartition(*partition)], time_ms)
        return found

    def pause(self, *partitions: tuple[str, int]) -> None:
        """Hand out nothing of these until `resume`."""
        self._enter()
        for partition in partitions:
            self._fetcher.pause(self._placement.state_of(TopicPartition(*partition)))

    def resume(self, *partitions: tuple[str, int]) -> None:
        """Go on."""
        self._enter()
        for partition in partitions:
            self._fetcher.resume(self._placement.state_of(TopicPartition(*partition)))

    # Records.

    async def getone(self, *, timeout_ms: float | None = None) -> ConsumerRecord | None:
        """The next record; None when none came within the timeout (default: wait for ever)."""
        return await self._when_there(timeout_ms, self._source.one)

    async def getmany(
        self, *, max_records: int = 10_000, timeout_ms: float = 0
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """Up to `max_records` that are there, by partition; waits up to the timeout for some.

        Raises ClientError: OffsetOutOfRange, DataCorrupt, TopicUnknown ...; ValueError when
        `max_records` is below 1.
        """
        if max_records < 1:
            raise ValueError(f"max_records is {max_records}; at least 1 is needed")
        taken: dict[TopicPartition, list[ConsumerRecord]] = {}
        left = max_records
        batch = await self._next(timeout_ms, left)
        while batch is not None:
            pair = TopicPartition(batch.topic, batch.partition)
            known = taken.get(pair)
            if known is None:
                taken[pair] = batch.records
            else:
                known += batch.records
            left -= len(batch.records)
            if left <= 0:
                break
            batch = self._source.take(left)
        return taken

    async def next_records(
        self, *, timeout_ms: float | None = None
    ) -> Iterator[ConsumerRecord] | None:
        """The next records of one partition; None when none came within the timeout (default: wait
        for ever). What is not taken from the iterator before another call is handed out again."""
        return await self._when_there(timeout_ms, self._source.iterate)

    async def batches(self) -> AsyncIterator[ConsumerBatch]:
        """Runs of records of one partition, as they come, for ever."""
        while True:
            batch = await self._next(None, None)
            if batch is not None:
                yield batch

    async def __aiter__(self) -> AsyncIterator[ConsumerRecord]:
        """Records one by one, for ever. Who leaves the loop and comes back, in whatever way, goes
        on with the record after the last."""
        while True:
            records = await self.next_records()
            assert records is not None
            for record in records:
                yield record

    async def stored_batches(self) -> AsyncIterator[StoredBatch]:
        """Batches as they are stored, for ever: for those who pass them on undecoded. Not to be
        mixed with the other ways of reading. Raises ClientError."""
        while True:
            await self._prepare()
            current = self._fetcher.current()
            if current is None:
                await self._fetcher.arrival()
                continue
            state, batch = current
            assert state.position is not None
            stored = StoredBatch(state.topic, state.partition, state.position, batch)
            self._fetcher.taken()
            yield stored

    async def _next(self, timeout_ms: float | None, limit: int | None) -> ConsumerBatch | None:
        """The next batch; None when none came within the timeout."""
        return await self._when_there(timeout_ms, partial(self._source.take, limit))

    async def _when_there(
        self, timeout_ms: float | None, take: Callable[[], TakenT | None]
    ) -> TakenT | None:
        """What `take` takes, as soon as there is something; None after the timeout."""
        await self._prepare()
        taken = take()
        if taken is not None or timeout_ms == 0:
            return taken
        try:
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1_000):
                while taken is None:
                    await self._fetcher.arrival()
                    await self._prepare()
                    taken = take()
        except TimeoutError:
            pass  # none came
        return taken

    async def _prepare(self) -> None:
        """Before records are taken."""
        self._check_usable()
        await self._placement.place()

    def _enter(self) -> None:
        """Before anything else is asked or changed."""
        self._check_usable()
        self._source.settle()

    def _check_usable(self) -> None:
        self._home.check()
        if self._closed:
            raise closed("consumer")


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; allowed are {low} to {high}")
