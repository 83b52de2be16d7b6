"""The consumer: records of partitions that it is assigned, or that its group gives it.

    async with Consumer("127.0.0.1:9092", group="billing", topics=["events"]) as consumer:
        async for record in consumer:
            print(record.offset, record.value)

Neighbours: `fetcher` brings stored batches in order, `record_source` decodes them when the
application asks, `placement` decides where a partition is begun, `groups` what a group adds. The
calls about positions are in `position_calls`, those about groups in `groups.calls`.

Invariant: `position` is the offset after the last record that was handed out.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from streamlog.client.connections.cluster_metadata import CallPolicy, ClusterMetadata
from streamlog.client.connections.connection import Connections
from streamlog.client.connections.leader_calls import LeaderCalls
from streamlog.client.connections.offset_lookup import OffsetLookup
from streamlog.client.consume.fetch_stream import FetchPolicy
from streamlog.client.consume.fetcher import Fetcher
from streamlog.client.consume.placement import Placement
from streamlog.client.consume.record_source import Deserializer, RecordSource
from streamlog.client.consume.starting import Policy, PositionPolicies, PositionReset
from streamlog.client.errors import ClientError, RecordUndecodable, WrongUse
from streamlog.client.groups.calls import GroupCalls
from streamlog.client.groups.consumer_group import ConsumerGroup
from streamlog.client.groups.options import GroupOptions, OnPartitions, subscription
from streamlog.client.home import Home
from streamlog.client.records import ConsumerBatch, ConsumerRecord, TopicPartition
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


class Consumer(GroupCalls):
    """Reads partitions; an asynchronous context manager.

    Args:
        bootstrap: "host:port,host:port" of some nodes.
        group: Name of the consumer group to read with, or to commit to; None: by assignment.
        topics, pattern: What to subscribe to: names, and a pattern for whole names. With neither,
            the consumer only commits what it is assigned, while the group has no members.
        instance_id: Of a static member: the same after a restart, and then it keeps its partitions.
        assignor: "sticky", "range", or "" for no preference.
        session_timeout_ms: Without a sign of life for so long, others get the partitions; 1,000 to
            1,800,000, 0: 45,000.
        rebalance_timeout_ms: How long a member may take to give up partitions; 1,000 to 3,600,000,
            0: 60,000.
        auto_commit_ms: How often to commit what is done; None: only by `commit`.
        on_assigned, on_revoked, on_lost: Called with lists of partitions: that are about to be
            read, that are about to be given up (to commit them is still possible), that somebody
            else may have. Functions or coroutine functions; one at a time. What they raise, the
            next call that reads raises.
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
        group: str | None = None,
        topics: Sequence[str] = (),
        pattern: str = "",
        instance_id: str = "",
        assignor: str = "",
        session_timeout_ms: int = 0,
        rebalance_timeout_ms: int = 0,
        auto_commit_ms: int | None = 5_000,
        on_assigned: OnPartitions | None = None,
        on_revoked: OnPartitions | None = None,
        on_lost: OnPartitions | None = None,
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
        if group is None and (topics or pattern):
            raise ValueError("topics and pattern need a group; without one, assign partitions")
        options = (
            None
            if group is None
            else GroupOptions(
                group,
                subscription(topics, pattern),
                instance_id,
                assignor,
                session_timeout_ms,
                rebalance_timeout_ms,
                auto_commit_ms,
                on_assigned,
                on_revoked,
                on_lost,
                client_id,
            )
        )
        if environment is None:
            from streamlog.client.connections.real_environment import real_environment

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
        self._group = (
            None
            if options is None
            else ConsumerGroup(
                options,
                self._metadata,
                self._connections,
                environment,
                self._fetcher,
                self._placement,
                self._source,
            )
        )
        self._closed = self._closing = False

    async def __aenter__(self) -> Self:
        self._enter()
        self._fetcher.start()
        if self._group is not None:
            self._group.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.end(leave=True, finished=error is None)

    async def close(self, *, leave: bool = True) -> None:
        """Stop reading. With a group: what was handed out is done, unless an exception is being
        handled; `on_revoked` is called, positions are committed if that is automatic, and the group
        gives the partitions to others at once.

        Args:
            leave: False: the group keeps them for this member until its session expires, for a
                static one that will be back.
        """
        await self.end(leave=leave, finished=sys.exc_info()[1] is None)

    async def end(self, *, leave: bool, finished: bool) -> None:
        """As `close`; `finished` says whether what was handed out is done."""
        if self._closed or self._closing:
            return
        self._home.check()
        self._closing = True
        try:
            if self._group is not None:
                await self._group.close(leave=leave, finished=finished)
        finally:
            self._closed = True
            await self._fetcher.close()
            await self._connections.close()

    # Records.

    async def getone(self, *, timeout_ms: float | None = None) -> ConsumerRecord | None:
        """The next record; None when none came within the timeout (default: wait for ever).

        Raises WrongUse when it would wait for ever with nothing assigned, as all that read do.
        """
        lease = self.lease
        if lease is not None:
            # Within a decoded batch this is what `async for` does: the record in hand is the one
            # that was taken last, and nothing else has to be noted.
            self._check_usable()
            if asyncio.get_running_loop().time() < lease.until_s:
                record = self._source.one_more()
                if record is not None:
                    return record
            else:
                self._source.settle()
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
            try:
                batch = self._source.take(left)
            except RecordUndecodable:
                break  # The next call meets it again.
            except ClientError as error:
                self._fetcher.tell(error)
                break
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
            lease = self.lease
            if lease is None:
                for record in records:
                    yield record
                continue
            now_s = asyncio.get_running_loop().time
            for record in records:
                if now_s() >= lease.until_s:
                    # This process stood still: somebody else may have the partition.
                    self.take_back(record)
                    break
                yield record

    async def stored_batches(self) -> AsyncIterator[StoredBatch]:
        """Batches as they are stored, for ever: for those who pass them on undecoded. Not to be
        mixed with the other ways of reading. Raises ClientError."""
        while True:
            await self._prepare()
            gate = self._source.gate
            current = self._fetcher.current() if gate is None or gate.is_open() else None
            if current is None:
                self._check_assigned()
                await self._fetcher.arrival()
                continue
            state, batch = current
            assert state.position is not None
            stored = StoredBatch(state.topic, state.partition, state.position, batch)
            self._fetcher.taken()
            if gate is not None:
                gate.handed_out(TopicPartition(state.topic, state.partition))
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
        if timeout_ms is None:
            self._check_assigned()
        try:
            if self._group is not None:
                self._group.progress.waits(1)
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1_000):
                while taken is None:
                    await self._fetcher.arrival()
                    await self._prepare()
                    taken = take()
        except TimeoutError:
            pass  # none came
        finally:
            if self._group is not None:
                self._group.progress.waits(-1)
        return taken

    def _check_assigned(self) -> None:
        """Before a wait without end: raises WrongUse when nothing can come."""
        if (self._group is None or not self._group.is_member) and not self._placement.assignment:
            raise WrongUse(
                "the consumer would wait for ever: nothing is assigned to it; call assign, or"
                " name a group and topics when you make it"
            )

    async def _prepare(self) -> None:
        """Before records are taken."""
        self._check_usable()
        if self._group is not None:
            self._group.asked()
            if self._group.is_member:
                return
        await self._placement.place()


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; allowed are {low} to {high}")
