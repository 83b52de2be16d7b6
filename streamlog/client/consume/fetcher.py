"""Keeps partitions fetched from their leaders, and hands out what came, in order, undecoded.

What leaders push waits here until it is taken; the credit that was granted for it goes back then,
so memory is bounded by the credit a leader. A partition whose leader moved is asked for again, from
the offset after the last that arrived, at the new one.

Invariants:
- Batches of a partition are handed out in the order of their offsets, each once, from its position.
- A move drops what was fetched before it (`PartitionFetch.generation`).
- `PartitionFetch.position` is the offset after the last batch that was taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from streamlog.client.connections.backoff import Backoff
from streamlog.client.connections.cluster_metadata import ClusterMetadata
from streamlog.client.connections.connection import Connections
from streamlog.client.consume.fetch_stream import (
    FetchCall,
    FetchPolicy,
    FetchStream,
    PartitionFetch,
)
from streamlog.client.errors import (
    ClientError,
    NotLeader,
    OffsetOutOfRange,
    TopicUnknown,
    defect,
    from_wire,
)
from streamlog.client.records import TopicPartition
from streamlog.client.tasks import Tasks
from streamlog.client.transport import Environment
from streamlog.v1.batch_pb2 import RecordBatch
from streamlog.v1.log_service_pb2 import FetchResponse

ROUTE_MS_FIRST: Final = 20
ROUTE_MS_MAX: Final = 1_000

OnOutOfRange = Callable[[PartitionFetch, OffsetOutOfRange], None]
"""A position is not in the log; calls `move`, `remove` or `failed`."""


@dataclass(slots=True)
class _Fetched:
    """A response that waits to be taken."""

    state: PartitionFetch
    generation: int
    call: FetchCall
    response: FetchResponse
    size_bytes: int
    next_batch: int = 0


class Fetcher:
    """Fetches what it is told to; implements FetchOwner."""

    def __init__(
        self,
        metadata: ClusterMetadata,
        connections: Connections,
        environment: Environment,
        policy: FetchPolicy,
        on_out_of_range: OnOutOfRange,
    ) -> None:
        self._metadata = metadata
        self._connections = connections
        self._random = environment.random
        self._policy = policy
        self._on_out_of_range = on_out_of_range
        self._states: dict[TopicPartition, PartitionFetch] = {}
        self._streams: dict[str, FetchStream] = {}
        self._fetched: deque[_Fetched] = deque()
        self._errors: deque[ClientError] = deque()
        self._arrived = asyncio.Event()
        self._tasks = Tasks(self.on_defect)
        self._broken: ClientError | None = None
        self.follows_group = False
        """Somebody else says what exists: a partition that a leader does not know is on its way, or
        about to be taken away."""
        self._closed = False

    def start(self) -> None:
        """Keep the metadata fresh from now on."""
        self._tasks.start(self._metadata.keep_fresh())

    async def close(self) -> None:
        """Fetch no more; whoever waits is woken."""
        if self._closed:
            return
        self._closed = True
        self._arrived.set()
        for state in self._states.values():
            self._unblock(state)
        for stream in self._streams.values():
            await stream.close()
        await self._tasks.close()

    # What is fetched.

    @property
    def partitions(self) -> list[TopicPartition]:
        """Those that are fetched, or paused."""
        return list(self._states)

    def state_of(self, pair: TopicPartition) -> PartitionFetch | None:
        """Where the partition is read, if it is."""
        return self._states.get(pair)

    def add(
        self, pair: TopicPartition, topic_id: int, offset: int, *, paused: bool = False
    ) -> PartitionFetch:
        """Fetch a partition from an offset on; `paused`: once it is resumed."""
        backoff = Backoff(ROUTE_MS_FIRST, ROUTE_MS_MAX, self._random)
        state = PartitionFetch(pair.topic, topic_id, pair.partition, backoff)
        state.paused = paused
        self._states[pair] = state
        self.move(state, offset)
        return state

    def remove(self, pair: TopicPartition) -> None:
        """Fetch it no more, and forget what was fetched. Its position is lost."""
        self.detach(self._states.pop(pair))

    def move(self, state: PartitionFetch, offset: int) -> None:
        """Go on from an offset."""
        state.generation += 1
        state.position = state.fetch_offset = offset
        if not state.paused:
            self._route(state)

    def detach(self, state: PartitionFetch) -> None:
        """Stop fetching it, and forget what was fetched."""
        state.generation += 1
        self._unblock(state)
        if state.stream is not None:
            state.stream.remove(state)

    def pause(self, state: PartitionFetch) -> None:
        """Stop until `resume`; goes on where it stopped."""
        state.paused = True
        self.detach(state)
        assert state.position is not None
        state.fetch_offset = state.position

    def resume(self, state: PartitionFetch) -> None:
        """Go on."""
        if state.paused:
            state.paused = False
            self._route(state)

    # What came.

    def current(self) -> tuple[PartitionFetch, RecordBatch] | None:
        """The next batch, if one is there; it stays the next until `taken`. Raises what went
        wrong with a partition, once, and a defect of the client each time."""
        while self._fetched:
            fetched = self._fetched[0]
            state, response = fetched.state, fetched.response
            if fetched.generation != state.generation:
                self._drop_first()
            elif fetched.next_batch == len(response.batches):
                state.position = max(state.position or 0, response.next_offset)
                self._drop_first()
            else:
                return state, response.batches[fetched.next_batch]
        if self._errors:
            raise self._errors.popleft()
        if self._broken is not None:
            raise self._broken
        return None

    def taken(self) -> None:
        """The current batch was handed out."""
        fetched = self._fetched[0]
        batch = fetched.response.batches[fetched.next_batch]
        fetched.next_batch += 1
        state = fetched.state
        state.position = max(state.position or 0, batch.base_offset + batch.last_offset_delta + 1)

    def failed(self, state: PartitionFetch, error: ClientError) -> None:
        """The partition can not be read on: it ends with this error."""
        self.detach(state)
        self.tell(error)

    def tell(self, error: ClientError) -> None:
        """Something that the application should know went wrong: it is raised once."""
        self._errors.append(error)
        self._arrived.set()

    async def arrival(self) -> None:
        """Return when something came since the last `current` that was None, or went wrong."""
        self._arrived.clear()
        await self._arrived.wait()

    def wake(self) -> None:
        """End the wait in `arrival`: something else changed."""
        self._arrived.set()

    def _drop_first(self) -> None:
        fetched = self._fetched.popleft()
        fetched.call.give_back(fetched.size_bytes)

    # Routing.

    def _unblock(self, state: PartitionFetch) -> None:
        if state.blocked is not None:
            state.blocked.cancel()
            state.blocked = None

    def _route(self, state: PartitionFetch) -> None:
        """Ask the partition's leader for it; when none is known, try again soon."""
        self._unblock(state)
        if (
            self._closed
            or state.paused
            or self._states.get(TopicPartition(state.topic, state.partition)) is not state
        ):
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
        elif isinstance(error, OffsetOutOfRange):
            self._on_out_of_range(state, error)
        elif error.retriable or (self.follows_group and isinstance(error, TopicUnknown)):
            self._route_later(state, error.retry_after_ms)
        else:
            self.failed(state, error)

    def on_stream_lost(self, states: Sequence[PartitionFetch], error: ClientError) -> None:
        """The leader's connection broke: perhaps its node did."""
        for state in states:
            self._route_later(state, error.retry_after_ms)

    def on_defect(self, error: BaseException) -> None:
        """A task died: whoever waits is told."""
        self._broken = self._broken or defect("consumer", error)
        self._arrived.set()
