"""The consumer, by assignment: which partitions, from where, in what shape.

What leaders push is kept undecoded until the application asks for it; the credit that was granted
for it goes back then, so memory is bounded by `prefetch_bytes` a leader. A partition whose leader
moved is asked for again, from the offset after the last that arrived, at the new one.

Invariants:
- Records of a partition are delivered in the order of their offsets, each once, from its position.
- A seek drops what was fetched before it (`PartitionFetch.generation`).
- `position` is the offset after the last record that was handed out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self

from streamlog.client.backoff import Backoff
from streamlog.client.cluster_metadata import CallPolicy, ClusterMetadata
from streamlog.client.connection import Connections
from streamlog.client.errors import (
    ClientError,
    DataCorrupt,
    NotLeader,
    OffsetOutOfRange,
    closed,
    defect,
    from_wire,
)
from streamlog.client.fetch_stream import FetchCall, FetchPolicy, FetchStream, PartitionFetch
from streamlog.client.offset_lookup import OffsetAtTime, OffsetLookup, Position
from streamlog.client.records import (
    ConsumerBatch,
    ConsumerRecord,
    TopicPartition,
    decode_records,
)
from streamlog.client.tasks import Tasks
from streamlog.client.transport import Environment
from streamlog.model.record_set import new_decompressor
from streamlog.v1.log_service_pb2 import FetchResponse

Start = Literal["earliest", "latest"] | int
"""Where to begin: the first offset, the committed end, or an offset."""

ROUTE_MS_FIRST: Final = 20
ROUTE_MS_MAX: Final = 1_000
CORRUPT_RETRIES_MAX: Final = 3
"""A batch that fails its end-to-end checksum is fetched again so often before it is an error."""


@dataclass(slots=True)
class _Fetched:
    """A response that waits to be taken."""

    state: PartitionFetch
    generation: int
    call: FetchCall
    response: FetchResponse
    size_bytes: int
    next_batch: int = 0


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
        out_of_range: Literal["earliest", "latest"] | None = None,
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
        self._environment = environment
        self._out_of_range = out_of_range
        self._policy = FetchPolicy(
            response_bytes=response_bytes,
            credit_bytes=prefetch_bytes,
            min_bytes=min_bytes,
            max_wait_ms=max_wait_ms,
        )
        self._connections = Connections(environment, client_id)
        self._metadata = ClusterMetadata(
            bootstrap, self._connections, environment, policy or CallPolicy()
        )
        self._lookup = OffsetLookup(self._metadata, self._connections, environment)
        self._decompressor = new_decompressor()
        self._wanted: dict[TopicPartition, Start] = {}
        """Assigned, and not yet placed at an offset."""
        self._states: dict[TopicPartition, PartitionFetch] = {}
        self._streams: dict[str, FetchStream] = {}
        self._fetched: deque[_Fetched] = deque()
        self._rest: ConsumerBatch | None = None
        """Records of a decoded batch that `getmany` did not take yet."""
        self._errors: deque[ClientError] = deque()
        self._arrived = asyncio.Event()
        self._tasks = Tasks(self.on_defect)
        self._broken: ClientError | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        self._tasks.start(self._metadata.keep_fresh())
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
        for state in self._states.values():
            self._unblock(state)
        for stream in self._streams.values():
            await stream.close()
        await self._tasks.close()
        await self._connections.close()

    # Which partitions, from where.

    def assign(self, partitions: Iterable[tuple[str, int]], *, start: Start = "earliest") -> None:
        """Read these partitions and no others; those that are read already go on as they are."""
        pairs = dict.fromkeys(TopicPartition(*pair) for pair in partitions)
        for pair in [pair for pair in self._states if pair not in pairs]:
            self._detach(self._states.pop(pair))
        self._wanted = {pair: start for pair in pairs if pair not in self._states}

    @property
    def assignment(self) -> list[TopicPartition]:
        """Partitions that are read."""
        return [*self._states, *self._wanted]

    async def seek(self, partition: tuple[str, int], offset: int) -> None:
        """Go on from an offset of an assigned partition."""
        pair = TopicPartition(*partition)
        if pair in self._wanted:
            self._wanted[pair] = offset
        else:
            self._move(self._state(pair), offset)

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
        pairs = [TopicPartition(*pair) for pair in partitions] or list(self._states)
        found = await self._offsets(pairs, to)
        for pair in pairs:
            self._move(self._state(pair), found[pair].offset)

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
            state = self._state(TopicPartition(*partition))
            state.paused = True
            self._detach(state)
            assert state.position is not None
            state.fetch_offset = state.position

    def resume(self, *partitions: tuple[str, int]) -> None:
        """Go on."""
        for partition in partitions:
            state = self._state(TopicPartition(*partition))
            if state.paused:
                state.paused = False
                self._route(state)

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
                state = self._states[TopicPartition(batch.topic, batch.partition)]
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

    async def _next(self, timeout_ms: float | None) -> ConsumerBatch | None:
        """The next batch; None when none came within the timeout."""
        await self._place()
        batch = self._take()
        if batch is not None or timeout_ms == 0:
            return batch
        try:
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1_000):
                while batch is None:
                    self._arrived.clear()
                    await self._arrived.wait()
                    batch = self._take()
        except TimeoutError:
            pass  # none came
        return batch

    def _take(self) -> ConsumerBatch | None:
        """The next decoded batch with records, if one is there. Raises what went wrong."""
        if self._closed:
            raise closed("consumer")
        if self._rest is not None:
            batch, self._rest = self._rest, None
            state = self._states.get(TopicPartition(batch.topic, batch.partition))
            if state is not None and state.position == batch.records[0].offset:
                state.position = batch.records[-1].offset + 1
                return batch
        while self._fetched:
            fetched = self._fetched[0]
            state, response = fetched.state, fetched.response
            if fetched.generation != state.generation:
                self._finish(self._fetched.popleft())
                continue
            if fetched.next_batch == len(response.batches):
                state.position = max(state.position or 0, response.next_offset)
                self._finish(self._fetched.popleft())
                continue
            records = self._decode(fetched)
            if records:
                return ConsumerBatch(state.topic, state.partition, records)
        if self._errors:
            raise self._errors.popleft()
        if self._broken is not None:
            raise self._broken
        return None

    def _decode(self, fetched: _Fetched) -> list[ConsumerRecord]:
        state = fetched.state
        message = fetched.response.batches[fetched.next_batch]
        assert state.position is not None
        try:
            records = decode_records(message, state.topic, state.position, self._decompressor)
        except DataCorrupt as error:
            state.corrupt_count += 1
            if error.retriable and state.corrupt_count <= CORRUPT_RETRIES_MAX:
                self._move(state, state.position)
            else:
                self._detach(state)
                self._errors.append(error)
            return []
        state.corrupt_count = 0
        fetched.next_batch += 1
        end = message.base_offset + message.last_offset_delta + 1
        state.position = max(state.position, end)
        return records

    def _finish(self, fetched: _Fetched) -> None:
        fetched.call.give_back(fetched.size_bytes)

    # Placing and routing.

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
                backoff = Backoff(ROUTE_MS_FIRST, ROUTE_MS_MAX, self._environment.random)
                state = PartitionFetch(pair.topic, topic.topic_id, pair.partition, backoff)
                self._states[pair] = state
                self._move(state, offsets[pair])

    async def _offsets(
        self, pairs: Sequence[TopicPartition], position: Position
    ) -> dict[TopicPartition, OffsetAtTime]:
        ids = []
        for pair in pairs:
            topic = await self._metadata.topic(pair.topic)
            if not 0 <= pair.partition < len(topic.partitions):
                raise ValueError(
                    f"topic {pair.topic!r} has partitions 0 to {len(topic.partitions) - 1}, "
                    f"not {pair.partition}"
                )
            ids.append((topic.topic_id, pair.partition))
        return dict(zip(pairs, await self._lookup.find(ids, position), strict=True))

    def _state(self, pair: TopicPartition) -> PartitionFetch:
        state = self._states.get(pair)
        if state is None:
            raise ValueError(f"{pair.topic}/{pair.partition} is not assigned")
        return state

    def _move(self, state: PartitionFetch, offset: int) -> None:
        state.generation += 1
        state.position = state.fetch_offset = offset
        if not state.paused:
            self._route(state)

    def _detach(self, state: PartitionFetch) -> None:
        """Fetch it no more, and forget what was fetched."""
        state.generation += 1
        self._unblock(state)
        if state.stream is not None:
            state.stream.remove(state)

    def _unblock(self, state: PartitionFetch) -> None:
        if state.blocked is not None:
            state.blocked.cancel()
            state.blocked = None

    def _route(self, state: PartitionFetch) -> None:
        """Ask the partition's leader for it; when none is known, try again soon."""
        self._unblock(state)
        if self._closed or state.paused or self._states.get(_pair(state)) is not state:
            return
        address = self._metadata.leader_address(state.topic_id, state.partition)
        if address is None:
            self._route_later(state)
            return
        if state.stream is not None and state.stream.address != address:
            state.stream.remove(state)
        stream = self._streams.get(address)
        if stream is None:
            connection = self._connections.to(address)
            stream = self._streams[address] = FetchStream(connection, self, self._policy)
        stream.add(state)

    def _route_later(self, state: PartitionFetch, at_least_ms: float = 0) -> None:
        self._unblock(state)
        self._metadata.request_refresh()
        wait_ms = max(state.backoff.next_ms(), at_least_ms)
        loop = asyncio.get_running_loop()
        state.blocked = loop.call_later(wait_ms / 1_000, self._route, state)

    # FetchOwner.

    def on_response(
        self, call: FetchCall, state: PartitionFetch, response: FetchResponse, size_bytes: int
    ) -> None:
        """Batches, or an error, of a partition."""
        if response.HasField("error"):
            call.give_back(size_bytes)
            self._refused(state, from_wire(response.error))
            return
        state.backoff.reset()
        state.fetch_offset = response.next_offset
        state.high_watermark = response.high_watermark
        self._fetched.append(_Fetched(state, state.generation, call, response, size_bytes))
        self._arrived.set()

    def _refused(self, state: PartitionFetch, error: ClientError) -> None:
        if isinstance(error, NotLeader):
            told = self._metadata.note_not_leader(state.topic_id, state.partition, error)
            self._route_later(state) if not told else self._route(state)
        elif isinstance(error, OffsetOutOfRange) and self._out_of_range is not None:
            bound = "log_start_offset" if self._out_of_range == "earliest" else "high_watermark"
            self._move(state, int(error.metadata[bound]))
        elif error.retriable:
            self._route_later(state, error.retry_after_ms)
        else:
            self._errors.append(error)
            self._arrived.set()

    def on_stream_lost(self, states: Sequence[PartitionFetch], error: ClientError) -> None:
        """The leader's connection broke: perhaps its node did."""
        for state in states:
            self._route_later(state, error.retry_after_ms)

    def on_defect(self, error: BaseException) -> None:
        """A task died: whoever waits is told."""
        self._broken = self._broken or defect("consumer", error)
        self._arrived.set()


def _pair(state: PartitionFetch) -> TopicPartition:
    return TopicPartition(state.topic, state.partition)


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; allowed are {low} to {high}")
